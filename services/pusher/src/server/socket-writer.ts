import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import {
  handleOf,
  streamWrap,
  type Handle,
  type StreamWrap,
  type WriteRequest,
} from './node-socket.ts';

/** Writes to a socket. */
export interface SocketWriter {
  /** More would only be kept: not before `SocketWriterOwner.drained`. */
  readonly isFull: boolean;
  /** All of them in one go. They may not be changed afterwards. */
  write(parts: readonly Uint8Array[]): void;
}

export interface SocketWriterOwner {
  /** All that was written has left. */
  drained(): void;
}

/**
 * Node's writer is a stream in front of the socket: for each write it makes objects and asks for a
 * turn of its own, and reads and writes a dozen places of memory. So where there is a way to what
 * stands behind that stream, and what is written is not to be encrypted, it is taken.
 */
export function writerTo(socket: Socket, owner: SocketWriterOwner): SocketWriter {
  return directWriter(socket, owner) ?? new StreamWriter(socket, owner);
}

/** `undefined`: there is no way, or none in this node. */
export function directWriter(socket: Socket, owner: SocketWriterOwner): SocketWriter | undefined {
  const handle = handleOf(socket);
  if (streamWrap === undefined || handle === undefined) return undefined;
  if (socket instanceof TLSSocket) return undefined;
  return new DirectWriter(streamWrap, socket, handle, owner);
}

/** By node:net. */
export class StreamWriter implements SocketWriter {
  readonly #socket: Socket;
  isFull = false;

  constructor(socket: Socket, owner: SocketWriterOwner) {
    this.#socket = socket;
    socket.on('drain', () => {
      this.isFull = false;
      owner.drained();
    });
  }

  write(parts: readonly Uint8Array[]): void {
    const socket = this.#socket;
    if (socket.destroyed || socket.writableEnded) return;
    const [first] = parts;
    if (parts.length === 1 && first !== undefined) socket.write(first);
    else {
      socket.cork();
      for (const part of parts) socket.write(part);
      socket.uncork();
    }
    this.isFull = socket.writableLength > 0 && socket.writableNeedDrain;
  }
}

/** Most writes need none, but have to bring one. */
let spare: WriteRequest | undefined;

class DirectWriter implements SocketWriter {
  readonly #node: StreamWrap;
  readonly #socket: Socket;
  readonly #handle: Handle;
  readonly #owner: SocketWriterOwner;
  /** Writes that the kernel has not taken all of. */
  #waiting = 0;

  constructor(node: StreamWrap, socket: Socket, handle: Handle, owner: SocketWriterOwner) {
    this.#node = node;
    this.#socket = socket;
    this.#handle = handle;
    this.#owner = owner;
  }

  get isFull(): boolean {
    return this.#waiting > 0;
  }

  write(parts: readonly Uint8Array[]): void {
    const { WriteWrap, streamBaseState, kLastWriteWasAsync } = this.#node;
    const handle = this.#handle;
    const request = (spare ??= new WriteWrap());
    const [first] = parts;
    const result =
      parts.length === 1 && first !== undefined
        ? handle.writeBuffer(request, first)
        : handle.writev(request, parts, true);
    if (result !== 0) this.#failed();
    else if (streamBaseState[kLastWriteWasAsync] !== 0) this.#wait(request, parts);
  }

  #wait(request: WriteRequest, parts: readonly Uint8Array[]): void {
    spare = undefined;
    this.#waiting++;
    request.parts = parts;
    request.oncomplete = (result) => {
      this.#waiting--;
      if (result !== 0) this.#failed();
      else if (this.#waiting === 0) this.#owner.drained();
    };
  }

  /** Where the socket was ended, it ends by itself. */
  #failed(): void {
    if (!this.#socket.writableEnded) this.#socket.destroy();
  }
}
