/** Who writes what: owners of partitions, and of parts of them (`ownership.ts`). */
import { describe, expect, it } from 'vitest';
import { Fold } from '../src/fold.ts';
import { OwnedPartition } from '../src/owned.ts';
import { encodeClaim, encodeEpoch, epochHeader } from '../src/ownership.ts';
import type { Domain } from '../src/ownership.ts';
import type { Append, Log } from '../src/port.ts';
import { bytes, brief, isData, readAll, realTime, seeded, tail, textOf, until } from './support.ts';

export interface WritersHarness {
  /** A topic of one partition, compacted, and a log that has it. */
  start(): Promise<{ log: Log; topic: string }>;
  /** Makes compaction treat all that is there now. */
  compact(log: Log, topic: string): Promise<void>;
}

export function describeWriters({ start, compact }: WritersHarness): void {
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
      expect(Array.from(b.entries(), ([key]) => key).sort()).toEqual(['x', 'y', 'z']);
      expect(await b.set('x', bytes('1'))).toBe(false);
      expect(await b.set('y', bytes('2'))).toBe(true);
      expect(await b.delete('z')).toBe(true);
      expect(await b.complete()).toBe(0);
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
      const { live, seen, reader } = watch(log, topic);
      const a = await owner(log, topic, 'a');
      await a.write([
        { key: 'same', value: bytes('1') },
        { key: 'gone', value: bytes('1') },
      ]);
      let b = await owner(log, topic, 'b');
      await b.delete('gone');
      // The old owner has not noticed: it overwrites, brings back and invents keys.
      await log.append([
        stamped(topic, 'same=zombie', a.epoch),
        stamped(topic, 'gone=zombie', a.epoch),
        stamped(topic, 'invented=zombie', a.epoch),
      ]);
      await compact(log, topic);
      const expected = { same: '1' };
      await until('it is repaired', async () => {
        // Where its tombstone was compacted away before it had read it, it counts as gone: an owner
        // opens once more then, and says all that there is.
        if (b.lost.aborted) {
          b = await owner(log, topic, 'b');
          await b.set('same', bytes('1'));
          await b.complete();
        }
        const last = new Map(
          (await readAll(log, topic)).records.map((r) => [r.key, textOf(r.value)]),
        );
        return (
          last.get('same') === '1' && last.has('invented') && last.get('invented') === undefined
        );
      });
      await compact(log, topic);
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
      await compact(log, topic);
      const c = await owner(log, topic, 'c');
      expect(Array.from(c.entries(), ([key]) => key)).toEqual([]);
      await c.set('kept', bytes('1'));
      // Of `lost`, and of what it took to make this log compact itself.
      expect(await c.complete()).toBeGreaterThan(0);
      await c.close();
      await compact(log, topic);
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
      expect(Array.from(east2.entries(), ([key]) => key)).toEqual(['a|east|x']);
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

    it('has owners fence each other who tell their keys by different parts', async () => {
      const { log, topic } = await start();
      const first = await owner(log, topic, 'first', { part: 0, value: 'east' });
      await expect(owner(log, topic, 'second', { part: 1, value: 'x' })).rejects.toMatchObject({
        code: 'fenced',
      });
      await first.close();
    });

    it('divides a partition that one owner had: what it left is taken over, part by part', async () => {
      const { log, topic } = await start();
      const { live, seen, reader } = watch(log, topic);
      const all = await owner(log, topic, 'all');
      const left = ['east|a=1', 'east|b=1', 'west|a=1', 'south|a=1'];
      for (const text of left) await all.write([record(topic, text)]);
      const [inEast, inWest] = ['east', 'west'].map((value) => ({ part: 0, value }));
      const east = await owner(log, topic, 'east', inEast);
      await until('the owner of all is lost', () => all.lost.aborted);
      expect(Array.from(east.entries(), ([key]) => key).sort()).toEqual(['east|a', 'east|b']);
      expect(await east.set('east|a', bytes('1'))).toBe(false);
      await east.delete('east|b');
      // It has not noticed. What is no part's owner's stays its own.
      await log.append([
        stamped(topic, 'east|a=zombie', all.epoch),
        stamped(topic, 'east|b=zombie', all.epoch),
        stamped(topic, 'west|a=2', all.epoch),
      ]);
      const west = await owner(log, topic, 'west', inWest);
      expect(textOf(west.get('west|a'))).toBe('2');
      await west.set('west|a', bytes('3'));
      await until('it is repaired', async () => {
        const { records } = await readAll(log, topic);
        const last = (wanted: string) => records.findLast(({ key }) => key === wanted)?.value;
        return textOf(last('east|a')) === '1' && last('east|b') === undefined;
      });
      // A fresh owner of a part, and compaction, change nothing for the others.
      const east2 = await owner(log, topic, 'east-2', inEast);
      await until('the first owner of the part is lost', () => east.lost.aborted);
      await compact(log, topic);
      expect(west.lost.aborted).toBe(false);
      const expected = { 'east|a': '1', 'south|a': '1', 'west|a': '3' };
      expect(await folded(log, topic)).toEqual(expected);
      const end = await log.end(topic, 0);
      await until('the live reader is there', () => live.position!.offset >= end.offset);
      expect(data(live)).toEqual(expected);
      expect(seen).toEqual([...left, 'east|b', 'west|a=2', 'west|a=3']);
      await Promise.all([all, east, east2, west].map((one) => one.close()));
      await reader.stop();
    });

    it('has nobody own all of a partition that is divided, and its parts fenced if somebody did', async () => {
      const { log, topic } = await start();
      const east = await owner(log, topic, 'east', { part: 0, value: 'east' });
      await east.set('east|a', bytes('1'));
      await expect(owner(log, topic, 'all')).rejects.toMatchObject({ code: 'fenced' });
      expect(east.lost.aborted).toBe(false);
      const claim = encodeClaim('forced', undefined, 'all');
      const [epoch = -1] = await log.append([{ topic, partition: 0, ...claim }]);
      await until('the owner of the part is lost', () => east.lost.aborted);
      await log.append([stamped(topic, 'east|a=late', east.epoch, { part: 0, value: 'east' })]);
      await log.append([stamped(topic, 'east|b=1', epoch)]);
      expect(await folded(log, topic)).toEqual({ 'east|a': '1', 'east|b': '1' });
      await east.close();
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
          const gone = Array.from(current.entries(), ([key]) => key).filter((k) => !wanted.has(k));
          await current.write(gone.map((k) => ({ key: k, value: undefined })));
          await current.complete();
        } else {
          // A process that restarts now and then, with what it had saved.
          resumed = new Fold(resumed.state());
          for (const batch of (await readAll(log, topic, 0, resumed.position)).batches) {
            resumed.apply(batch);
          }
        }
        if (step % 40 === 39) await compact(log, topic);
      }
      const expected = Object.fromEntries([...wanted].sort());
      await until('repairs are done', async () => same(await folded(log, topic), expected));
      await compact(log, topic);
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
}

/** `a=1` or, a tombstone, `a`. */
export function record(topic: string, text: string, partition = 0): Append {
  const [key = '', value] = text.split('=');
  return { topic, partition, key, value: value === undefined ? undefined : bytes(value) };
}

export function data(fold: Fold): Record<string, string> {
  const entries = [...fold.entries()]
    .filter(([key]) => isData({ key }))
    .map(([key, value]): [string, string] => [key, textOf(value) ?? '']);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * A reader from the beginning, and what it tells of data: `key=value`, or `key` of one that is
 * gone.
 */
function watch(log: Log, topic: string) {
  const live = new Fold();
  const seen: string[] = [];
  const reader = tail(log, topic, 0, undefined, (batch) => {
    for (const { key, value } of live.apply(batch)) {
      if (isData({ key })) seen.push(value === undefined ? key : `${key}=${textOf(value)}`);
    }
  });
  return { live, seen, reader };
}

function same(a: Record<string, string>, b: Record<string, string>): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
