import type { Socket } from 'node:net';
import { Cut } from './cut.ts';
import { free } from './growing.ts';
import { handleOf, streamWrap, type Handle } from './node-socket.ts';

/** Reads a socket that was accepted. */
export interface SocketReader {
  /** Whether what comes is read, or waits in the kernel. */
  read(on: boolean): void;
}

export interface SocketReaderOwner {
  /** Valid during the call only. */
  received(bytes: Buffer): void;
}

/** Of a read that follows one that was full. */
const largeBytes = 64 * 1024;
/** Of any other. Who has to wait behind it is held with so much, and the rest waits in the kernel. */
const smallBytes = 8 * 1024;

/** All sockets are read into it, one after the other. */
const large = Buffer.allocUnsafeSlow(largeBytes);
const small = large.subarray(0, smallBytes);
const cut = new Cut();

/**
 * Node would make a buffer of each read: 64 KiB of garbage outside its heap, of which a thousand
 * proxies that come back make 300 MB. And it is told of each by a stream. For sockets that connect
 * it takes a buffer to read into (`onread`); those that were accepted have the parts of that, and
 * where a node has them not, nothing is lost but memory and time.
 */
export function readerOf(socket: Socket, owner: SocketReaderOwner): SocketReader {
  return directReader(socket, owner) ?? new StreamReader(socket, owner);
}

/** `undefined`: there is no way past the stream in this node. */
export function directReader(socket: Socket, owner: SocketReaderOwner): SocketReader | undefined {
  const handle = handleOf(socket);
  if (handle === undefined || streamWrap === undefined) return undefined;
  const { onread } = handle;
  const read = Object.assign(handle, {
    [ours]: owner,
    [theirs]: onread,
    [into]: small,
    [on]: true,
  });
  read.onread = readDirectly;
  handle.useUserBuffer(small);
  // For its end to be told.
  socket.resume();
  return {
    read: (isOn) => {
      read[on] = isOn;
      if (isOn) handle.readStart();
      else handle.readStop();
    },
  };
}

const ours = Symbol('owner');
const theirs = Symbol('onread');
const into = Symbol('into');
const on = Symbol('on');

/** What a handle has that is read so: a closure for each would be two more places of memory. */
interface ReadHandle extends Handle {
  readonly [ours]: SocketReaderOwner;
  readonly [theirs]: Handle['onread'];
  [into]: Buffer;
  [on]: boolean;
}

function readDirectly(this: ReadHandle): Uint8Array | undefined {
  const bytes = streamWrap?.streamBaseState[streamWrap.kReadBytesOrError] ?? 0;
  if (bytes <= 0) {
    // Its end, or why it ended, is the stream's matter.
    Reflect.apply(this[theirs], this, []);
    return undefined;
  }
  const before = this[into];
  this[ours].received(cut.part(before, 0, bytes));
  const next = bytes === before.length && this[on] ? large : small;
  if (next === before) return undefined;
  this[into] = next;
  return next;
}

/** By node:net. */
class StreamReader implements SocketReader {
  readonly #socket: Socket;

  constructor(socket: Socket, owner: SocketReaderOwner) {
    this.#socket = socket;
    socket.on('data', (bytes: Buffer) => {
      owner.received(bytes);
      // Nobody may keep it.
      free(bytes);
    });
  }

  read(on: boolean): void {
    if (on) this.#socket.resume();
    else this.#socket.pause();
  }
}
