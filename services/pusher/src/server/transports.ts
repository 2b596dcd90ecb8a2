import { GrpcJsServer } from './grpc-js-server.ts';
import { Http2RpcServer } from './http2-server.ts';
import { NetRpcServer } from './net-server.ts';
import type { RpcServer, RpcServerOptions } from './port.ts';

/** What speaks gRPC: framing of our own on sockets, node:http2, or @grpc/grpc-js. */
export const transports = ['net', 'http2', 'grpc-js'] as const;

export type Transport = (typeof transports)[number];

export function createRpcServer(transport: Transport, options: RpcServerOptions): RpcServer {
  switch (transport) {
    case 'net':
      return new NetRpcServer(options);
    case 'http2':
      return new Http2RpcServer(options);
    case 'grpc-js':
      return new GrpcJsServer(options);
  }
}
