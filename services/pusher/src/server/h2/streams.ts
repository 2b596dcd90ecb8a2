import type { Stream } from './stream.ts';

/**
 * Of streams that are over, so many are remembered: what comes late of them is no error. More than
 * are opened and refused at once.
 */
const mostRemembered = 256;

/** The streams of one connection: those that are open, and those that lately were. */
export class Streams {
  readonly #open = new Map<number, Stream>();
  /** The newest that are over, and whether we reset them. */
  #over: Map<number, boolean> | undefined;
  /** Those that have more to send; the next is first. */
  #waiting: Set<Stream> | undefined;
  /** The largest number that a client used. */
  lastId = 0;

  get size(): number {
    return this.#open.size;
  }

  open(): Iterable<Stream> {
    return this.#open.values();
  }

  get(id: number): Stream | undefined {
    return this.#open.get(id);
  }

  /** Nobody has opened it yet. */
  isIdle(id: number): boolean {
    return id % 2 === 0 || id > this.lastId;
  }

  /**
   * Of a stream that is over; `undefined`: it was never opened, or so long ago that it is
   * forgotten.
   */
  resetByUs(id: number): boolean | undefined {
    return this.#over?.get(id);
  }

  add(stream: Stream): void {
    this.#open.set(stream.id, stream);
  }

  remove(stream: Stream, resetByUs: boolean): void {
    if (!this.#open.delete(stream.id)) return;
    this.#waiting?.delete(stream);
    this.remember(stream.id, resetByUs);
  }

  remember(id: number, resetByUs: boolean): void {
    this.#over ??= new Map();
    this.#over.set(id, resetByUs);
    if (this.#over.size <= mostRemembered) return;
    for (const oldest of this.#over.keys()) {
      this.#over.delete(oldest);
      return;
    }
  }

  wait(stream: Stream): void {
    this.#waiting ??= new Set();
    this.#waiting.add(stream);
  }

  /** It waits no more; if it has to, it goes behind the others. */
  nextWaiting(): Stream | undefined {
    for (const stream of this.#waiting ?? []) {
      this.#waiting?.delete(stream);
      return stream;
    }
    return undefined;
  }

  /** Forgets all; gives those that were open. */
  clear(): readonly Stream[] {
    const open = [...this.#open.values()];
    this.#open.clear();
    this.#waiting = undefined;
    return open;
  }
}
