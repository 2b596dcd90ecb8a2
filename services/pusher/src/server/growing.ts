/** Where buffers come from, and go to for others to use. */
export interface Buffers {
  /** Of so many bytes at the least. */
  take(bytes: number): Buffer;
  giveBack(buffer: Buffer): void;
}

/** Node cuts smaller ones than 32 KiB out of larger ones: those cannot be given back. */
const wholeBytes = 2 * 1024;

/** Each is the garbage collector's, or given back (see `free`) where it is no part of another. */
export const ownBuffers: Buffers = {
  take: (bytes) => (bytes < wholeBytes ? Buffer.allocUnsafe(bytes) : Buffer.allocUnsafeSlow(bytes)),
  giveBack: () => undefined,
};

const leastBytes = 256;
/** What is expected to be larger, and to be no more than that, is given its room at once. */
const largeBytes = 32 * 1024;
const mostAtOnceBytes = 1024 * 1024;

/** Bytes that come in parts. Holds less than twice what came, or what is expected. */
export class Growing {
  readonly #buffers: Buffers;
  #buffer: Buffer | undefined;
  #bytes = 0;

  constructor(buffers: Buffers) {
    this.#buffers = buffers;
  }

  get length(): number {
    return this.#bytes;
  }

  /** A copy of `part`. `expected`: so many there will be in all, as far as is known. */
  append(part: Uint8Array, expected = 0): void {
    const needed = this.#bytes + part.length;
    if (this.#buffer === undefined || this.#buffer.length < needed) {
      const least = expected > largeBytes && expected <= mostAtOnceBytes ? expected : leastBytes;
      const doubled = Math.max(least, 2 * needed);
      const larger = this.#buffers.take(expected >= needed ? Math.min(doubled, expected) : doubled);
      if (this.#buffer !== undefined) {
        this.#buffer.copy(larger, 0, 0, this.#bytes);
        this.#buffers.giveBack(this.#buffer);
      }
      this.#buffer = larger;
    }
    this.#buffer.set(part, this.#bytes);
    this.#bytes = needed;
  }

  /** What is there; valid until `clear`. */
  view(): Buffer {
    return this.#buffer?.subarray(0, this.#bytes) ?? nothing;
  }

  clear(): void {
    if (this.#buffer !== undefined) this.#buffers.giveBack(this.#buffer);
    this.#buffer = undefined;
    this.#bytes = 0;
  }
}

const nothing = Buffer.alloc(0);

/**
 * Gives memory back at once that nobody may use any more. Left to the garbage collector, buffers
 * pile up by the hundred MB, and V8 then collects all.
 */
export function free(bytes: Buffer): void {
  const { buffer } = bytes;
  const whole = bytes.byteLength === buffer.byteLength;
  if (whole && buffer instanceof ArrayBuffer && !buffer.detached) buffer.transfer(0);
}
