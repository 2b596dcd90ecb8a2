/**
 * What a gRPC transport offers, and what it asks for. Three adapters stand behind it: on
 * node:http2, on sockets with HTTP/2 of our own, and on @grpc/grpc-js; one suite runs over all.
 * Messages are bytes: services decode what they need.
 */
import type { Time } from '@watershed/runtime/clock.ts';
import type { Logger } from '@watershed/runtime/logger.ts';

/** Status codes of gRPC (grpc/grpc `doc/statuscodes.md`) that are used here. */
export const status = {
  ok: 0,
  cancelled: 1,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;

export type StatusCode = (typeof status)[keyof typeof status];

export interface Status {
  readonly code: StatusCode;
  readonly message: string;
}

export const deadlinePassed: Status = {
  code: status.deadlineExceeded,
  message: 'the deadline passed',
};

/** Who is at the other end. */
export interface Peer {
  readonly address: string;
  readonly port: number;
  readonly secure: boolean;
  /** URI SANs of a client certificate that was verified. */
  readonly identities: readonly string[];
  /** Why the certificate that it showed was not taken; empty: it was, or it showed none. */
  readonly certificateProblem: string;
}

/** One RPC. */
export interface ServerCall {
  /** `/package.Service/Method` */
  readonly path: string;
  readonly peer: Peer;
  /** A request header; `undefined`: absent. */
  header(name: string): string | undefined;
  /**
   * `framed`: a message with its 5-byte prefix. `compressible`: it holds no secrets, and others may
   * get the same buffer. `false`: no more until `drain`; what was given is sent.
   */
  write(framed: Uint8Array, compressible?: boolean): boolean;
  /** Whether what is written now leaves at once, as far as that is known. */
  readonly isReady: boolean;
  /** Sends the status behind all that was written. Nothing may follow. */
  end(ended: Status): void;
}

/** The service's side of one RPC. Nothing is called after `closed`. */
export interface CallHandler {
  /** One message, without prefix; valid during the call only. */
  message(bytes: Uint8Array): void;
  /** The client will send no more. */
  halfClosed(): void;
  /** Writing may go on. */
  drain(): void;
  /** The RPC is over, for whatever reason. */
  closed(): void;
}

/** What is served at a path. */
export interface Method {
  readonly path: string;
  /** Of a request's message, where it is less than the server's. */
  readonly maxMessageBytes?: number;
  /** Where it takes time (who is it?), nothing is read of the call until then. */
  open(call: ServerCall): CallHandler | Promise<CallHandler>;
}

export interface ServerLimits {
  /** Of one message, decoded or not. Default 16 MiB. */
  readonly maxMessageBytes: number;
  /** Responses of that size and more are compressed for clients that take it. Default 4 KiB. */
  readonly compressFromBytes: number;
  /** Larger ones would hold up the event loop. Default 1 MiB. */
  readonly compressToBytes: number;
  /** Of a request's headers. Default 16 KiB. */
  readonly maxHeaderBytes: number;
  /** Open at once on one connection. Default 100. */
  readonly maxStreamsPerConnection: number;
  /** Default 100,000. */
  readonly maxConnections: number;
  /**
   * Without a byte for so long a connection is probed, and closed if there is no answer. Default 60
   * s.
   */
  readonly idleMs: number;
  /** Of a TLS handshake. Default 10 s. */
  readonly handshakeMs: number;
  /** For the answer to a probe. Default 20 s. */
  readonly probeMs: number;
}

export const defaultServerLimits: ServerLimits = {
  maxMessageBytes: 16 * 1024 * 1024,
  compressFromBytes: 4 * 1024,
  compressToBytes: 1024 * 1024,
  maxHeaderBytes: 16 * 1024,
  maxStreamsPerConnection: 100,
  maxConnections: 100_000,
  idleMs: 60_000,
  handshakeMs: 10_000,
  probeMs: 20_000,
};

/** Why a request's message of `bytes` is not taken; `undefined`: it is not too large. */
export function tooLarge(
  bytes: number,
  { maxMessageBytes }: Pick<ServerLimits, 'maxMessageBytes'>,
): Status | undefined {
  if (bytes <= maxMessageBytes) return undefined;
  const message = `a message of ${bytes} bytes; at most ${maxMessageBytes}`;
  return { code: status.resourceExhausted, message };
}

/** For a TLS listener. PEM. */
export interface TlsOptions {
  readonly key: string;
  readonly cert: string;
  /** Signs clients' certificates; without it clients need none. */
  readonly clientCa?: string;
}

/** What a TLS listener shows, as it changes. */
export interface TlsSource {
  readonly current: TlsOptions;
  /** Calls back with each new one until `stop`. */
  watch(changed: (now: TlsOptions) => void): void;
  stop(): void;
}

export interface RpcServerOptions {
  readonly methods: readonly Method[];
  readonly time: Time;
  readonly logger: Logger;
  readonly limits?: Partial<ServerLimits> | undefined;
  /** Absent: plaintext, HTTP/2 by prior knowledge. */
  readonly tls?: TlsOptions | undefined;
}

export interface RpcServer {
  /** Resolves with the port once it listens. */
  listen(host: string, port: number): Promise<number>;
  /** Takes no new RPCs and lets those that are open end; `signal`: cuts what is left. */
  stop(signal: AbortSignal): Promise<void>;
  /** New connections are shown other certificates; those that are open go on. */
  setTls(tls: TlsOptions): void;
  /** Open connections, where the transport can tell. */
  readonly connections: number;
}
