import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Fold } from '../src/fold.ts';
import type { Log, TopicSpec } from '../src/port.ts';
import { data, describeWriters, record } from './conformance-writers.ts';
import { brief, isData, readAll, sleep, tail, textOf, until } from './support.ts';

/** One kind of log, with what a test must be able to do to it from outside. */
export interface LogHarness {
  /** Another connection to (or, where one process holds the log, another life of) the same data. */
  open(): Promise<Log>;
  /** Makes compaction treat all of the partition that is there now. */
  compact(log: Log, topic: string, partition: number): Promise<void>;
  /** Makes all tombstones of the partition, which `compact` has treated, go. */
  expireTombstones(log: Log, topic: string, partition: number): Promise<void>;
  /** Makes all records of a topic that is kept by time for `keptMs` go. */
  expireRecords(log: Log, topic: string, partition: number): Promise<void>;
  /** Deletes the topic; the log that is given is closed then. */
  deleteTopic(log: Log, topic: string): Promise<void>;
  readonly tombstoneMs: number;
  readonly keptMs: number;
  /** The configured bound of a record. */
  readonly maxRecordBytes: number;
  stop(): Promise<void>;
}

let topicNumber = 0;

/**
 * What every log must do. The suite knows a log by its port, and tells time and compaction to pass
 * through the harness only.
 */
export function describeLogConformance(name: string, make: () => Promise<LogHarness>): void {
  describe(`log: ${name}`, () => {
    let harness: LogHarness;
    const opened: Log[] = [];

    beforeAll(async () => {
      harness = await make();
    });
    afterAll(() => harness.stop());
    afterEach(async () => {
      await Promise.all(opened.splice(0).map((log) => log.close()));
    });

    async function open(): Promise<Log> {
      const log = await harness.open();
      opened.push(log);
      return log;
    }

    function compacted(partitions = 1): TopicSpec {
      return {
        name: `compacted-${topicNumber++}`,
        partitions,
        retention: { kind: 'compact', tombstoneMs: harness.tombstoneMs },
      };
    }

    async function start(
      spec = compacted(),
    ): Promise<{ log: Log; topic: string; spec: TopicSpec }> {
      const log = await open();
      await log.ensureTopics([spec]);
      return { log, topic: spec.name, spec };
    }

    /** `put(log, topic, 'a=1', 'b')`: an upsert of a and a tombstone of b. */
    function put(log: Log, topic: string, ...records: string[]): Promise<readonly number[]> {
      return log.append(records.map((text) => record(topic, text)));
    }

    describe('appending and reading', () => {
      it('keeps the order within each partition and gives each record its offset', async () => {
        const { log, topic } = await start(compacted(2));
        const offsets = await log.append([
          record(topic, 'a=1', 0),
          record(topic, 'b=1', 1),
          record(topic, 'a=2', 0),
          record(topic, 'c', 0),
          record(topic, 'b=2', 1),
        ]);
        const zero = await readAll(log, topic, 0);
        const one = await readAll(log, topic, 1);
        expect(brief(zero.records)).toEqual(['a=1', 'a=2', 'c']);
        expect(brief(one.records)).toEqual(['b=1', 'b=2']);
        expect(zero.records.map(({ offset }) => offset)).toEqual([
          offsets[0],
          offsets[2],
          offsets[3],
        ]);
        expect(one.records.map(({ offset }) => offset)).toEqual([offsets[1], offsets[4]]);
        expect(offsets[2]).toBeGreaterThan(offsets[0]!);
      });

      it('keeps the order of calls that do not wait for each other', async () => {
        const { log, topic } = await start();
        const names = Array.from({ length: 200 }, (_, i) => `k=${i}`);
        const calls = names.map((text) => put(log, topic, text));
        const offsets = (await Promise.all(calls)).flat();
        expect(offsets).toEqual([...offsets].sort((a, b) => a - b));
        expect(brief((await readAll(log, topic)).records)).toEqual(names);
      });

      it('tells an empty value from a tombstone, and carries headers and keys of any script', async () => {
        const { log, topic } = await start();
        const key = 'größe|東京|🚀';
        const headers = { traceparent: '00-ab-cd-01', schema: 'ünï', epoch: '7' };
        await log.append([
          { topic, partition: 0, key, value: new Uint8Array(0), headers },
          { topic, partition: 0, key, value: undefined },
        ]);
        const { records } = await readAll(log, topic);
        expect(records.map((r) => [r.key, r.value?.byteLength, r.headers])).toEqual([
          [key, 0, headers],
          [key, undefined, {}],
        ]);
        expect(Math.abs(records[0]!.timestampMs - Date.now())).toBeLessThan(86_400_000 * 365);
      });

      it('appends nothing, at once, for an empty list', async () => {
        const { log } = await start();
        expect(await log.append([])).toEqual([]);
      });

      it('has every acknowledged append of many concurrent writers exactly where it said', async () => {
        const { log, topic } = await start(compacted(3));
        const expected = new Map<string, string>();
        await Promise.all(
          Array.from({ length: 20 }, async (_, writer) => {
            for (let i = 0; i < 10; i++) {
              const partition = (writer + i) % 3;
              // Keys of their own: compaction may run meanwhile.
              const text = `w${writer}-${i}=1`;
              const [offset] = await log.append([record(topic, text, partition)]);
              expected.set(`${partition}/${offset}`, text);
            }
          }),
        );
        const found = new Map<string, string>();
        for (const partition of [0, 1, 2]) {
          for (const r of (await readAll(log, topic, partition)).records) {
            found.set(`${partition}/${r.offset}`, brief([r])[0]!);
          }
        }
        expect(expected.size).toBe(200);
        expect([...found].sort()).toEqual([...expected].sort());
      });

      it('takes a record of the largest size, and refuses a larger one before it appends anything', async () => {
        const { log, topic } = await start();
        const large = new Uint8Array(harness.maxRecordBytes - 100).fill(7);
        await log.append([{ topic, partition: 0, key: 'large', value: large }]);
        const tooLarge = new Uint8Array(harness.maxRecordBytes + 1);
        await expect(
          log.append([
            record(topic, 'small=1'),
            { topic, partition: 0, key: 'too-large', value: tooLarge },
          ]),
        ).rejects.toMatchObject({ code: 'record-too-large', retriable: false });
        const { records } = await readAll(log, topic);
        expect(records.map(({ key }) => key)).toEqual(['large']);
        expect(Buffer.compare(records[0]!.value!, large)).toBe(0);
      });

      it('hands a long backlog over in bounded batches, with only the last one caught up', async () => {
        const { log, topic } = await start();
        const value = new Uint8Array(64 * 1024).fill(1);
        const count = 100;
        for (let i = 0; i < count; i += 10) {
          await log.append(
            Array.from({ length: 10 }, (_, j) => ({
              topic,
              partition: 0,
              key: `k${i + j}`,
              value,
            })),
          );
        }
        const { batches, records } = await readAll(log, topic);
        expect(records.map(({ key }) => key)).toEqual(
          Array.from({ length: count }, (_, i) => `k${i}`),
        );
        expect(batches.length).toBeGreaterThan(3);
        for (const batch of batches) {
          const size = batch.records.reduce((sum, r) => sum + r.value!.byteLength, 0);
          expect(size).toBeLessThanOrEqual(2 * 1024 * 1024);
        }
        expect(batches.map(({ caughtUp }) => caughtUp)).toEqual([
          ...batches.slice(1).map(() => false),
          true,
        ]);
      });

      it('wakes a reader that waits at the end', async () => {
        const { log, topic } = await start();
        const seen: string[] = [];
        let caughtUp = 0;
        const reader = tail(log, topic, 0, undefined, (batch) => {
          seen.push(...brief(batch.records));
          if (batch.caughtUp) caughtUp++;
        });
        await until('the reader is at the end', () => caughtUp === 1);
        await put(log, topic, 'a=1');
        await until('it has the first', () => seen.length === 1);
        await put(log, topic, 'a=2', 'b=1');
        await until('it has all', () => seen.length === 3);
        await reader.stop();
        expect(seen).toEqual(['a=1', 'a=2', 'b=1']);
      });

      it('lets a slow reader set the pace: nothing is lost or repeated', async () => {
        const { log, topic } = await start();
        const names = Array.from({ length: 50 }, (_, i) => `k${i}=1`);
        const seen: string[] = [];
        const stop = new AbortController();
        const reading = (async () => {
          for await (const batch of log.read(topic, 0, undefined, stop.signal)) {
            await sleep(20);
            seen.push(...brief(batch.records));
          }
        })();
        for (const text of names) await put(log, topic, text);
        await until('all are seen', () => seen.length >= names.length);
        stop.abort();
        await reading;
        expect(seen).toEqual(names);
      });
    });

    describe('positions and resets', () => {
      it('starts at the beginning without a position, and says so once', async () => {
        const { log, topic } = await start();
        await put(log, topic, 'a=1', 'b=1');
        const { batches, records } = await readAll(log, topic);
        expect(batches.map(({ reset }) => reset)).toEqual([
          'no-position',
          ...batches.slice(1).map(() => undefined),
        ]);
        expect(brief(records)).toEqual(['a=1', 'b=1']);
      });

      it('goes on exactly behind a position, also in another life of the log', async () => {
        const { log, topic } = await start();
        await put(log, topic, 'a=1', 'b=1');
        const { position } = await readAll(log, topic);
        await put(log, topic, 'a=2');
        const same = await readAll(log, topic, 0, position);
        expect(same.reset).toBeUndefined();
        expect(brief(same.records)).toEqual(['a=2']);
        await log.close();
        const again = await open();
        const other = await readAll(again, topic, 0, position);
        expect(other.reset).toBeUndefined();
        expect(brief(other.records)).toEqual(['a=2']);
      });

      it('keeps what was acknowledged over a close and an open', async () => {
        const { log, topic } = await start();
        await put(log, topic, 'a=1', 'b=1', 'a');
        const end = await log.end(topic, 0);
        await log.close();
        const again = await open();
        expect(brief((await readAll(again, topic)).records)).toEqual(['a=1', 'b=1', 'a']);
        expect(await again.end(topic, 0)).toMatchObject({
          topicId: end.topicId,
          offset: end.offset,
        });
        const [offset] = await put(again, topic, 'c=1');
        expect(offset).toBeGreaterThanOrEqual(end.offset);
      });

      it('yields an empty, caught-up batch at once for an empty partition and at its end', async () => {
        const { log, topic } = await start();
        const empty = await readAll(log, topic);
        expect(empty.batches).toHaveLength(1);
        expect(empty.batches[0]).toMatchObject({
          reset: 'no-position',
          records: [],
          caughtUp: true,
        });
        await put(log, topic, 'a=1');
        const atEnd = await readAll(log, topic, 0, await log.end(topic, 0));
        expect(atEnd.batches).toHaveLength(1);
        expect(atEnd.batches[0]).toMatchObject({ records: [], caughtUp: true });
        expect(atEnd.reset).toBeUndefined();
      });

      it('resets a position of a topic that was deleted and created again', async () => {
        const { log, topic, spec } = await start();
        await put(log, topic, 'a=1', 'b=1');
        const { position } = await readAll(log, topic);
        await harness.deleteTopic(log, topic);
        const again = await open();
        await again.ensureTopics([spec]);
        await put(again, topic, 'c=1', 'd=1', 'e=1');
        const { reset, records, position: fresh } = await readAll(again, topic, 0, position);
        expect(reset).toBe('other-topic');
        expect(brief(records)).toEqual(['c=1', 'd=1', 'e=1']);
        expect(fresh.topicId).not.toBe(position.topicId);
      });

      it('resets a position beyond the end', async () => {
        const { log, topic } = await start();
        await put(log, topic, 'a=1');
        const end = await log.end(topic, 0);
        const { reset, records } = await readAll(log, topic, 0, {
          ...end,
          offset: end.offset + 1,
        });
        expect(reset).toBe('beyond-end');
        expect(brief(records)).toEqual(['a=1']);
      });

      it('resets a position that is older than the removal of tombstones, and a fold sweeps', async () => {
        const { log, topic } = await start();
        await put(log, topic, 'stays=1', 'goes=1');
        const fold = new Fold();
        for (const batch of (await readAll(log, topic)).batches) fold.apply(batch);
        expect(fold.get('goes')).toBeDefined();
        await put(log, topic, 'goes', 'new=1');
        await harness.compact(log, topic, 0);
        await harness.expireTombstones(log, topic, 0);
        const { reset, batches, records } = await readAll(log, topic, 0, fold.position);
        expect(reset).toBe('older-than-tombstones');
        expect(brief(records)).toEqual(['stays=1', 'new=1']);
        const changes = batches.flatMap((batch) => fold.apply(batch)).filter(isData);
        expect(changes.map(({ key, value }) => [key, textOf(value)])).toEqual([
          ['new', '1'],
          ['goes', undefined],
        ]);
      });

      it('resets a position before the records that time has removed', async () => {
        const spec: TopicSpec = {
          name: `timed-${topicNumber++}`,
          partitions: 1,
          retention: { kind: 'time', ms: harness.keptMs },
        };
        const { log, topic } = await start(spec);
        await put(log, topic, 'a=1', 'b=1');
        const { position } = await readAll(log, topic);
        await put(log, topic, 'c=1');
        await harness.expireRecords(log, topic, 0);
        await put(log, topic, 'd=1');
        const old = await readAll(log, topic, 0, position);
        expect(old.reset).toBe('older-than-tombstones');
        expect(brief(old.records)).toEqual(['d=1']);
        const next = await readAll(log, topic, 0, old.position);
        expect(next.reset).toBeUndefined();
      });
    });

    describe('compaction', () => {
      it('keeps the last append of each key, its offset, and the order', async () => {
        const { log, topic } = await start();
        const offsets = await put(log, topic, 'a=1', 'b=1', 'a=2', 'c=1', 'b=2', 'a=3', 'c');
        await harness.compact(log, topic, 0);
        const { records } = await readAll(log, topic);
        expect(brief(records)).toEqual(['b=2', 'a=3', 'c']);
        expect(records.map(({ offset }) => offset)).toEqual(offsets.slice(4));
      });

      it('leaves gaps that positions may point into, with no reset', async () => {
        const { log, topic } = await start();
        const offsets = await put(log, topic, 'a=1', 'b=1', 'a=2', 'b=2', 'c=1');
        const { topicId, atMs } = (await readAll(log, topic)).position;
        await harness.compact(log, topic, 0);
        for (const [index, expected] of [
          [1, ['a=2', 'b=2', 'c=1']],
          [3, ['b=2', 'c=1']],
          [4, ['c=1']],
        ] as const) {
          const position = {
            topicId,
            offset: offsets[index]!,
            ...(atMs === undefined ? {} : { atMs }),
          };
          const { reset, records } = await readAll(log, topic, 0, position);
          expect(reset).toBeUndefined();
          expect(brief(records)).toEqual(expected);
        }
      });

      it('keeps tombstones for their time, then removes them; the end stays, and is caught up', async () => {
        const { log, topic } = await start();
        await put(log, topic, 'a=1', 'b=1', 'a', 'b');
        await harness.compact(log, topic, 0);
        expect(brief((await readAll(log, topic)).records)).toEqual(['a', 'b']);
        await harness.expireTombstones(log, topic, 0);
        const end = await log.end(topic, 0);
        const { records, batches, position } = await readAll(log, topic);
        expect(brief(records)).toEqual([]);
        expect(batches.at(-1)?.caughtUp).toBe(true);
        expect(position.offset).toBe(end.offset);
        const [offset] = await put(log, topic, 'c=1');
        expect(offset).toBeGreaterThanOrEqual(end.offset);
      });

      it('does not disturb a reader that lives through it', async () => {
        const { log, topic } = await start();
        const fold = new Fold();
        let resets = 0;
        const reader = tail(log, topic, 0, undefined, (batch) => {
          if (batch.reset !== undefined) resets++;
          fold.apply(batch);
        });
        await put(log, topic, 'a=1', 'b=1', 'a=2');
        await harness.compact(log, topic, 0);
        await put(log, topic, 'b', 'c=1');
        await harness.compact(log, topic, 0);
        await put(log, topic, 'a=3');
        await until('it has the last', () => textOf(fold.get('a')) === '3');
        await reader.stop();
        expect(resets).toBe(1);
        expect(data(fold)).toEqual({ a: '3', c: '1' });
      });
    });

    describeWriters({ start, compact: (log, topic) => harness.compact(log, topic, 0) });

    describe('errors and the end', () => {
      it('refuses topics and partitions that are not there', async () => {
        const { log, topic } = await start();
        const missing = { code: 'unknown-topic', retriable: false };
        await expect(put(log, 'absent', 'a=1')).rejects.toMatchObject(missing);
        await expect(log.append([record(topic, 'a=1', 1)])).rejects.toMatchObject(missing);
        await expect(log.end('absent', 0)).rejects.toMatchObject(missing);
        await expect(readAll(log, 'absent')).rejects.toMatchObject(missing);
        await expect(readAll(log, topic, 1)).rejects.toMatchObject(missing);
      });

      it('creates topics once, and refuses another number of partitions', async () => {
        const { log, topic, spec } = await start(compacted(2));
        await put(log, topic, 'a=1');
        await log.ensureTopics([spec, compacted()]);
        expect(brief((await readAll(log, topic)).records)).toEqual(['a=1']);
        await expect(log.ensureTopics([{ ...spec, partitions: 3 }])).rejects.toMatchObject({
          code: 'partition-mismatch',
          retriable: false,
        });
      });

      it('ends a reader when its signal aborts, while it waits and before it starts', async () => {
        const { log, topic } = await start();
        const stop = new AbortController();
        let batches = 0;
        const reading = (async () => {
          for await (const _ of log.read(topic, 0, undefined, stop.signal)) batches++;
        })();
        await until('the reader waits', () => batches === 1);
        stop.abort();
        await reading;
        for await (const _ of log.read(topic, 0, undefined, stop.signal)) batches++;
        expect(batches).toBe(1);
      });

      it('lets a consumer stop in the midst and read again', async () => {
        const { log, topic } = await start();
        await put(log, topic, 'a=1');
        for (let i = 0; i < 3; i++) {
          for await (const batch of log.read(topic, 0, undefined, new AbortController().signal)) {
            expect(batch.reset).toBe('no-position');
            break;
          }
        }
        expect(brief((await readAll(log, topic)).records)).toEqual(['a=1']);
      });

      it('closes: appends that wait are done first, readers and later calls fail', async () => {
        const { log, topic } = await start();
        let waiting = false;
        const reading = (async () => {
          for await (const _ of log.read(topic, 0, undefined, new AbortController().signal)) {
            waiting = true;
          }
        })();
        reading.catch(() => undefined);
        await until('the reader waits', () => waiting);
        const last = put(log, topic, 'a=1');
        await log.close();
        expect(await last).toHaveLength(1);
        const closed = { code: 'closed', retriable: false };
        await expect(reading).rejects.toMatchObject(closed);
        await expect(put(log, topic, 'b=1')).rejects.toMatchObject(closed);
        await expect(log.end(topic, 0)).rejects.toMatchObject(closed);
        await expect(readAll(log, topic)).rejects.toMatchObject(closed);
        await log.close();
        expect(brief((await readAll(await open(), topic)).records)).toEqual(['a=1']);
      });
    });
  });
}
