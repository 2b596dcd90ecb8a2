/**
 * When changed files may be read. Something that is being written keeps changing; something that
 * was moved away to be replaced is absent for a moment. So a change counts when it has stayed the
 * same for a while, and changes that are seen together wait for each other: a checkout of a hundred
 * files is one step.
 */
import type { SeenFile } from './tree.ts';

export interface SettlingTimes {
  readonly quietMs: number;
  readonly emptyQuietMs: number;
  readonly maxWaitMs: number;
}

interface Waiting {
  readonly stamp: string;
  readonly sinceMs: number;
}

const goneStamp = 'gone';
/** A file that is gone is left alone for so much longer than one that is new. */
const goneFactor = 3;

export class Settling {
  readonly #times: SettlingTimes;
  #waiting = new Map<string, Waiting>();
  /** When the first of the changes that wait was seen. */
  #firstMs: number | undefined;

  constructor(times: SettlingTimes) {
    this.#times = times;
  }

  /** Paths that wait. */
  get waiting(): Iterable<string> {
    return this.#waiting.keys();
  }

  /** How long all of the changes should still be left alone; 0: take them now. */
  waitMs(changed: ReadonlyMap<string, SeenFile | undefined>, nowMs: number): number {
    const waiting = new Map<string, Waiting>();
    let longestMs = 0;
    for (const [path, file] of changed) {
      const stamp = file?.stamp ?? goneStamp;
      const before = this.#waiting.get(path);
      const sinceMs = before?.stamp === stamp ? before.sinceMs : nowMs;
      waiting.set(path, { stamp, sinceMs });
      longestMs = Math.max(longestMs, sinceMs + this.#quietMs(file) - nowMs);
    }
    this.#waiting = waiting;
    if (changed.size === 0) {
      this.#firstMs = undefined;
      return 0;
    }
    this.#firstMs ??= nowMs;
    const leftMs = this.#firstMs + this.#times.maxWaitMs - nowMs;
    return Math.max(0, Math.min(longestMs, leftMs));
  }

  /** Whether the changes have waited as long as any may. */
  isOverdue(nowMs: number): boolean {
    return this.#firstMs !== undefined && nowMs - this.#firstMs >= this.#times.maxWaitMs;
  }

  #quietMs(file: SeenFile | undefined): number {
    const { quietMs, emptyQuietMs } = this.#times;
    // Where it was moved to, maybe in another source, it is read first: so it is never away.
    if (file === undefined) return goneFactor * quietMs;
    return file.size === 0 ? emptyQuietMs : quietMs;
  }

  /** The changes were taken. */
  taken(): void {
    this.#waiting = new Map();
    this.#firstMs = undefined;
  }
}
