/** One process's life: everything that it does ends with it, at any await. */
import type { Time, Timer } from '@watershed/runtime/clock.ts';
import type { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import { onGrain } from './random.ts';

/**
 * A process that crashes is one whose timers never fire again and whose calls are never answered:
 * its code stands still at the await where it was.
 */
export class Life {
  readonly name: string;
  readonly time: Time;
  readonly #timers = new Set<Timer>();
  readonly #atEnd: (() => void)[] = [];
  #skewMs = 0;
  #over = false;

  constructor(name: string, world: VirtualTime) {
    this.name = name;
    const bornMs = world.monotonic();
    const after = (delayMs: number, callback: () => void): Timer => {
      if (this.#over) return { cancel: () => undefined };
      const timer = world.after(onGrain(delayMs), () => {
        this.#timers.delete(timer);
        callback();
      });
      this.#timers.add(timer);
      return {
        cancel: () => {
          this.#timers.delete(timer);
          timer.cancel();
        },
      };
    };
    this.time = {
      now: () => Math.floor(world.now() + this.#skewMs),
      monotonic: () => world.monotonic() - bornMs,
      after,
      soon: (callback) => after(0, callback),
    };
  }

  get over(): boolean {
    return this.#over;
  }

  /** Its wall clock is wrong by so much from now on. */
  setClock(skewMs: number): void {
    this.#skewMs = skewMs;
  }

  /** Called when it ends. */
  atEnd(callback: () => void): void {
    this.#atEnd.push(callback);
  }

  end(): void {
    if (this.#over) return;
    this.#over = true;
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
    for (const callback of this.#atEnd) callback();
  }
}
