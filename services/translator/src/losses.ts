import type { LogError } from '@watershed/log/port.ts';
import type { Timer, Timers } from '@watershed/runtime/clock.ts';
import type { Logger } from '@watershed/runtime/logger.ts';

/** Those of one event come within moments: a shard claims one after the other. */
const gatherMs = 1_000;

/** Partitions are lost one by one, and mostly all of them at once: that is one line of the log. */
export class Losses {
  readonly #timers: Timers;
  readonly #logger: Logger;
  /** By what is said of them, what has not been said yet. */
  readonly #lost = new Map<string, { count: number; readonly reason: string }>();
  #timer: Timer | undefined;

  constructor(timers: Timers, logger: Logger) {
    this.#timers = timers;
    this.#logger = logger;
  }

  add(message: string, { message: reason }: LogError): void {
    const lost = this.#lost.get(message) ?? { count: 0, reason };
    lost.count++;
    this.#lost.set(message, lost);
    this.#timer ??= this.#timers.after(gatherMs, () => this.tell());
  }

  tell(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const [message, { count, reason }] of this.#lost) {
      this.#logger.warn(message, { partitions: count, reason });
    }
    this.#lost.clear();
  }
}
