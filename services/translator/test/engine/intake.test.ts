import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LogRecord, ReadBatch } from '@watershed/log/port.ts';
import { Intake, type Portion } from '../../src/engine/intake.ts';
import { periodMs, Periods } from '../../src/engine/periods.ts';

function batch(timesMs: readonly number[], first = 0, reset?: ReadBatch['reset']): ReadBatch {
  const records = timesMs.map((timestampMs, at): LogRecord => {
    return { key: 'k', value: undefined, headers: {}, offset: first + at, timestampMs };
  });
  const position = { topicId: 't', offset: first + timesMs.length };
  return { ...(reset === undefined ? {} : { reset }), records, position, caughtUp: true };
}

/** The parts of batches, each as the position behind it and the height of the boundary before it. */
function partsOf(...batches: readonly ReadBatch[]): readonly (readonly [number, number])[] {
  const periods = new Periods();
  return batches.flatMap((one) =>
    [...periods.split(one)].map(({ batch: { position }, height }) => [position.offset, height]),
  );
}

const portion = (end: number, height = 0, isUnfinished = false): Portion => {
  return { changes: [], end, height, isUnfinished };
};

describe('periods', () => {
  it('cut a batch where the time of the log goes from one to the next', () => {
    const times = [0, 1, 1.5, 2, 4].map((period) => period * periodMs);
    expect(partsOf(batch(times))).toEqual([
      [1, 0],
      [3, 1],
      [4, 2],
      [5, 3],
    ]);
  });

  it('are the same however the records are cut into batches', () => {
    const times = [0, 0, 3, 3, 4].map((period) => period * periodMs);
    const apart = times.map((time, at) => batch([time], at));
    const heights = (parts: ReturnType<typeof partsOf>): unknown =>
      parts.filter(([, height]) => height > 0).map(([, height]) => height);
    expect(heights(partsOf(...apart))).toEqual(heights(partsOf(batch(times))));
  });

  it('do not end when a clock goes back, and begin anew when all is read again', () => {
    const time = 7 * periodMs;
    expect(partsOf(batch([time, 0, time]))).toEqual([[3, 0]]);
    expect(partsOf(batch([time]), batch([0], 0, 'other-topic'))).toEqual([
      [1, 0],
      [1, 0],
    ]);
  });
});

describe('what a pass takes', () => {
  const taken = (intake: Intake<undefined>): readonly number[] => {
    const ends: number[] = [];
    intake.take(undefined, ({ end }) => ends.push(end));
    return ends;
  };

  it('ends before the highest boundary, the last of equal ones, or with all there is', () => {
    const intake = new Intake<undefined>();
    for (const [end, height] of [
      [1, 3],
      [2, 1],
      [3, 2],
      [4, 1],
      [5, 2],
      [6, 0],
    ] as const) {
      intake.add(portion(end, height));
    }
    expect(taken(intake)).toEqual([1, 2, 3, 4]);
    expect(taken(intake)).toEqual([5, 6]);
    expect(taken(intake)).toEqual([]);
  });

  it('is all or nothing of what is read again', () => {
    const intake = new Intake<undefined>();
    intake.add(portion(1));
    intake.add(portion(1, 0, true));
    intake.add(portion(2, 5, true));
    expect([taken(intake), taken(intake)]).toEqual([[1], []]);
    intake.add(portion(3, 6));
    expect(taken(intake)).toEqual([1, 2, 3]);
  });

  it('keeps the order of changes and of what is done between passes', async () => {
    const intake = new Intake<string[]>();
    const did: string[] = [];
    intake.add(portion(1));
    const done = intake.do((shard) => shard.push('work'));
    intake.add(portion(2, 1));
    expect(intake.take(did, ({ end }) => did.push(String(end)))).toBe(true);
    await done;
    expect(did).toEqual(['1', 'work']);
    expect(intake.take(did, ({ end }) => did.push(String(end)))).toBe(false);
    expect(did).toEqual(['1', 'work', '2']);
  });

  it('ends at every boundary that is high enough for the arrears, at whatever pace', () => {
    const spacing = fc.array(fc.integer({ min: 1, max: periodMs }), {
      minLength: 50,
      maxLength: 400,
    });
    const paces = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(spacing, paces, fc.integer({ min: 0, max: 4 }), (spaces, pace, k) => {
        let ms = 0;
        const times = spaces.map((space) => (ms += space));
        const portions = [...new Periods().split(batch(times))].map(({ batch: part, height }) => {
          const period = Math.floor((part.records[0]?.timestampMs ?? 0) / periodMs);
          return { ...portion(part.position.offset, height), period };
        });
        const intake = new Intake<undefined>();
        const stops = new Set<number>();
        let read = 0;
        let waits: number | undefined;
        for (let turn = 0; stops.size === 0 || read < portions.length; turn++) {
          const most = read + (pace[turn % pace.length] ?? 1);
          for (; read < Math.min(most, portions.length); read++) {
            const next = portions[read];
            if (next === undefined || next.period - (waits ?? next.period) > 2 ** k) break;
            waits ??= next.period;
            intake.add(next);
          }
          let end = 0;
          intake.take(undefined, (one) => (end = one.end));
          if (end === 0) break;
          stops.add(end);
          waits = portions.slice(0, read).find((one) => one.end > end)?.period;
        }
        for (const [at, { height = 0 }] of portions.slice(0, read).entries()) {
          const before = portions[at - 1];
          if (before === undefined || height <= k + 1) continue;
          expect(stops).toContain(before.end);
        }
      }),
    );
  });
});
