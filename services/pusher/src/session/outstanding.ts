import type { TypeView } from '../view/type-view.ts';
import type { Frame } from './frame.ts';
import { traitsOf } from './type-traits.ts';

/** A response that was sent and not answered yet. */
export class Outstanding {
  readonly frame: Frame;
  /** What the client held before it. */
  readonly before: TypeView | undefined;
  readonly sentMs: number;
  /** How many doubtful versions it tried again. */
  readonly probed: number;
  /** This one and no other: what most streams await. */
  readonly alone: readonly Outstanding[] = [this];

  constructor(frame: Frame, before: TypeView | undefined, sentMs: number, probed: number) {
    this.frame = frame;
    this.before = before;
    this.sentMs = sentMs;
    this.probed = probed;
  }
}

/**
 * Gives streams that are sent the same at the same time one object: it is what a push would leave
 * of itself for each of thousands, in memory that is in no cache when the ACK comes.
 */
export class Sendings {
  #last: Outstanding | undefined;

  of(frame: Frame, before: TypeView | undefined, sentMs: number, probed: number): Outstanding {
    const last = this.#last;
    const isSame = last?.frame === frame && last.before === before && last.sentMs === sentMs;
    if (isSame && last.probed === probed) return last;
    const made = new Outstanding(frame, before, sentMs, probed);
    // Open secrets live until they are answered, and no longer.
    const { stage } = traitsOf(frame.plan.typeUrl);
    this.#last = stage === 'secrets' ? undefined : made;
    return made;
  }
}
