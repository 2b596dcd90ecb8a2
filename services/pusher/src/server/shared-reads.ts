import type { Socket } from 'node:net';
import { free } from './growing.ts';

/** Of a read that follows one that was full. */
const largeBytes = 64 * 1024;
/** Of any other. Who has to wait behind it is held with so much, and the rest waits in the kernel. */
const smallBytes = 8 * 1024;

/** All sockets are read into it, one after the other. */
const large = Buffer.allocUnsafeSlow(largeBytes);
const small = large.subarray(0, smallBytes);

/**
 * Hands on what comes of a socket that was accepted; valid during the call only. Node would make a
 * buffer of each read: 64 KiB of garbage outside its heap, of which a thousand proxies that come
 * back make 300 MB. For sockets that connect it takes a buffer to read into (`onread`); those that
 * were accepted have the parts of that, and where a node has them not, nothing is lost but memory.
 */
export function readFrom(socket: Socket, read: (bytes: Buffer) => void): void {
  if (readShared(socket, read)) return;
  socket.on('data', (bytes: Buffer) => {
    read(bytes);
    // Nobody may keep it.
    free(bytes);
  });
}

/** Whether it is read into the shared buffer. */
export function readShared(socket: Socket, read: (bytes: Buffer) => void): boolean {
  const handle: unknown = Reflect.get(socket, '_handle');
  if (typeof handle !== 'object' || handle === null) return false;
  const useUserBuffer: unknown = Reflect.get(handle, 'useUserBuffer');
  if (parts.some((part) => part === undefined)) parts = partsOf(socket);
  const [buffer, callback, next] = parts;
  if (buffer === undefined || callback === undefined || next === undefined) return false;
  if (typeof useUserBuffer !== 'function') return false;
  let wasFull = false;
  Reflect.set(socket, buffer, small);
  Reflect.set(socket, callback, (bytes: number, into: Buffer) => {
    wasFull = bytes === into.length;
    read(into.subarray(0, bytes));
    return !socket.isPaused();
  });
  Reflect.set(socket, next, () => (wasFull && !socket.isPaused() ? large : small));
  Reflect.apply(useUserBuffer, handle, [small]);
  // For its end to be told.
  socket.resume();
  return true;
}

/** Keys of what Node reads into, whom it tells, and where it gets the next buffer. */
type Parts = readonly (symbol | undefined)[];

/** They are the same for all sockets. */
let parts: Parts = [undefined];

function partsOf(socket: Socket): Parts {
  const symbols = Object.getOwnPropertySymbols(socket);
  return ['kBuffer', 'kBufferCb', 'kBufferGen'].map((name) =>
    symbols.find(({ description }) => description === name),
  );
}
