import { createServer, type Socket } from 'node:net';
import {
  createServer as createTlsServer,
  type Server as TlsServer,
  type TLSSocket,
} from 'node:tls';
import { Assembly } from './assembly.ts';
import { Compressor } from './compression.ts';
import { GrpcCall, limitsOf } from './grpc-call.ts';
import { FirstBlocks } from './h2/hpack-decoder.ts';
import type { ConnectionLimits } from './h2/limits.ts';
import type { RequestHeaders } from './h2/request-headers.ts';
import { greetingOf } from './h2/settings.ts';
import { SharedFrames } from './h2/shared-frames.ts';
import type { Stream } from './h2/stream.ts';
import { IdleProbes } from './idle-probes.ts';
import { Listener } from './listener.ts';
import { NetSocket, type NetSocketOptions } from './net-socket.ts';
import { NetWire } from './net-wire.ts';
import { peerOf } from './peer.ts';
import { judge } from './requests.ts';
import { tlsOptions } from './tls-options.ts';
import {
  defaultServerLimits,
  type Method,
  type RpcServer,
  type RpcServerOptions,
  type ServerLimits,
  type TlsOptions,
} from './port.ts';

/**
 * gRPC on sockets, with framing of our own (`h2/`). node:http2 costs more for each stream and for
 * each push, and makes a buffer of each read.
 */
export class NetRpcServer implements RpcServer {
  readonly #options: RpcServerOptions;
  readonly #limits: ServerLimits;
  readonly #methods: ReadonlyMap<string, Method>;
  readonly #listener: Listener;
  readonly #sockets = new Set<NetSocket>();
  readonly #probes: IdleProbes<NetSocket>;
  readonly #assembly: Assembly;
  readonly #compressor: Compressor;
  readonly #socketOptions: NetSocketOptions;
  #draining = false;

  constructor(options: RpcServerOptions) {
    const { time, tls } = options;
    this.#options = options;
    this.#limits = { ...defaultServerLimits, ...options.limits };
    this.#methods = new Map(options.methods.map((method) => [method.path, method]));
    this.#compressor = new Compressor(this.#limits);
    this.#assembly = new Assembly({ timers: time, slots: 64, slotMs: 20_000 });
    this.#probes = new IdleProbes<NetSocket>({
      ...this.#limits,
      timers: time,
      bytesRead: ({ socket }) => socket.bytesRead,
      probe: ({ connection }, answered) => connection.probe(answered),
      cut: ({ socket }) => void socket.destroy(),
    });
    const connection = connectionLimits(this.#limits);
    this.#socketOptions = {
      limits: connection,
      shared: {
        frames: new SharedFrames(),
        firstBlocks: new FirstBlocks(),
        greeting: greetingOf(connection),
      },
      now: () => time.monotonic(),
      timers: time,
      request: (socket, stream, headers) => this.#request(socket, stream, headers),
      closed: (socket) => {
        this.#probes.forget(socket);
        this.#sockets.delete(socket);
      },
    };
    const server =
      tls === undefined
        ? createServer({ noDelay: true }, (socket) => this.#serve(socket))
        : this.#tlsServer(tls);
    this.#listener = new Listener(server, { logger: options.logger, limits: this.#limits });
  }

  get connections(): number {
    return this.#sockets.size;
  }

  listen(host: string, port: number): Promise<number> {
    return this.#listener.listen(host, port);
  }

  setTls(tls: TlsOptions): void {
    this.#listener.setTls(tls);
  }

  stop(signal: AbortSignal): Promise<void> {
    this.#draining = true;
    for (const { connection } of this.#sockets) connection.leave();
    return this.#listener.stop(signal, () => {
      for (const { socket } of this.#sockets) socket.destroy();
    });
  }

  #tlsServer(tls: TlsOptions): TlsServer {
    const options = { ...tlsOptions(tls, this.#limits), noDelay: true, ALPNProtocols: ['h2'] };
    const server = createTlsServer(options, (socket: TLSSocket) => {
      // Who offers nothing is not refused by the handshake.
      if (socket.alpnProtocol === 'h2') this.#serve(socket);
      else socket.destroy();
    });
    server.on('tlsClientError', (_error, socket) => void socket.destroy());
    return server;
  }

  #serve(socket: Socket): void {
    if (this.#draining) {
      socket.destroy();
      return;
    }
    const served = new NetSocket(socket, this.#socketOptions);
    this.#sockets.add(served);
    this.#probes.add(served);
  }

  #request({ socket }: NetSocket, stream: Stream, headers: RequestHeaders): void {
    const { time } = this.#options;
    const wire = new NetWire(stream, time);
    const verdict = judge(headers, this.#methods, this.#limits);
    if ('http' in verdict) return wire.refuseHttp(verdict.http, verdict.headers);
    if ('grpc' in verdict) return wire.refuse(verdict.grpc);
    const call = new GrpcCall(wire, headers, {
      peer: peerOf(socket),
      limits: limitsOf(this.#limits, verdict.call),
      assembly: this.#assembly,
      compressor: this.#compressor,
    });
    wire.serve(call);
    return call.start((opened) => verdict.call.open(opened), verdict.timeoutMs, time);
  }
}

function connectionLimits(limits: ServerLimits): ConnectionLimits {
  return {
    maxStreams: limits.maxStreamsPerConnection,
    maxHeaderBytes: limits.maxHeaderBytes,
    // Rapid reset (CVE-2023-44487).
    resets: { burst: 200, perSecond: 20 },
    idleFrames: { burst: 10_000, perSecond: 1_000 },
    maxUnsentBytes: 64 * 1024,
  };
}
