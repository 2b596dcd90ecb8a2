/** What a port's protocol means for listeners and clusters (istiod's protocol.Instance). */
import { Protocol } from '@watershed/model/gen/model.ts';

/** How a listener treats a port. */
export type ListenerProtocol = 'http' | 'tcp' | 'auto' | 'none';

export function listenerProtocol(protocol: Protocol): ListenerProtocol {
  switch (protocol) {
    case Protocol.PROTOCOL_HTTP:
    case Protocol.PROTOCOL_HTTP2:
    case Protocol.PROTOCOL_HTTP_PROXY:
    case Protocol.PROTOCOL_GRPC:
    case Protocol.PROTOCOL_GRPC_WEB:
      return 'http';
    case Protocol.PROTOCOL_TCP:
    case Protocol.PROTOCOL_HTTPS:
    case Protocol.PROTOCOL_TLS:
    case Protocol.PROTOCOL_MONGO:
    case Protocol.PROTOCOL_REDIS:
    case Protocol.PROTOCOL_MYSQL:
      return 'tcp';
    case Protocol.PROTOCOL_UDP:
      return 'none';
    default:
      return 'auto';
  }
}

export function isHttp(protocol: Protocol): boolean {
  return listenerProtocol(protocol) === 'http';
}

export function isHttp2(protocol: Protocol): boolean {
  return (
    protocol === Protocol.PROTOCOL_HTTP2 ||
    protocol === Protocol.PROTOCOL_GRPC ||
    protocol === Protocol.PROTOCOL_GRPC_WEB
  );
}

/** TLS that is passed on as it is: told apart by the server's name. */
export function isTls(protocol: Protocol): boolean {
  return protocol === Protocol.PROTOCOL_TLS || protocol === Protocol.PROTOCOL_HTTPS;
}

export function isUdp(protocol: Protocol): boolean {
  return protocol === Protocol.PROTOCOL_UDP;
}
