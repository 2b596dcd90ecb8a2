import { Protocol } from '@watershed/model/gen/model.ts';

const protocols: Readonly<Record<string, Protocol>> = {
  http: Protocol.PROTOCOL_HTTP,
  http2: Protocol.PROTOCOL_HTTP2,
  grpc: Protocol.PROTOCOL_GRPC,
  'grpc-web': Protocol.PROTOCOL_GRPC_WEB,
  https: Protocol.PROTOCOL_HTTPS,
  tls: Protocol.PROTOCOL_TLS,
  tcp: Protocol.PROTOCOL_TCP,
  mongo: Protocol.PROTOCOL_MONGO,
  redis: Protocol.PROTOCOL_REDIS,
  mysql: Protocol.PROTOCOL_MYSQL,
  udp: Protocol.PROTOCOL_UDP,
  http_proxy: Protocol.PROTOCOL_HTTP_PROXY,
};

/** Istio's names, whatever their case; undefined for what is none of them. */
export function parseProtocol(text: string): Protocol | undefined {
  const lower = text.toLowerCase();
  return Object.hasOwn(protocols, lower) ? protocols[lower] : undefined;
}

export function isHttp(protocol: Protocol | undefined): boolean {
  return (
    protocol === Protocol.PROTOCOL_HTTP ||
    protocol === Protocol.PROTOCOL_HTTP2 ||
    protocol === Protocol.PROTOCOL_GRPC ||
    protocol === Protocol.PROTOCOL_GRPC_WEB ||
    protocol === Protocol.PROTOCOL_HTTP_PROXY
  );
}

export function isTls(protocol: Protocol | undefined): boolean {
  return protocol === Protocol.PROTOCOL_HTTPS || protocol === Protocol.PROTOCOL_TLS;
}
