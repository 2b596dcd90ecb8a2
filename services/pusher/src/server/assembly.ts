import type { Timers } from '@watershed/runtime/clock.ts';

export interface AssemblyOptions {
  readonly timers: Timers;
  /** Large messages that are received at once. */
  readonly slots: number;
  /** After which one that is not whole lets others go on. */
  readonly slotMs: number;
}

/** Who may go on receiving a large message. */
export interface Slot {
  release(): void;
}

/**
 * Paces large messages: when a thousand proxies reconnect, each tells at once what it holds, 200 KB
 * and more. A few are received at a time, the others wait in their clients (by flow control), so
 * memory is bounded by the slots and not by the number of clients. One scratch buffer serves to
 * make them whole.
 */
export class Assembly {
  readonly #options: AssemblyOptions;
  readonly #waiting = new Map<object, () => void>();
  #used = 0;
  #scratch: Buffer = Buffer.alloc(0);

  constructor(options: AssemblyOptions) {
    this.#options = options;
  }

  /** A slot at once, or `undefined`: then `granted` is called when there is one. */
  take(who: object, granted: (slot: Slot) => void): Slot | undefined {
    if (this.#used < this.#options.slots) return this.#slot();
    this.#waiting.set(who, () => granted(this.#slot()));
    return undefined;
  }

  /** Waits no more. */
  forget(who: object): void {
    this.#waiting.delete(who);
  }

  /** The parts as one; valid until the next call. */
  join(parts: readonly Buffer[], bytes: number): Buffer {
    if (bytes > maxScratchBytes) return Buffer.concat(parts, bytes);
    if (this.#scratch.length < bytes) this.#scratch = Buffer.allocUnsafeSlow(scratchFor(bytes));
    let at = 0;
    for (const part of parts) at += part.copy(this.#scratch, at);
    return this.#scratch.subarray(0, bytes);
  }

  #slot(): Slot {
    this.#used++;
    let held = true;
    const release = (): void => {
      if (!held) return;
      held = false;
      timer.cancel();
      this.#used--;
      this.#next();
    };
    const timer = this.#options.timers.after(this.#options.slotMs, release);
    return { release };
  }

  #next(): void {
    for (const [who, go] of this.#waiting) {
      this.#waiting.delete(who);
      go();
      return;
    }
  }
}

const maxScratchBytes = 1024 * 1024;

function scratchFor(bytes: number): number {
  let size = 64 * 1024;
  while (size < bytes) size *= 2;
  return size;
}
