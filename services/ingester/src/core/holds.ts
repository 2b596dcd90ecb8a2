/**
 * Held deletions. When a large part of a source is gone at once, it is more often a listing that
 * went wrong (an empty mount, a wrong branch, a folder moved away) than somebody's wish. Such
 * objects stay until a person confirms, or until they return, over restarts too: what the log
 * keeps of each (`last-good.ts`) says that it is held.
 *
 * "At once" is one batch of a source plus what was removed in the seconds before: `rm` of a tree
 * may be seen in pieces.
 */
import type { Subject } from './diagnostics.ts';

export interface HoldLimits {
  /** Fewer objects than that are never held. */
  readonly objects: number;
  /** Held from this share of the source's objects on, 0 to 1. */
  readonly share: number;
  /** How long removals count together. */
  readonly windowMs: number;
}

export const defaultHoldLimits: HoldLimits = { objects: 20, share: 0.5, windowMs: 5_000 };

export interface HeldObject {
  readonly id: string;
  readonly subject: Subject;
  readonly source: string;
  readonly reason: string;
  /** Milliseconds since the Unix epoch. */
  readonly sinceMs: number;
}

export class Holds {
  readonly #limits: HoldLimits;
  readonly #monotonicMs: () => number;
  readonly #held = new Map<string, HeldObject>();
  readonly #removals = new Map<string, { readonly atMs: number; readonly count: number }[]>();

  constructor(monotonicMs: () => number, limits: HoldLimits = defaultHoldLimits) {
    this.#monotonicMs = monotonicMs;
    this.#limits = limits;
  }

  get size(): number {
    return this.#held.size;
  }

  has(id: string): boolean {
    return this.#held.has(id);
  }

  /** `undefined`: it is not held. */
  get(id: string): HeldObject | undefined {
    return this.#held.get(id);
  }

  /** In the order in which they were held. */
  list(): readonly HeldObject[] {
    return [...this.#held.values()];
  }

  /**
   * Why `count` objects that are gone from a source must be held; undefined if they may go, and
   * then they are remembered for the window. `left` is how many the source has without them.
   */
  judge(source: string, count: number, left: number): string | undefined {
    const nowMs = this.#monotonicMs();
    const recent = (this.#removals.get(source) ?? []).filter(
      ({ atMs }) => nowMs - atMs < this.#limits.windowMs,
    );
    const gone = recent.reduce((sum, removal) => sum + removal.count, count);
    const all = gone + left;
    if (gone >= this.#limits.objects && gone >= this.#limits.share * all) {
      return `${gone} of the ${all} objects of ${source} are gone at once`;
    }
    this.#removals.set(source, [...recent, { atMs: nowMs, count }]);
    return undefined;
  }

  hold(object: HeldObject): void {
    this.#held.set(object.id, object);
  }

  /** It returned, or was released. */
  dissolve(id: string): boolean {
    return this.#held.delete(id);
  }
}
