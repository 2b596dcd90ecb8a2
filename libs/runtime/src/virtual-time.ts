import type { Time, Timer } from './clock.ts';

interface Entry {
  readonly dueMs: number;
  /** Ties fire in the order in which they were set. */
  readonly sequence: number;
  readonly callback: () => void;
}

/**
 * Time that passes only when told to, for tests and the simulator. Timers fire in order of their
 * due time, and promises settle between two of them, as they do with real timers.
 */
export class VirtualTime implements Time {
  readonly #epochMs: number;
  #elapsedMs = 0;
  #sequence = 0;
  readonly #pending = new Set<Entry>();

  /** `epochMs`: what `now` says at first. */
  constructor(epochMs = Date.UTC(2026, 0, 1)) {
    this.#epochMs = epochMs;
  }

  now(): number {
    return this.#epochMs + this.#elapsedMs;
  }

  monotonic(): number {
    return this.#elapsedMs;
  }

  after(delayMs: number, callback: () => void): Timer {
    const entry: Entry = {
      dueMs: this.#elapsedMs + Math.max(0, delayMs),
      sequence: this.#sequence++,
      callback,
    };
    this.#pending.add(entry);
    return { cancel: () => void this.#pending.delete(entry) };
  }

  soon(callback: () => void): Timer {
    return this.after(0, callback);
  }

  /** How many timers wait. */
  get pending(): number {
    return this.#pending.size;
  }

  /**
   * Lets `durationMs` pass: fires what becomes due, including what the callbacks set, and settles
   * promises.
   */
  async advance(durationMs: number): Promise<void> {
    const untilMs = this.#elapsedMs + durationMs;
    await settle();
    for (
      let next = this.#next();
      next !== undefined && next.dueMs <= untilMs;
      next = this.#next()
    ) {
      this.#pending.delete(next);
      this.#elapsedMs = next.dueMs;
      next.callback();
      await settle();
    }
    this.#elapsedMs = untilMs;
  }

  #next(): Entry | undefined {
    let first: Entry | undefined;
    for (const entry of this.#pending) {
      if (first === undefined || entry.dueMs < first.dueMs) first = entry;
      else if (entry.dueMs === first.dueMs && entry.sequence < first.sequence) first = entry;
    }
    return first;
  }
}

/**
 * A turn of the real event loop: every promise that can settle without I/O or time has settled
 * then.
 */
function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
