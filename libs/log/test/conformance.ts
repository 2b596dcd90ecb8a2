import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Fold } from '../src/fold.ts';
import { OwnedPartition } from '../src/owned.ts';
import { encodeEpoch, epochHeader } from '../src/ownership.ts';
import type { Domain } from '../src/ownership.ts';
import type { Append, Log, TopicSpec } from '../src/port.ts';
import {
  brief,
  bytes,
  isData,
  readAll,
  realTime,
  seeded,
  sleep,
  tail,
  textOf,
  until,
} from './support.ts';

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
              const text = `w${writer}=${i}`;
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

    describe('writers', () => {
      function owner(
        log: Log,
        topic: string,
        writer: string,
        domain?: Domain,
      ): Promise<OwnedPartition> {
        return OwnedPartition.open({
          log,
          topic,
          partition: 0,
          ...(domain === undefined ? {} : { domain }),
          writer,
          time: realTime,
          retryMs: 20,
        });
      }

      function stamped(topic: string, text: string, epoch: number, domain?: Domain): Append {
        return { ...record(topic, text), headers: { [epochHeader]: encodeEpoch(epoch, domain) } };
      }

      async function folded(log: Log, topic: string): Promise<Record<string, string>> {
        const fold = new Fold();
        for (const batch of (await readAll(log, topic)).batches) fold.apply(batch);
        return data(fold);
      }

      it('appends a value only if it differs, and a tombstone only if the key is there', async () => {
        const { log, topic } = await start();
        const a = await owner(log, topic, 'a');
        expect(await a.set('k', bytes('1'))).toBe(true);
        expect(await a.set('k', bytes('1'), { traceparent: 'other' })).toBe(false);
        expect(await a.delete('absent')).toBe(false);
        expect(await a.set('k', bytes('2'))).toBe(true);
        expect(await a.delete('k')).toBe(true);
        expect(await a.delete('k')).toBe(false);
        await a.close();
        const { records } = await readAll(log, topic);
        expect(brief(records).slice(1)).toEqual(['k=1', 'k=2', 'k']);
      });

      it('takes a domain over with what the last owner left, and writes nothing that is equal', async () => {
        const { log, topic } = await start();
        const a = await owner(log, topic, 'a');
        await a.write([
          { key: 'x', value: bytes('1') },
          { key: 'y', value: bytes('1') },
          { key: 'z', value: bytes('1') },
        ]);
        await a.close();
        const b = await owner(log, topic, 'b');
        expect([...b.keys()].sort()).toEqual(['x', 'y', 'z']);
        expect(await b.set('x', bytes('1'))).toBe(false);
        expect(await b.set('y', bytes('2'))).toBe(true);
        expect(await b.retain(new Set(['x', 'y']))).toBe(1);
        await b.close();
        expect(await folded(log, topic)).toEqual({ x: '1', y: '2' });
      });

      it('tells an owner that a newer one exists, and fails its writes', async () => {
        const { log, topic } = await start();
        const a = await owner(log, topic, 'a');
        const b = await owner(log, topic, 'b');
        await until('a is lost', () => a.lost.aborted);
        expect(a.lost.reason).toMatchObject({ code: 'fenced', retriable: false });
        await expect(a.set('k', bytes('a'))).rejects.toMatchObject({ code: 'fenced' });
        expect(b.epoch).toBeGreaterThan(a.epoch);
        await b.set('k', bytes('b'));
        await Promise.all([a.close(), b.close()]);
        expect(await folded(log, topic)).toEqual({ k: 'b' });
      });

      it('never leaves the append of an old owner last, for live readers and new ones', async () => {
        const { log, topic } = await start();
        const live = new Fold();
        const seen: string[] = [];
        const reader = tail(log, topic, 0, undefined, (batch) => {
          for (const { key, value } of live.apply(batch)) {
            if (isData({ key })) seen.push(value === undefined ? key : `${key}=${textOf(value)}`);
          }
        });
        const a = await owner(log, topic, 'a');
        await a.write([
          { key: 'same', value: bytes('1') },
          { key: 'gone', value: bytes('1') },
        ]);
        const b = await owner(log, topic, 'b');
        await b.delete('gone');
        // The old owner has not noticed: it overwrites, brings back and invents keys.
        await log.append([
          stamped(topic, 'same=zombie', a.epoch),
          stamped(topic, 'gone=zombie', a.epoch),
          stamped(topic, 'invented=zombie', a.epoch),
        ]);
        await harness.compact(log, topic, 0);
        const expected = { same: '1' };
        await until('it is repaired', async () => {
          const last = new Map(
            (await readAll(log, topic)).records.map((r) => [r.key, textOf(r.value)]),
          );
          return (
            last.get('same') === '1' && last.has('invented') && last.get('invented') === undefined
          );
        });
        await harness.compact(log, topic, 0);
        expect(await folded(log, topic)).toEqual(expected);
        await until('the live reader has seen it all', () => live.caughtUp);
        expect(data(live)).toEqual(expected);
        // An equal value that is appended again is no change.
        expect(seen).toEqual(['same=1', 'gone=1', 'gone']);
        await Promise.all([a.close(), b.close()]);
        await reader.stop();
      });

      it('repairs at take-over what an old owner wrote when nobody owned the domain', async () => {
        const { log, topic } = await start();
        const a = await owner(log, topic, 'a');
        await a.set('kept', bytes('1'));
        await a.set('lost', bytes('1'));
        const b = await owner(log, topic, 'b');
        await b.close();
        await log.append([
          stamped(topic, 'kept=zombie', a.epoch),
          stamped(topic, 'lost=zombie', a.epoch),
        ]);
        const live = new Fold();
        for (const batch of (await readAll(log, topic)).batches) live.apply(batch);
        expect(data(live)).toEqual({ kept: '1', lost: '1' });
        // Compaction removes the valid values, so the next owner does not know them.
        await harness.compact(log, topic, 0);
        const c = await owner(log, topic, 'c');
        expect([...c.keys()]).toEqual([]);
        await c.set('kept', bytes('1'));
        await c.retain(new Set(['kept']));
        await c.close();
        await harness.compact(log, topic, 0);
        expect(await folded(log, topic)).toEqual({ kept: '1' });
        const { batches } = await readAll(log, topic, 0, live.position);
        for (const batch of batches) live.apply(batch);
        expect(data(live)).toEqual({ kept: '1' });
        await a.close();
      });

      it('has owners of different parts of one partition leave each other alone', async () => {
        const { log, topic } = await start();
        const [inEast, inWest] = ['east', 'west'].map((value) => ({ part: 1, value }));
        const east = await owner(log, topic, 'east-1', inEast);
        const west = await owner(log, topic, 'west-1', inWest);
        await east.set('a|east|x', bytes('1'));
        await west.set('a|west|x', bytes('1'));
        await expect(east.set('a|west|x', bytes('2'))).rejects.toThrow(RangeError);
        const east2 = await owner(log, topic, 'east-2', inEast);
        await until('the old owner of east is lost', () => east.lost.aborted);
        expect([...east2.keys()]).toEqual(['a|east|x']);
        await west.set('b|west|x', bytes('1'));
        await log.append([
          stamped(topic, 'a|east|x=zombie', east.epoch, inEast),
          stamped(topic, 'c|west|x=foreign', east.epoch, inEast),
          record(topic, 'd|west|x=unstamped'),
        ]);
        await until('east is repaired', async () => {
          const { records } = await readAll(log, topic);
          const last = records.findLast(({ key }) => key === 'a|east|x');
          return last?.headers['epoch'] === `${east2.epoch}/1`;
        });
        await until('west has undone what is not its own', async () => {
          const { records } = await readAll(log, topic);
          const last = (wanted: string) => records.findLast(({ key }) => key === wanted);
          return [last('c|west|x'), last('d|west|x')].every((r) => r?.value === undefined);
        });
        expect(west.lost.aborted).toBe(false);
        const expected = { 'a|east|x': '1', 'a|west|x': '1', 'b|west|x': '1' };
        expect(await folded(log, topic)).toEqual(expected);
        await Promise.all([east.close(), east2.close(), west.close()]);
      });

      it('has owners fence each other whose keys may overlap', async () => {
        const { log, topic } = await start();
        const all = await owner(log, topic, 'all');
        await expect(owner(log, topic, 'east', { part: 0, value: 'east' })).rejects.toMatchObject({
          code: 'fenced',
        });
        await all.close();
      });

      it('gives a reader that replays, one that resumes and one that lived through it the same', async () => {
        const { log, topic } = await start();
        const random = seeded(20_261_121);
        const live = new Fold();
        const reader = tail(log, topic, 0, undefined, (batch) => live.apply(batch));
        let resumed = new Fold();
        const wanted = new Map<string, string>();
        const old: OwnedPartition[] = [];
        let current = await owner(log, topic, 'w0');
        for (let step = 0; step < 120; step++) {
          const key = `k${random(12)}`;
          const action = random(20);
          if (action < 11) {
            const value = String(random(4));
            await current.set(key, bytes(value));
            wanted.set(key, value);
          } else if (action < 15) {
            await current.delete(key);
            wanted.delete(key);
          } else if (action < 18 && old.length > 0) {
            const zombie = old[random(old.length)]!;
            await log.append([stamped(topic, `${key}=zombie${step}`, zombie.epoch)]);
          } else if (action === 18 && old.length < 6) {
            old.push(current);
            current = await owner(log, topic, `w${old.length}`);
            for (const [k, v] of wanted) await current.set(k, bytes(v));
            await current.retain(new Set(wanted.keys()));
          } else {
            // A process that restarts now and then, with what it had saved.
            resumed = new Fold(resumed.state());
            for (const batch of (await readAll(log, topic, 0, resumed.position)).batches) {
              resumed.apply(batch);
            }
          }
          if (step % 40 === 39) await harness.compact(log, topic, 0);
        }
        const expected = Object.fromEntries([...wanted].sort());
        await until('repairs are done', async () => same(await folded(log, topic), expected));
        await harness.compact(log, topic, 0);
        const end = await log.end(topic, 0);
        await until('the live reader is there', () => live.position!.offset >= end.offset);
        for (const batch of (await readAll(log, topic, 0, resumed.position)).batches) {
          resumed.apply(batch);
        }
        expect(await folded(log, topic)).toEqual(expected);
        expect(data(live)).toEqual(expected);
        expect(data(resumed)).toEqual(expected);
        await Promise.all([...old, current].map((o) => o.close()));
        await reader.stop();
      });
    });

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

/** `a=1` or, a tombstone, `a`. */
function record(topic: string, text: string, partition = 0): Append {
  const [key = '', value] = text.split('=');
  return { topic, partition, key, value: value === undefined ? undefined : bytes(value) };
}

function data(fold: Fold): Record<string, string> {
  const entries = [...fold.entries()]
    .filter(([key]) => isData({ key }))
    .map(([key, value]): [string, string] => [key, textOf(value) ?? '']);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function same(a: Record<string, string>, b: Record<string, string>): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
