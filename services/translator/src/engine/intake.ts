/**
 * What waits for the next pass: changes of `config`, and what is done to the shard between passes.
 * Both are worked through in the order in which they came: who has read all there was and then
 * takes a partition over has it when all of that is applied.
 */

/** What a fold tells of one key. */
export interface InputChange {
  readonly key: string;
  /** `undefined`: gone. */
  readonly value: Uint8Array | undefined;
  /** `undefined`: swept. */
  readonly record: InputRecord | undefined;
}

export interface InputRecord {
  readonly offset: number;
  readonly timestampMs: number;
  readonly headers: Readonly<Record<string, string>>;
}

/** Changes of one partition, in the order of the log. */
export interface Portion {
  readonly changes: readonly InputChange[];
  /** The position behind them. */
  readonly end: number;
  /** Of the boundary before them (see `Periods`). Absent: there is none. */
  readonly height?: number;
  /**
   * More must come before anything can be told: all is being read again, or compaction left gaps
   * (see `Gaps`). Default: not so.
   */
  readonly isUnfinished?: boolean;
}

interface Work<S> {
  readonly work: (shard: S) => void;
  readonly done: () => void;
}

export class Intake<S> {
  #waiting: (Portion | Work<S>)[] = [];

  add(portion: Portion): void {
    this.#waiting.push(portion);
  }

  /** Resolves when it was done: between passes, never within one. */
  do(work: (shard: S) => void): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ work, done: resolve });
    return promise;
  }

  /** Takes what belongs to the next pass; gives whether something is left for one after it. */
  take(shard: S, apply: (portion: Portion) => void): boolean {
    const stop = this.#stop();
    const taken = this.#waiting.slice(0, stop);
    this.#waiting = this.#waiting.slice(stop);
    for (const one of taken) {
      if ('work' in one) {
        one.work(shard);
        one.done();
      } else apply(one);
    }
    return stop > 0 && this.#waiting.length > 0;
  }

  /** How many belong to the next pass: up to the last of the highest boundaries, else all. */
  #stop(): number {
    let stop = 0;
    let highest = 0;
    let whole = 0;
    let isWhole = true;
    for (const [at, one] of this.#waiting.entries()) {
      if ('work' in one) {
        if (isWhole) whole = at + 1;
        continue;
      }
      const { height = 0, isUnfinished = false } = one;
      if (at > 0 && isWhole && height > 0 && height >= highest) {
        stop = at;
        highest = height;
      }
      isWhole = !isUnfinished;
      if (isWhole) whole = at + 1;
    }
    return stop > 0 ? stop : whole;
  }
}
