/**
 * Held deletions. When a large part of a source is gone at once, it is more often a listing that
 * went wrong (an empty mount, a wrong branch, a folder moved away) than somebody's wish. Such
 * objects stay until a person confirms, or until they return, over restarts too: what the log
 * keeps of each (`last-good.ts`) says that it is held. Objects of which no version was ever good do
 * not count: nothing depends on them.
 *
 * "At once" is one batch of a source plus what was removed in the seconds before: `rm` of a tree
 * may be seen in pieces. What is gone since the last run is one batch, however long ago that was;
 * what that run let go in its last seconds does not count with it: of which source it was is not
 * on the log any more, and it was less than would have been held.
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

interface Removal {
  readonly atMs: number;
  readonly count: number;
  readonly isHeld: boolean;
}

export class Holds {
  readonly #limits: HoldLimits;
  readonly #monotonicMs: () => number;
  readonly #held = new Map<string, HeldObject>();
  readonly #removals = new Map<string, readonly Removal[]>();

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
   * Why `count` objects that are gone from a source must be held; undefined if they may go. They
   * are remembered for the window. `left` is how many the source has without them, and without
   * those that are held.
   */
  judge(source: string, count: number, left: number): string | undefined {
    const nowMs = this.#monotonicMs();
    const recent = (this.#removals.get(source) ?? []).filter(
      ({ atMs }) => nowMs - atMs < this.#limits.windowMs,
    );
    const gone = recent.reduce((sum, removal) => sum + removal.count, count);
    const all = gone + left;
    const isHeld = gone >= this.#limits.objects && gone >= this.#limits.share * all;
    this.#removals.set(source, [...recent, { atMs: nowMs, count, isHeld }]);
    return isHeld ? `${gone} of the ${all} objects of ${source} are gone at once` : undefined;
  }

  /**
   * What is held was by an earlier process: what is found to be gone now counts with it, because
   * that process may have ended while it wrote what it held.
   */
  resume(): void {
    const atMs = this.#monotonicMs();
    for (const [source, held] of Map.groupBy(this.#held.values(), (object) => object.source)) {
      this.#removals.set(source, [{ atMs, count: held.length, isHeld: true }]);
    }
  }

  hold(object: HeldObject): void {
    this.#held.set(object.id, object);
  }

  /** It is written again; of what was held with it, the rest still counts. `false`: it was not held. */
  returned(id: string): boolean {
    const held = this.#held.get(id);
    if (held === undefined) return false;
    const removals = this.#removals.get(held.source) ?? [];
    const at = removals.findIndex(({ isHeld, count }) => isHeld && count > 0);
    this.#removals.set(
      held.source,
      removals.map((removal, index) =>
        index === at ? { ...removal, count: removal.count - 1 } : removal,
      ),
    );
    return this.#held.delete(id);
  }

  /** A person says that it may go: then what was held with it was no accident. */
  release(id: string): void {
    const source = this.#held.get(id)?.source ?? '';
    const removals = this.#removals.get(source) ?? [];
    this.#removals.set(
      source,
      removals.filter(({ isHeld }) => !isHeld),
    );
    this.#held.delete(id);
  }
}
