/**
 * Where passes may end. A cut needs an epoch at which every shard stood, and shards read and work
 * at their own pace: each would stop at another record of a busy log. So the log itself says where:
 * its time is divided into periods, and the _boundaries_ between them are the same for everybody.
 *
 * A boundary's _height_ is that of the highest bit in which the periods' numbers differ: between
 * two boundaries of one height lies a higher one. A shard goes to the highest boundary of all that
 * it has read (see `Intake`). Hence none is passed over by a shard whose arrears are shorter than
 * the distance from it to a higher one: a cut is possible about as often as the slowest shard's
 * arrears are long, whatever the number of shards.
 */
import type { ReadBatch } from '@watershed/log/port.ts';

/** Of the log's time. Shorter than people notice, and than changes are gathered for. */
export const periodMs = 100;

/** A part of a batch, within one period. */
export interface Part {
  readonly batch: ReadBatch;
  /** Of the boundary before it; 0: there is none. */
  readonly height: number;
}

export class Periods {
  #newest: number | undefined;

  /** Cuts a batch at the boundaries; batches must come in order. */
  *split(batch: ReadBatch): Generator<Part, void, void> {
    const { records, position } = batch;
    if (batch.reset !== undefined) this.#newest = undefined;
    let { reset } = batch;
    let from = 0;
    let height = 0;
    for (const [at, { offset, timestampMs }] of records.entries()) {
      const next = this.#enter(timestampMs);
      if (next === 0) continue;
      if (at > from) {
        const part = { records: records.slice(from, at), position: { ...position, offset } };
        yield { batch: { ...withReset(reset), ...part, caughtUp: false }, height };
        reset = undefined;
      }
      from = at;
      height = next;
    }
    const rest = { records: records.slice(from), position, caughtUp: batch.caughtUp };
    yield { batch: { ...withReset(reset), ...rest }, height };
  }

  /** The height of the boundary before a record of that time. Clocks that go back end no period. */
  #enter(timestampMs: number): number {
    const before = this.#newest;
    const now = Math.max(before ?? 0, Math.floor(timestampMs / periodMs));
    this.#newest = now;
    return before === undefined ? 0 : 32 - Math.clz32(before ^ now);
  }
}

function withReset(reset: ReadBatch['reset']): Pick<ReadBatch, 'reset'> {
  return reset === undefined ? {} : { reset };
}
