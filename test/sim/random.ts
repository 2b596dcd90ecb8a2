/** Of a millisecond: sums of such times are exact, so that no timer fires a hair too early. */
const grain = 1 / 1_024;

/** Not less than `ms`. */
export function onGrain(ms: number): number {
  return Math.ceil(ms / grain) * grain;
}

/** All that is not certain in a simulated world comes from here, and here from the seed. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** In [0, 1): mulberry32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  }

  /** A whole number in [0, below). */
  below(below: number): number {
    return Math.floor(this.next() * below);
  }

  /** A time between both, and as often between 1 and 10 as between 10 and 100. */
  spread(from: number, to: number): number {
    return onGrain(from * (to / from) ** this.next());
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new RangeError('there is nothing to pick');
    return item;
  }

  /** Draws of its own: what one part of the world draws moves nothing in the others. */
  fork(): Random {
    return new Random(this.below(0x1_0000_0000));
  }
}
