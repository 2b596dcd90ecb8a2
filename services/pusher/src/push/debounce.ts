import type { Clock, Timer, Timers } from '@watershed/runtime/clock.ts';

export interface DebounceOptions {
  /** Fires when nothing was noted for so long. */
  readonly afterMs: number;
  /** Fires that long after the first note, quiet or not. */
  readonly maxMs: number;
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly timers: Timers;
  /** `heldMs`: since the first note. */
  readonly fire: (heldMs: number) => void;
}

/** Gathers changes that come together, so that they are pushed together. */
export class Debouncer {
  readonly #options: DebounceOptions;
  #timer: Timer | undefined;
  #firstMs = 0;
  #lastMs = 0;

  constructor(options: DebounceOptions) {
    this.#options = options;
  }

  get pending(): boolean {
    return this.#timer !== undefined;
  }

  note(): void {
    this.#lastMs = this.#options.clock.monotonic();
    if (this.#timer !== undefined) return;
    this.#firstMs = this.#lastMs;
    this.#arm();
  }

  /** Fires now if something is held. */
  flush(): void {
    if (this.#timer === undefined) return;
    this.#timer.cancel();
    this.#fire();
  }

  cancel(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  get #dueMs(): number {
    const { afterMs, maxMs } = this.#options;
    return Math.min(this.#lastMs + afterMs, this.#firstMs + maxMs);
  }

  /** One timer for a burst: it is set again when it goes off too early, not at each note. */
  #arm(): void {
    const delayMs = Math.max(0, this.#dueMs - this.#options.clock.monotonic());
    this.#timer = this.#options.timers.after(delayMs, () => {
      if (this.#dueMs > this.#options.clock.monotonic()) this.#arm();
      else this.#fire();
    });
  }

  #fire(): void {
    this.#timer = undefined;
    this.#options.fire(this.#options.clock.monotonic() - this.#firstMs);
  }
}
