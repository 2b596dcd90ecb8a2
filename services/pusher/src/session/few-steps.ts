import type { TypeView } from '../view/type-view.ts';
import { isSame, type Step } from './step.ts';

interface Kept<Cached> {
  readonly step: Step;
  readonly cached: Cached;
}

/** Of one generation: targets, and bytes of frames. */
const maxTargets = 512;
const maxBytes = 4 * 1024 * 1024;
/** To one target, from different places. */
const maxOfTarget = 8;

/**
 * Steps of streams that ask for a few names. In a flood each is made by a stream or two, all at
 * once, and never again: what is kept of thousands a second for others to come would be most of
 * what a collector has to move. So few are kept, and found by where they go, without a key.
 */
export class FewSteps<Cached> {
  #young = new Map<TypeView, Kept<Cached>[]>();
  #old = new Map<TypeView, Kept<Cached>[]>();
  #youngBytes = 0;
  #oldBytes = 0;

  get bytes(): number {
    return this.#youngBytes + this.#oldBytes;
  }

  /** Gives what is known of a step, or what `make` makes of it. */
  find(step: Step, make: (step: Step) => Cached): Cached {
    let all = this.#young.get(step.target);
    if (all === undefined) {
      if (this.#young.size >= maxTargets || this.#youngBytes > maxBytes) this.turn();
      this.#young.set(step.target, (all = this.#old.get(step.target) ?? []));
    }
    for (const { step: known, cached } of all) if (isSame(known, step)) return cached;
    const cached = make(step);
    if (all.length >= maxOfTarget) all.shift();
    all.push({ step, cached });
    return cached;
  }

  /** A frame of one was made. */
  keep(bytes: number): void {
    this.#youngBytes += bytes;
  }

  /** Forgets what was not used in the last two generations. */
  turn(): void {
    this.#old = this.#young;
    this.#oldBytes = this.#youngBytes;
    this.#young = new Map();
    this.#youngBytes = 0;
  }
}
