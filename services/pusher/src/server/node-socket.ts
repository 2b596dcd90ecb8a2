/**
 * What stands behind node's stream of a socket. The stream costs objects, and a dozen places of
 * memory to be read, for each read and each write; whoever finds the parts named here may do
 * without.
 */
import type { Socket } from 'node:net';

/** A write that the kernel did not take all of. */
export interface WriteRequest {
  oncomplete?: (result: number) => void;
  /** What must not be collected until then. */
  what?: unknown;
}

/** What node says of a write: 0, or why there was none. */
export type WriteResult = number | undefined;

/** Libuv's stream, or TLS on it. */
export interface Handle {
  /** Told of each read; what it gives is read into from then on. */
  onread: () => Uint8Array | undefined;
  useUserBuffer(into: Uint8Array): void;
  readStart(): void;
  readStop(): void;
  writeBuffer(request: WriteRequest, bytes: Uint8Array): WriteResult;
  writev(request: WriteRequest, parts: readonly Uint8Array[], allAreBytes: true): WriteResult;
}

export interface StreamWrap {
  readonly WriteWrap: new () => WriteRequest;
  readonly streamBaseState: Int32Array;
  /** Where in it there is how much was read, or why nothing was. */
  readonly kReadBytesOrError: number;
  /** And whether the last write waits. */
  readonly kLastWriteWasAsync: number;
}

/** `undefined`: this node has them not. */
export const streamWrap: StreamWrap | undefined = findStreamWrap();

export function handleOf(socket: Socket): Handle | undefined {
  const handle: unknown = Reflect.get(socket, '_handle');
  return isHandle(handle) ? handle : undefined;
}

function findStreamWrap(): StreamWrap | undefined {
  const binding: unknown = Reflect.get(process, 'binding');
  if (typeof binding !== 'function') return undefined;
  try {
    const found: unknown = Reflect.apply(binding, process, ['stream_wrap']);
    return isStreamWrap(found) ? found : undefined;
  } catch {
    // It is deprecated: some day it is gone.
    return undefined;
  }
}

function isStreamWrap(found: unknown): found is StreamWrap {
  if (typeof found !== 'object' || found === null) return false;
  return (
    typeof Reflect.get(found, 'WriteWrap') === 'function' &&
    Reflect.get(found, 'streamBaseState') instanceof Int32Array &&
    ['kReadBytesOrError', 'kLastWriteWasAsync'].every(
      (name) => typeof Reflect.get(found, name) === 'number',
    )
  );
}

const methods = ['onread', 'useUserBuffer', 'readStart', 'readStop', 'writeBuffer', 'writev'];

function isHandle(found: unknown): found is Handle {
  if (typeof found !== 'object' || found === null) return false;
  return methods.every((name) => typeof Reflect.get(found, name) === 'function');
}
