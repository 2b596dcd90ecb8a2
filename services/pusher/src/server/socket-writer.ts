import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import {
  streamWrap,
  type Handle,
  type StreamWrap,
  type WriteRequest,
  type WriteResult,
} from './node-socket.ts';

/** A socket that is written to, as its owner has it: what each write reads stands in one object. */
export interface WrittenSocket {
  readonly socket: Socket;
  /** `undefined`: this node has none to be written to. */
  readonly handle: Handle | undefined;
  /** Writes that have not left; more would only be kept. Nobody but the way out changes it. */
  unsent: number;
  /** All that was written has left. */
  drained(): void;
}

/** How sockets are written to. What is given may not be changed afterwards. */
export interface WayOut {
  write(to: WrittenSocket, bytes: Uint8Array): void;
  /** In one go. */
  writeAll(to: WrittenSocket, parts: readonly Uint8Array[]): void;
}

/**
 * Node's writer is a stream in front of the socket: for each write it makes objects and asks for a
 * turn of its own, and reads and writes a dozen places of memory. So where there is a way to what
 * stands behind that stream, and what is written is not to be encrypted, it is taken.
 */
export function wayOutOf(to: WrittenSocket): WayOut {
  return directWay(to) ?? wayByStream(to);
}

/** `undefined`: there is no way, or none in this node. */
export function directWay({ socket, handle }: WrittenSocket): WayOut | undefined {
  if (streamWrap === undefined || handle === undefined) return undefined;
  return socket instanceof TLSSocket ? undefined : direct;
}

/** By node:net. */
export function wayByStream(to: WrittenSocket): WayOut {
  to.socket.on('drain', () => {
    to.unsent = 0;
    to.drained();
  });
  return byStream;
}

const byStream: WayOut = {
  write(to, bytes) {
    const { socket } = to;
    if (socket.destroyed || socket.writableEnded) return;
    socket.write(bytes);
    to.unsent = isFull(socket) ? 1 : 0;
  },
  writeAll(to, parts) {
    to.socket.cork();
    for (const part of parts) this.write(to, part);
    to.socket.uncork();
    to.unsent = isFull(to.socket) ? 1 : 0;
  },
};

function isFull({ writableLength, writableNeedDrain }: Socket): boolean {
  return writableLength > 0 && writableNeedDrain;
}

/** Most writes need none, but have to bring one. */
let spare: WriteRequest | undefined;

class DirectWay implements WayOut {
  readonly #node: StreamWrap;

  constructor(node: StreamWrap) {
    this.#node = node;
  }

  write(to: WrittenSocket, bytes: Uint8Array): void {
    const request = (spare ??= new this.#node.WriteWrap());
    this.#written(to, request, to.handle?.writeBuffer(request, bytes), bytes);
  }

  writeAll(to: WrittenSocket, parts: readonly Uint8Array[]): void {
    const request = (spare ??= new this.#node.WriteWrap());
    this.#written(to, request, to.handle?.writev(request, parts, true), parts);
  }

  #written(to: WrittenSocket, request: WriteRequest, result: WriteResult, what: unknown): void {
    const { streamBaseState, kLastWriteWasAsync } = this.#node;
    if (result !== 0) return failed(to);
    if (streamBaseState[kLastWriteWasAsync] === 0) return undefined;
    // The kernel has not taken all of it.
    spare = undefined;
    to.unsent++;
    request.what = what;
    request.oncomplete = (done) => {
      to.unsent--;
      if (done !== 0) failed(to);
      else if (to.unsent === 0) to.drained();
    };
    return undefined;
  }
}

/** Where the socket was ended, it ends by itself. */
function failed({ socket }: WrittenSocket): void {
  if (!socket.writableEnded) socket.destroy();
}

const direct = streamWrap === undefined ? undefined : new DirectWay(streamWrap);
