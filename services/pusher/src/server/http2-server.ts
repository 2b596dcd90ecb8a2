import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type ServerOptions,
} from 'node:http2';
import type { Timers } from '@watershed/runtime/clock.ts';
import { tlsOptions } from './tls-options.ts';
import { judge, responseHeaders, trailersOf, type Request } from './requests.ts';
import { Assembly } from './assembly.ts';
import { Compressor } from './compression.ts';
import { GrpcCall, limitsOf } from './grpc-call.ts';
import { Http2Wire, resetWhenDone } from './http2-wire.ts';
import { IdleProbes } from './idle-probes.ts';
import { Listener } from './listener.ts';
import { peerOf } from './peer.ts';
import {
  defaultServerLimits,
  status,
  type Method,
  type RpcServer,
  type RpcServerOptions,
  type ServerLimits,
  type Status,
  type TlsOptions,
} from './port.ts';

/**
 * gRPC on node:http2. A response is one buffer that many streams share, which node hands to the
 * kernel as it is; grpc-js copies each message of each stream.
 */
export class Http2RpcServer implements RpcServer {
  readonly #options: RpcServerOptions;
  readonly #limits: ServerLimits;
  readonly #methods: ReadonlyMap<string, Method>;
  readonly #listener: Listener;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #probes: IdleProbes<ServerHttp2Session>;
  readonly #assembly: Assembly;
  readonly #compressor: Compressor;
  #draining = false;

  constructor(options: RpcServerOptions) {
    this.#options = options;
    this.#limits = { ...defaultServerLimits, ...options.limits };
    this.#methods = new Map(options.methods.map((method) => [method.path, method]));
    this.#probes = new IdleProbes<ServerHttp2Session>({
      ...this.#limits,
      timers: options.time,
      bytesRead: (session) => (session.destroyed ? 0 : session.socket.bytesRead),
      probe: (session, answered) => {
        if (session.destroyed) return;
        session.ping((error) => {
          if (error === null) answered();
        });
      },
      cut: (session) => session.destroy(),
    });
    this.#compressor = new Compressor(this.#limits);
    this.#assembly = new Assembly({ timers: options.time, slots: 64, slotMs: 20_000 });
    const common = serverOptions(this.#limits);
    const server: Http2Server | Http2SecureServer =
      options.tls === undefined
        ? createServer(common)
        : createSecureServer({
            ...common,
            ...tlsOptions(options.tls, this.#limits),
            allowHTTP1: false,
          });
    this.#listener = new Listener(server, { logger: options.logger, limits: this.#limits });
    server.on('session', (session) => this.#session(session));
    const onStream = (
      stream: ServerHttp2Stream,
      headers: IncomingHttpHeaders,
      _flags: number,
      raw: readonly string[],
    ): void => this.#stream(stream, headers, raw);
    server.on('stream', onStream);
    server.on('sessionError', () => undefined);
  }

  get connections(): number {
    return this.#sessions.size;
  }

  listen(host: string, port: number): Promise<number> {
    return this.#listener.listen(host, port);
  }

  setTls(tls: TlsOptions): void {
    this.#listener.setTls(tls);
  }

  stop(signal: AbortSignal): Promise<void> {
    this.#draining = true;
    for (const session of this.#sessions) session.close();
    return this.#listener.stop(signal, () => {
      for (const session of this.#sessions) session.destroy();
    });
  }

  #session(session: ServerHttp2Session): void {
    if (this.#draining) {
      session.close();
      return;
    }
    this.#sessions.add(session);
    this.#probes.add(session);
    session.on('close', () => {
      this.#probes.forget(session);
      this.#sessions.delete(session);
    });
    session.on('error', () => undefined);
  }

  #stream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, raw: readonly string[]): void {
    stream.on('error', () => undefined);
    const { session } = stream;
    const { time: timers } = this.#options;
    if (session === undefined || stream.destroyed) return;
    const request = requestOf(headers, raw);
    const verdict = judge(request, this.#methods, this.#limits);
    if ('http' in verdict) return refuseHttp(stream, timers, verdict.http, verdict.headers);
    if ('grpc' in verdict) return refuseGrpc(stream, timers, verdict.grpc);
    if (this.#draining) {
      const message = 'the server is stopping';
      return refuseGrpc(stream, timers, { code: status.unavailable, message });
    }
    const call = new GrpcCall(new Http2Wire(stream, timers), request, {
      peer: peerOf(session.socket),
      limits: limitsOf(this.#limits, verdict.call),
      assembly: this.#assembly,
      compressor: this.#compressor,
    });
    stream.on('data', (chunk: Buffer) => call.data(chunk));
    stream.on('end', () => call.ended());
    stream.on('drain', () => call.drained());
    stream.on('close', () => call.closed());
    return call.start((opened) => verdict.call.open(opened), verdict.timeoutMs, timers);
  }
}

function requestOf(headers: IncomingHttpHeaders, raw: readonly string[]): Request {
  const header = (name: string): string | undefined => {
    const value = headers[name];
    return Array.isArray(value) ? value.join(', ') : value;
  };
  return {
    method: headers[':method'] ?? '',
    path: headers[':path'] ?? '',
    header,
    headerBytes: headerBytes(raw),
  };
}

/** As RFC 9113 counts (6.5.2): 32 bytes more per field. */
function headerBytes(raw: readonly string[]): number {
  let bytes = 16 * raw.length;
  for (const text of raw) bytes += text.length;
  return bytes;
}

function serverOptions(limits: ServerLimits): ServerOptions {
  return {
    settings: {
      maxConcurrentStreams: limits.maxStreamsPerConnection,
      maxHeaderListSize: limits.maxHeaderBytes,
      // What a client may send before it is read: bounds what a swarm of them can.
      initialWindowSize: 32 * 1024,
      enablePush: false,
    },
    maxHeaderListPairs: 100,
    maxSettings: 32,
    maxOutstandingPings: 10,
    maxSessionInvalidFrames: 100,
    maxSessionRejectedStreams: 100,
    // In MB; of what node itself buffers for one connection.
    maxSessionMemory: 64,
    // Rapid reset (CVE-2023-44487): a burst, then so many a second.
    streamResetBurst: 200,
    streamResetRate: 20,
    unknownProtocolTimeout: 5_000,
  };
}

function refuseHttp(
  stream: ServerHttp2Stream,
  timers: Timers,
  code: number,
  headers: Record<string, string>,
): void {
  resetWhenDone(stream, timers);
  stream.respond({ ':status': code, ...headers }, { endStream: true });
}

/** Trailers-Only. What the client still has to say is not wanted. */
function refuseGrpc(stream: ServerHttp2Stream, timers: Timers, refused: Status): void {
  resetWhenDone(stream, timers);
  stream.respond({ ...responseHeaders(undefined), ...trailersOf(refused) }, { endStream: true });
}
