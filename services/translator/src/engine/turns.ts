import type { Clock, Timers } from '@watershed/runtime/clock.ts';

/** Of work without a pause: longer, and others (other tiers in this process, too) notice. */
const maxTurnMs = 10;

/** Cuts long work into turns of the event loop. */
export class Turns {
  readonly #clock: Clock;
  readonly #timers: Timers;
  #sinceMs = 0;

  constructor(clock: Clock, timers: Timers) {
    this.#clock = clock;
    this.#timers = timers;
  }

  begin(): void {
    this.#sinceMs = this.#clock.monotonic();
  }

  /** Lets others have a turn if this one has lasted long enough. */
  async pause(): Promise<void> {
    if (this.#clock.monotonic() - this.#sinceMs < maxTurnMs) return;
    await new Promise<void>((resolve) => {
      this.#timers.soon(resolve);
    });
    this.begin();
  }
}
