import type { Timers } from '@watershed/runtime/clock.ts';
import { free, ownBuffers, type Buffers } from './growing.ts';

export interface AssemblyOptions {
  readonly timers: Timers;
  /** Large messages that are received at once. */
  readonly slots: number;
  /** After which one that is not whole is given up: it would keep its memory. */
  readonly slotMs: number;
}

/** Who may go on receiving a large message. */
export interface Slot {
  release(): void;
}

/**
 * Paces large messages: when a thousand proxies reconnect, each tells at once what it holds, 200 KB
 * and more. A few are received at a time, the others wait in their clients (by flow control), so
 * memory is bounded by the slots and not by the number of clients. What they are put together in is
 * used again: as garbage it would be a few hundred MB.
 */
export class Assembly {
  readonly buffers: Buffers = new LargeBuffers();
  readonly #options: AssemblyOptions;
  readonly #waiting = new Map<object, () => void>();
  #used = 0;
  #granting = false;

  constructor(options: AssemblyOptions) {
    this.#options = options;
  }

  /**
   * A slot at once, or `undefined`: then `granted` is called when there is one, in another turn.
   * `late`: it has been held for too long, and is taken away.
   */
  take(who: object, granted: (slot: Slot) => void, late: () => void): Slot | undefined {
    if (this.#used < this.#options.slots && this.#waiting.size === 0) return this.#slot(late);
    this.#waiting.set(who, () => granted(this.#slot(late)));
    return undefined;
  }

  /** Waits no more. */
  forget(who: object): void {
    this.#waiting.delete(who);
  }

  #slot(late: () => void): Slot {
    const { timers, slotMs } = this.#options;
    this.#used++;
    let held = true;
    const release = (): void => {
      if (!held) return;
      held = false;
      timer.cancel();
      this.#used--;
      // Not here: whoever is granted one may be done with it at once, and so the next, and so on.
      if (this.#granting || this.#waiting.size === 0) return;
      this.#granting = true;
      timers.soon(() => this.#grant());
    };
    const timer = timers.after(slotMs, () => {
      release();
      late();
    });
    return { release };
  }

  #grant(): void {
    this.#granting = false;
    for (let free = this.#options.slots - this.#used; free > 0; free--) {
      const [next] = this.#waiting;
      if (next === undefined) return;
      const [who, go] = next;
      this.#waiting.delete(who);
      go();
    }
  }
}

const smallestBytes = 64 * 1024;
const largestBytes = 1024 * 1024;
const mostKeptBytes = 16 * 1024 * 1024;

/** Keeps large buffers, by their sizes: powers of two. */
class LargeBuffers implements Buffers {
  readonly #kept = new Map<number, Buffer[]>();
  #keptBytes = 0;

  take(bytes: number): Buffer {
    if (bytes < smallestBytes / 2 || bytes > largestBytes) return ownBuffers.take(bytes);
    let size = smallestBytes;
    while (size < bytes) size *= 2;
    const kept = this.#kept.get(size)?.pop();
    if (kept === undefined) return Buffer.allocUnsafeSlow(size);
    this.#keptBytes -= size;
    return kept;
  }

  giveBack(buffer: Buffer): void {
    const size = buffer.length;
    const pooled = size >= smallestBytes && size <= largestBytes && (size & (size - 1)) === 0;
    if (!pooled || this.#keptBytes + size > mostKeptBytes) {
      free(buffer);
      return;
    }
    this.#keptBytes += size;
    const kept = this.#kept.get(size);
    if (kept === undefined) this.#kept.set(size, [buffer]);
    else kept.push(buffer);
  }
}
