import type { Server, Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import { OperatingError, toOperatingError } from '@watershed/runtime/errors.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import type { ServerLimits, TlsOptions } from './port.ts';
import { tlsOptions } from './tls-options.ts';

export interface ListenerOptions {
  readonly logger: Logger;
  readonly limits: ServerLimits;
}

/** Where a server listens, whatever it makes of its connections. */
export class Listener {
  readonly #server: Server;
  readonly #options: ListenerOptions;
  /** By their peers: nobody else knows of them, and nothing was promised to them. */
  readonly #handshakes = new Map<string, Socket>();

  constructor(server: Server, options: ListenerOptions) {
    this.#server = server;
    this.#options = options;
    server.maxConnections = options.limits.maxConnections;
    if (!(server instanceof TlsServer)) return;
    server.on('connection', (socket: Socket) => {
      const peer = peerOf(socket);
      this.#handshakes.set(peer, socket);
      socket.once('close', () => {
        if (this.#handshakes.get(peer) === socket) this.#handshakes.delete(peer);
      });
    });
    server.on('secureConnection', (socket) => this.#handshakes.delete(peerOf(socket)));
  }

  /** Resolves with the port. */
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
    if (!(this.#server instanceof TlsServer)) return;
    this.#server.setSecureContext(tlsOptions(tls, this.#options.limits));
  }

  /** Resolves when the last connection is gone; `signal`: `cut` is to end those that are left. */
  stop(signal: AbortSignal, cut: () => void): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => {
        signal.removeEventListener('abort', cut);
        resolve();
      });
      for (const socket of this.#handshakes.values()) socket.destroy();
      if (signal.aborted) cut();
      else signal.addEventListener('abort', cut, { once: true });
    });
  }
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
