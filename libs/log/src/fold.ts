import { Epochs, sameBytes } from './ownership.ts';
import type { LogRecord, Position, ReadBatch } from './port.ts';

/** One key's value changed. */
export interface Change {
  readonly key: string;
  /** `undefined`: the key is gone. */
  readonly value: Uint8Array | undefined;
  /**
   * What changed it. `undefined`: swept, because the key was not seen when everything was read
   * again.
   */
  readonly record: LogRecord | undefined;
}

/** All that a fold knows: kept, it spares a process that restarts the reading of everything. */
export interface FoldState {
  readonly position: Position | undefined;
  readonly epochs: readonly (readonly [domain: string, epoch: number])[];
  readonly entries: Iterable<readonly [key: string, value: Uint8Array]>;
}

interface Entry {
  /** One string for all changes of the key: what looks it up need not read it again. */
  readonly key: string;
  value: Uint8Array;
  /** The number of the reading (a reset begins one) that saw the key last. */
  round: number;
}

/**
 * The reader's side of a compacted partition: the last valid value of each key. It ignores void
 * records of writers that do not own their keys any more (`ownership.ts`), handles every reset
 * (read all, then sweep), and tells of changes only: a value that was appended again is none.
 *
 * A tombstone needs no memory here: an old owner's later append of the key is void by the domain's
 * epoch, which is kept for ever.
 */
export class Fold {
  readonly #entries = new Map<string, Entry>();
  #epochs: Epochs;
  #position: Position | undefined;
  #round = 0;
  /** Between a reset and the end of what was there then. */
  #sweeping = false;
  #caughtUp = false;

  constructor(state?: FoldState) {
    this.#position = state?.position;
    this.#epochs = new Epochs(state?.epochs);
    for (const [key, value] of state?.entries ?? []) {
      this.#entries.set(key, { key, value, round: 0 });
    }
  }

  /** Where to go on reading. */
  get position(): Position | undefined {
    return this.#position;
  }

  /** Everything up to the end, as known at the last batch, is in; nothing stale is left. */
  get caughtUp(): boolean {
    return this.#caughtUp;
  }

  /** All is being read again, after a reset: what is held may be stale. */
  get isReadingAgain(): boolean {
    return this.#sweeping;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): Uint8Array | undefined {
    return this.#entries.get(key)?.value;
  }

  *entries(): Generator<readonly [key: string, value: Uint8Array], void, void> {
    for (const [key, { value }] of this.#entries) yield [key, value];
  }

  /** The changes, in the order in which they happened; swept keys last. Batches must come in order. */
  apply(batch: ReadBatch): readonly Change[] {
    if (batch.reset !== undefined) this.#startOver();
    const changes: Change[] = [];
    for (const record of batch.records) {
      const change = this.#applyRecord(record);
      if (change !== undefined) changes.push(change);
    }
    this.#position = batch.position;
    if (batch.caughtUp && this.#sweeping) {
      this.#sweeping = false;
      for (const [key, entry] of this.#entries) {
        if (entry.round === this.#round) continue;
        this.#entries.delete(key);
        changes.push({ key, value: undefined, record: undefined });
      }
    }
    this.#caughtUp = batch.caughtUp;
    return changes;
  }

  state(): FoldState {
    return { position: this.#position, epochs: this.#epochs.entries(), entries: this.entries() };
  }

  #startOver(): void {
    this.#round++;
    this.#sweeping = true;
    // An epoch judges what comes after it, and now comes what was before.
    this.#epochs = new Epochs();
  }

  #applyRecord(record: LogRecord): Change | undefined {
    const { key, value } = record;
    const held = this.#entries.get(key);
    switch (this.#epochs.judge(record)) {
      case 'claim':
        return undefined;
      case 'void':
        // The valid record before it may be compacted away: what is held stays until the repair.
        if (held !== undefined) held.round = this.#round;
        return undefined;
      case 'valid':
        break;
    }
    if (value === undefined) {
      return this.#entries.delete(key) ? { key, value, record } : undefined;
    }
    if (held === undefined) {
      this.#entries.set(key, { key, value, round: this.#round });
      return { key, value, record };
    }
    held.round = this.#round;
    if (sameBytes(held.value, value)) return undefined;
    held.value = value;
    return { key: held.key, value, record };
  }
}
