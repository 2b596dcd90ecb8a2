import { systemTime, type Time, type Timer } from '@watershed/runtime/clock.ts';

interface Waiting {
  readonly dueMs: number;
  readonly fire: () => void;
  timer: Timer;
}

/**
 * The machine's time, for tests with real sockets, that can leap: a long wait is over when the test
 * says so, and however slow the machine is, not before.
 */
export class LeapingTime implements Time {
  #leapedMs = 0;
  readonly #waiting = new Set<Waiting>();

  now(): number {
    return systemTime.now() + this.#leapedMs;
  }

  monotonic(): number {
    return systemTime.monotonic() + this.#leapedMs;
  }

  after(delayMs: number, callback: () => void): Timer {
    const fire = (): void => {
      this.#waiting.delete(waiting);
      callback();
    };
    const dueMs = this.monotonic() + delayMs;
    const waiting: Waiting = { dueMs, fire, timer: systemTime.after(delayMs, fire) };
    this.#waiting.add(waiting);
    return {
      cancel: () => {
        this.#waiting.delete(waiting);
        waiting.timer.cancel();
      },
    };
  }

  soon(callback: () => void): Timer {
    return systemTime.soon(callback);
  }

  leap(durationMs: number): void {
    this.#leapedMs += durationMs;
    const nowMs = this.monotonic();
    for (const waiting of [...this.#waiting].sort((a, b) => a.dueMs - b.dueMs)) {
      waiting.timer.cancel();
      waiting.timer = systemTime.after(Math.max(0, waiting.dueMs - nowMs), waiting.fire);
    }
  }
}
