import type { Socket } from 'node:net';
import type { Timer, Timers } from '@watershed/runtime/clock.ts';
import { Connection } from './h2/connection.ts';
import type { ConnectionLimits } from './h2/limits.ts';
import type { Outlet, Shared } from './h2/outlet.ts';
import type { RequestHeaders } from './h2/request-headers.ts';
import type { Stream } from './h2/stream.ts';
import { readerOf, type SocketReader, type SocketReaderOwner } from './socket-reader.ts';
import { handleOf, type Handle } from './node-socket.ts';
import { wayOutOf, type WayOut, type WrittenSocket } from './socket-writer.ts';

export interface NetSocketOptions {
  readonly limits: ConnectionLimits;
  readonly shared: Shared;
  readonly now: () => number;
  readonly timers: Timers;
  request(socket: NetSocket, stream: Stream, headers: RequestHeaders): void;
  closed(socket: NetSocket): void;
}

/** To be written in one go; more waits for the socket. */
const mostPendingBytes = 128 * 1024;
/** Smaller parts are copied together: each costs more to hand to the kernel than its bytes. */
const smallBytes = 1_024;
/** For the last frames to arrive, and for the peer to close. */
const lingerMs = 1_000;

/** A connection on its socket. */
export class NetSocket implements Outlet, SocketReaderOwner, WrittenSocket {
  readonly socket: Socket;
  readonly handle: Handle | undefined;
  unsent = 0;
  readonly connection: Connection;
  readonly #options: NetSocketOptions;
  /** To be written: one, or several. */
  #one: Uint8Array | undefined;
  #several: Uint8Array[] | undefined;
  #pendingBytes = 0;
  readonly #wayOut: WayOut;
  readonly #reader: SocketReader;
  #over = false;
  #linger: Timer | undefined;

  constructor(socket: Socket, options: NetSocketOptions) {
    this.socket = socket;
    this.#options = options;
    this.handle = handleOf(socket);
    this.#wayOut = wayOutOf(this);
    this.connection = new Connection({ ...options, outlet: this });
    this.#reader = readerOf(socket, this);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#closed());
  }

  received(bytes: Buffer): void {
    this.connection.receive(bytes);
  }

  get writable(): boolean {
    return this.unsent === 0 && this.#pendingBytes < mostPendingBytes;
  }

  send(bytes: Uint8Array): void {
    if (this.#several !== undefined) this.#several.push(bytes);
    else if (this.#one === undefined) this.#one = bytes;
    else this.#several = [this.#one, bytes];
    this.#pendingBytes += bytes.length;
  }

  flush(): void {
    while (this.#pendingBytes > 0 || this.connection.someWait) {
      this.#write();
      if (this.unsent > 0 || !(this.connection.proceed() || this.#pendingBytes > 0)) break;
    }
    if (this.#over) this.socket.end();
  }

  read(on: boolean): void {
    this.#reader.read(on);
  }

  request(stream: Stream, headers: RequestHeaders): void {
    this.#options.request(this, stream, headers);
  }

  over(): void {
    if (this.#over) return;
    this.#over = true;
    this.socket.end();
    this.#linger = this.#options.timers.after(lingerMs, () => this.socket.destroy());
  }

  #write(): void {
    const one = this.#one;
    const several = this.#several;
    const bytes = this.#pendingBytes;
    this.#one = undefined;
    this.#several = undefined;
    this.#pendingBytes = 0;
    if (one === undefined || this.#over) return;
    if (several === undefined) this.#wayOut.write(this, one);
    else if (bytes <= smallBytes) this.#wayOut.write(this, Buffer.concat(several, bytes));
    else this.#wayOut.writeAll(this, several);
  }

  drained(): void {
    this.connection.proceed();
    this.flush();
  }

  #closed(): void {
    this.#linger?.cancel();
    this.connection.lost();
    this.#options.closed(this);
  }
}
