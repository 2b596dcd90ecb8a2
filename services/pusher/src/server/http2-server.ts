import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Session,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type SecureServerOptions,
  type ServerOptions,
} from 'node:http2';
import { TLSSocket, type PeerCertificate } from 'node:tls';
import { OperatingError, toOperatingError } from '@watershed/runtime/errors.ts';
import type { Timers } from '@watershed/runtime/clock.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import { uriNames } from './peer-names.ts';
import { Assembly } from './assembly.ts';
import { acceptedEncodings, Compressor } from './compression.ts';
import { IdleProbes } from './idle-probes.ts';
import { Http2Call, parseTimeout, resetWhenDone, trailersOf } from './http2-call.ts';
import {
  defaultServerLimits,
  status,
  type Method,
  type Peer,
  type RpcServer,
  type ServerLimits,
  type TlsOptions,
} from './port.ts';

export interface Http2ServerOptions {
  readonly methods: readonly Method[];
  readonly timers: Timers;
  readonly logger: Logger;
  readonly limits?: Partial<ServerLimits> | undefined;
  /** Absent: plaintext, HTTP/2 by prior knowledge. */
  readonly tls?: TlsOptions | undefined;
}

/**
 * gRPC on node:http2. A response is one buffer that many streams share, which node hands to the
 * kernel as it is; grpc-js copies each message of each stream.
 */
export class Http2RpcServer implements RpcServer {
  readonly #options: Http2ServerOptions;
  readonly #limits: ServerLimits;
  readonly #methods: ReadonlyMap<string, Method>;
  readonly #server: Http2Server | Http2SecureServer;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #probes: IdleProbes;
  readonly #assembly: Assembly;
  readonly #compressor: Compressor;
  #draining = false;

  constructor(options: Http2ServerOptions) {
    this.#options = options;
    this.#limits = { ...defaultServerLimits, ...options.limits };
    this.#methods = new Map(options.methods.map((method) => [method.path, method]));
    this.#probes = new IdleProbes({ ...this.#limits, timers: options.timers });
    this.#compressor = new Compressor(this.#limits);
    this.#assembly = new Assembly({ timers: options.timers, slots: 64, slotMs: 5_000 });
    const common = serverOptions(this.#limits);
    this.#server =
      options.tls === undefined
        ? createServer(common)
        : createSecureServer({ ...common, ...tlsOptions(options.tls, this.#limits) });
    this.#server.maxConnections = this.#limits.maxConnections;
    this.#server.on('session', (session) => this.#session(session));
    const onStream = (
      stream: ServerHttp2Stream,
      headers: IncomingHttpHeaders,
      _flags: number,
      raw: readonly string[],
    ): void => this.#stream(stream, headers, raw);
    this.#server.on('stream', onStream);
    this.#server.on('sessionError', () => undefined);
  }

  get connections(): number {
    return this.#sessions.size;
  }

  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => {
        const { code } = toOperatingError(error);
        const where = `${host === '' ? '*' : host}:${port}`;
        reject(new OperatingError(code, `cannot listen on ${where}`, { cause: error }));
      };
      this.#server.once('error', fail);
      this.#server.listen(host === '' ? { port } : { port, host }, () => {
        this.#server.off('error', fail);
        this.#server.on('error', (error: Error) => {
          this.#options.logger.error('the xDS listener failed', { error });
        });
        const bound = this.#server.address();
        resolve(bound === null || typeof bound === 'string' ? port : bound.port);
      });
    });
  }

  setTls(tls: TlsOptions): void {
    if (!('setSecureContext' in this.#server)) return;
    this.#server.setSecureContext(tlsOptions(tls, this.#limits));
  }

  stop(signal: AbortSignal): Promise<void> {
    this.#draining = true;
    return new Promise((resolve) => {
      const cut = (): void => {
        for (const session of this.#sessions) session.destroy();
      };
      this.#server.close(() => {
        signal.removeEventListener('abort', cut);
        resolve();
      });
      for (const session of this.#sessions) session.close();
      if (signal.aborted) cut();
      else signal.addEventListener('abort', cut, { once: true });
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
    const { timers } = this.#options;
    if (session === undefined || stream.destroyed) return;
    // Node has a limit of its own, a larger one.
    if (headerBytes(raw) > this.#limits.maxHeaderBytes) return refuseHttp(stream, timers, 431, {});
    if (headers[':method'] !== 'POST') return refuseHttp(stream, timers, 405, { allow: 'POST' });
    const type = headers['content-type'] ?? '';
    if (!/^application\/grpc(?:$|[+;])/u.test(type)) return refuseHttp(stream, timers, 415, {});
    const method = this.#methods.get(headers[':path'] ?? '');
    if (method === undefined) {
      return refuseGrpc(
        stream,
        timers,
        status.unimplemented,
        `no method ${headers[':path'] ?? ''}`,
      );
    }
    const timeout = headers['grpc-timeout'];
    const timeoutMs = parseTimeout(Array.isArray(timeout) ? timeout[0] : timeout);
    if (Number.isNaN(timeoutMs)) {
      return refuseGrpc(stream, timers, status.internal, 'malformed grpc-timeout');
    }
    if (this.#draining) {
      return refuseGrpc(stream, timers, status.unavailable, 'the server is stopping');
    }
    const call = new Http2Call(stream, headers, {
      peer: peerOf(session),
      limits: this.#limits,
      assembly: this.#assembly,
      compressor: this.#compressor,
    });
    call.start((opened) => method.open(opened), timeoutMs, timers);
  }
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

function tlsOptions(tls: TlsOptions, limits: ServerLimits): SecureServerOptions {
  const { key, cert, clientCa } = tls;
  return {
    key,
    cert,
    minVersion: 'TLSv1.2',
    // A client that connects and then says nothing holds a socket so long, not node's two minutes.
    handshakeTimeout: limits.handshakeMs,
    allowHTTP1: false,
    // A client without a certificate may still have a token: whoever needs an identity asks for it.
    ...(clientCa === undefined
      ? {}
      : { ca: clientCa, requestCert: true, rejectUnauthorized: false }),
  };
}

function peerOf(session: Http2Session): Peer {
  const { socket } = session;
  const address = socket.remoteAddress ?? '';
  const port = socket.remotePort ?? 0;
  const secure = socket instanceof TLSSocket;
  if (!secure) return { address, port, secure, identities: [], certificateProblem: '' };
  const { subjectaltname, raw } = certificateOf(socket);
  const refused = raw !== undefined && !socket.authorized;
  return {
    address,
    port,
    secure,
    identities: socket.authorized ? uriNames(subjectaltname ?? '') : [],
    certificateProblem: refused ? String(socket.authorizationError) : '',
  };
}

/** Node gives an empty object where there is none. */
function certificateOf(socket: TLSSocket): Partial<PeerCertificate> {
  return socket.getPeerCertificate();
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
function refuseGrpc(
  stream: ServerHttp2Stream,
  timers: Timers,
  code: number,
  message: string,
): void {
  resetWhenDone(stream, timers);
  stream.respond(
    {
      ':status': 200,
      'content-type': 'application/grpc',
      'grpc-accept-encoding': acceptedEncodings,
      ...trailersOf(code, message),
    },
    { endStream: true },
  );
}
