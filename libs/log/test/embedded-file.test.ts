import { spawnSync } from 'node:child_process';
import { open as openFile, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openEmbeddedLog } from '../src/embedded.ts';
import type { EmbeddedLog, EmbeddedLogOptions } from '../src/embedded.ts';
import { Fold } from '../src/fold.ts';
import type { Append, TopicSpec } from '../src/port.ts';
import type { LogTime } from '../src/time.ts';
import { brief, bytes, readAll, realTime, sleep, tail, textOf, until } from './support.ts';

const hourMs = 3_600_000;
const compacted: TopicSpec = {
  name: 'c',
  partitions: 1,
  retention: { kind: 'compact', tombstoneMs: hourMs },
};
const timed: TopicSpec = { name: 't', partitions: 1, retention: { kind: 'time', ms: hourMs } };

let dir: string;
let aheadMs = 0;
let log: EmbeddedLog | undefined;
const time: LogTime = { ...realTime, now: () => Date.now() + aheadMs };

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'watershed-embedded-'));
  aheadMs = 0;
});

afterEach(async () => {
  await log?.close();
  log = undefined;
  await rm(dir, { recursive: true });
});

async function start(options: Partial<EmbeddedLogOptions> = {}): Promise<EmbeddedLog> {
  log = await openEmbeddedLog({ dir, time, ...options });
  await log.ensureTopics([compacted, timed]);
  return log;
}

function put(topic: string, key: string, value?: Uint8Array | string): Append {
  const encoded = typeof value === 'string' ? bytes(value) : value;
  return { topic, partition: 0, key, value: encoded };
}

describe('the directory of an embedded log', () => {
  it('is held by one log at a time, and says by which process', async () => {
    await start();
    await expect(openEmbeddedLog({ dir, time })).rejects.toMatchObject({
      code: 'locked',
      retriable: true,
      message: expect.stringContaining(`process ${process.pid} on `),
    });
    const script = `
      import { openEmbeddedLog } from ${JSON.stringify(import.meta.resolve('../src/embedded.ts'))};
      const time = { now: Date.now, after: () => ({ cancel() {} }), soon: () => ({ cancel() {} }) };
      const opening = openEmbeddedLog({ dir: ${JSON.stringify(dir)}, time });
      await opening.catch((error) => console.log(error.code));
    `;
    const other = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
    });
    expect(other.stdout.trim()).toBe('locked');
    await log?.close();
    await start();
  });

  it('can be opened again after the holder was not closed', async () => {
    const script = `
      import { openEmbeddedLog } from ${JSON.stringify(import.meta.resolve('../src/embedded.ts'))};
      const time = {
        now: Date.now,
        after: () => ({ cancel() {} }),
        soon: (callback) => { setImmediate(callback); return { cancel() {} }; },
      };
      const log = await openEmbeddedLog({ dir: ${JSON.stringify(dir)}, time });
      const retention = { kind: 'compact', tombstoneMs: ${hourMs} };
      await log.ensureTopics([{ name: 'c', partitions: 1, retention }]);
      await log.append([{ topic: 'c', partition: 0, key: 'k', value: new Uint8Array(3) }]);
      process.kill(process.pid, 'SIGKILL');
    `;
    const other = spawnSync(process.execPath, ['--input-type=module', '-e', script]);
    expect(other.signal).toBe('SIGKILL');
    await start();
    expect((await readAll(log!, 'c')).records.map(({ key }) => key)).toEqual(['k']);
  });
});

describe('a damaged file', () => {
  const file = (): string => join(dir, 'log.db');

  async function fill(): Promise<void> {
    const filled = await start();
    const value = new Uint8Array(1_000).fill(0x5a);
    for (let i = 0; i < 20; i++) {
      await filled.append(Array.from({ length: 20 }, (_, j) => put('c', `k${i}-${j}`, value)));
    }
    await filled.close();
    log = undefined;
  }

  async function overwrite(position: number, garbage: Uint8Array): Promise<void> {
    const handle = await openFile(file(), 'r+');
    await handle.write(garbage, 0, garbage.length, position);
    await handle.close();
  }

  async function openAndReadAll(): Promise<void> {
    log = await openEmbeddedLog({ dir, time });
    await readAll(log, 'c');
  }

  const damaged = (): object => ({
    code: 'corrupt',
    retriable: false,
    message: expect.stringMatching(/log\.db.*move the file away/s),
  });

  it('is told when its beginning is garbage', async () => {
    await fill();
    await overwrite(0, bytes('this is no database'));
    await expect(openAndReadAll()).rejects.toMatchObject(damaged());
  });

  it('is told when pages in its midst are garbage', async () => {
    await fill();
    const { length } = await readFile(file());
    await overwrite(Math.floor(length / 2), new Uint8Array(length / 4).fill(0xee));
    await expect(openAndReadAll()).rejects.toMatchObject(damaged());
  });

  it('is told when one bit of a value has changed, with the record', async () => {
    await fill();
    const content = await readFile(file());
    const at = content.lastIndexOf(Buffer.alloc(500, 0x5a)) + 100;
    await overwrite(at, new Uint8Array([0x5b]));
    await expect(openAndReadAll()).rejects.toMatchObject({
      code: 'corrupt',
      message: expect.stringMatching(/record at offset \d+ of c\/0 does not match its checksum/),
    });
  });

  it('is told when its end is missing', async () => {
    await fill();
    const { length } = await readFile(file());
    await truncate(file(), Math.floor(length / 2));
    await expect(openAndReadAll()).rejects.toMatchObject(damaged());
  });

  it('is told when it is another kind of database, or of another version', async () => {
    const db = new DatabaseSync(file());
    db.exec('CREATE TABLE other (x)');
    db.close();
    await expect(openAndReadAll()).rejects.toMatchObject({
      code: 'corrupt',
      message: expect.stringContaining('not a log'),
    });
    await rm(file());
    await fill();
    const newer = new DatabaseSync(file());
    newer.exec('PRAGMA user_version = 99');
    newer.close();
    await expect(openAndReadAll()).rejects.toMatchObject({
      code: 'corrupt',
      message: expect.stringContaining('format 99'),
    });
  });

  it('can be moved away: the log starts empty, and old positions are reset', async () => {
    await fill();
    await start();
    const { position } = await readAll(log!, 'c');
    await log!.close();
    await writeFile(file(), 'garbage');
    await expect(openAndReadAll()).rejects.toMatchObject({ code: 'corrupt' });
    await rm(file());
    await start();
    expect((await readAll(log!, 'c', 0, position)).reset).toBe('other-topic');
  });
});

describe('a full disk', () => {
  const value = new Uint8Array(50_000).fill(1);

  async function untilFailure(attempt: (i: number) => Promise<unknown>): Promise<unknown> {
    for (let i = 0; i < 100; i++) {
      try {
        await attempt(i);
      } catch (error) {
        return error;
      }
    }
    return undefined;
  }

  it('fails appends whole, keeps what was acknowledged, and works again when there is space', async () => {
    await start({ maxFileBytes: 2 * 1024 * 1024 });
    let acknowledged = 0;
    const failure = await untilFailure(async (i) => {
      await log!.append([put('t', `a${i}`, value), put('t', `b${i}`, value)]);
      acknowledged++;
    });
    expect(failure).toMatchObject({ code: 'unavailable', retriable: true });
    expect(acknowledged).toBeGreaterThan(5);
    const { records } = await readAll(log!, 't');
    expect(records).toHaveLength(acknowledged * 2);
    const more = [put('t', 'c', value), put('t', 'd', value)];
    await expect(log!.append(more)).rejects.toMatchObject({ code: 'unavailable' });
    await expect(
      log!.ensureTopics([{ ...timed, name: 'more', partitions: 100 }]),
    ).rejects.toMatchObject({ code: 'unavailable' });
    aheadMs += hourMs + 1;
    await log!.compact();
    const [offset] = await log!.append([put('t', 'd', value)]);
    expect(offset).toBe(acknowledged * 2);
    expect((await readAll(log!, 't')).records.map(({ key }) => key)).toEqual(['d']);
  });

  it('is no trouble for compaction, which makes the space', async () => {
    await start({ maxFileBytes: 2 * 1024 * 1024 });
    const failure = await untilFailure((i) => log!.append([put('c', `k${i % 3}`, value)]));
    expect(failure).toMatchObject({ code: 'unavailable' });
    await log!.compact();
    await log!.append([put('c', 'k0', bytes('after'))]);
    const { records } = await readAll(log!, 'c');
    expect(new Set(records.map(({ key }) => key))).toEqual(new Set(['k0', 'k1', 'k2']));
  });
});

describe('compaction of the embedded log', () => {
  it('happens by itself, and gives space back', async () => {
    await start({ compactEveryMs: 20, compactAfterRecords: 100 });
    const value = new Uint8Array(4_000);
    for (let i = 0; i < 40; i++) {
      await log!.append(Array.from({ length: 50 }, (_, j) => put('c', `k${j}`, value)));
    }
    await until('it is compacted', async () => (await readAll(log!, 'c')).records.length < 200);
    await until('the files are small', async () => {
      const files = ['log.db', 'log.db-wal'].map((name) => readFile(join(dir, name)));
      const bytes = (await Promise.all(files)).reduce((sum, { length }) => sum + length, 0);
      return bytes < 40 * 50 * value.length * 0.5;
    });
  });

  it('tells a background failure and goes on', async () => {
    const errors: unknown[] = [];
    await start({ compactEveryMs: 10, onBackgroundError: (error) => errors.push(error) });
    const broken = new Error('the clock is broken');
    const now = time.now;
    Object.assign(time, {
      now: () => {
        throw broken;
      },
    });
    await until('it is told', () => errors.includes(broken));
    Object.assign(time, { now });
    await log!.append([put('c', 'k', '1')]);
  });

  it('lets others work in between', async () => {
    await start();
    for (let i = 0; i < 20; i++) {
      const records = Array.from({ length: 500 }, (_, j) => put('c', `k${j}`, `${i}`));
      await log!.append(records);
    }
    const state = { done: false };
    const compacting = log!.compact().then(() => (state.done = true));
    let appended = 0;
    for (; !state.done; appended++) await log!.append([put('c', `during${appended}`, '1')]);
    await compacting;
    expect(appended).toBeGreaterThan(5);
    const { records } = await readAll(log!, 'c');
    expect(new Set(records.map(({ key }) => key)).size).toBe(500 + appended);
  });

  it('keeps a tombstone from when its key is compacted, not from when it was appended', async () => {
    await start();
    await log!.append([put('c', 'k', '1'), put('c', 'k')]);
    aheadMs += 2 * hourMs;
    await log!.compact();
    expect(brief((await readAll(log!, 'c')).records)).toEqual(['k']);
    aheadMs += hourMs;
    await log!.compact();
    expect(brief((await readAll(log!, 'c')).records)).toEqual([]);
  });

  it('resets a reader in mid-stream that it overtakes, whose fold is right then', async () => {
    await start({ maxBatchRecords: 1 });
    await log!.append([put('c', 'gone', '1'), put('c', 'a', '1'), put('c', 'b', '1')]);
    const fold = new Fold();
    const resets: (string | undefined)[] = [];
    const stop = new AbortController();
    for await (const batch of log!.read('c', 0, undefined, stop.signal)) {
      resets.push(batch.reset);
      fold.apply(batch);
      if (resets.length === 1) {
        // While the reader works on its first record, for more than an hour.
        await log!.append([put('c', 'gone'), put('c', 'c', '1')]);
        await log!.compact();
        aheadMs += hourMs + 1;
        await log!.compact();
      }
      if (fold.caughtUp) stop.abort();
    }
    expect(resets.filter((reset) => reset !== undefined)).toEqual([
      'no-position',
      'older-than-tombstones',
    ]);
    expect([...fold.entries()].map(([key]) => key).sort()).toEqual(['a', 'b', 'c']);
  });

  it('does not reset a reader from the beginning that is slow, but not that slow', async () => {
    await start({ maxBatchRecords: 1 });
    await log!.append([put('c', 'old', '1'), put('c', 'old'), put('c', 'a', '1')]);
    await log!.compact();
    aheadMs += hourMs - 1_000;
    const seen: string[] = [];
    const resets: unknown[] = [];
    const stop = new AbortController();
    for await (const batch of log!.read('c', 0, undefined, stop.signal)) {
      if (batch.reset !== undefined) resets.push(batch.reset);
      seen.push(...brief(batch.records));
      if (seen.length === 1) {
        await log!.append([put('c', 'b', '1')]);
        aheadMs += 2_000;
        await log!.compact();
      }
      if (batch.caughtUp) stop.abort();
    }
    expect(resets).toEqual(['no-position']);
    expect(seen).toEqual(['old', 'a=1', 'b=1']);
  });
});

describe('bounds of the embedded log', () => {
  it('commits all appends of one turn together', async () => {
    let turns = 0;
    const counting: LogTime = {
      ...realTime,
      soon: (callback) => {
        turns++;
        return realTime.soon(callback);
      },
    };
    await start({ time: counting });
    turns = 0;
    await Promise.all(Array.from({ length: 500 }, (_, i) => log!.append([put('c', `k${i}`, '1')])));
    expect(turns).toBe(1);
  });

  it('refuses appends when too many bytes wait', async () => {
    await start({ maxPendingBytes: 1_000 });
    const value = new Uint8Array(600);
    const calls = [0, 1, 2].map((i) => log!.append([put('c', `k${i}`, value)]));
    const results = await Promise.allSettled(calls);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected']);
    expect(results[1]).toMatchObject({ reason: { code: 'unavailable', retriable: true } });
    await log!.append([put('c', 'later', value)]);
  });

  it('refuses more partitions than are allowed', async () => {
    await start({ maxPartitions: 4 });
    await log!.ensureTopics([{ ...compacted, name: 'two', partitions: 2 }]);
    await expect(
      log!.ensureTopics([{ ...compacted, name: 'one-more', partitions: 1 }]),
    ).rejects.toMatchObject({ code: 'partition-mismatch' });
  });

  it('hands over no more records at a time than are allowed', async () => {
    await start({ maxBatchRecords: 7 });
    await log!.append(Array.from({ length: 20 }, (_, i) => put('c', `k${i}`, '1')));
    const { batches } = await readAll(log!, 'c');
    expect(batches.map(({ records }) => records.length)).toEqual([7, 7, 6]);
  });

  it('keeps a record that is bigger than a batch to itself', async () => {
    await start({ maxBatchBytes: 1_000 });
    const big = new Uint8Array(5_000);
    await log!.append([put('c', 'a', '1'), put('c', 'big', big), put('c', 'b', '1')]);
    const { batches } = await readAll(log!, 'c');
    expect(batches.map(({ records }) => records.map(({ key }) => key))).toEqual([
      ['a'],
      ['big'],
      ['b'],
    ]);
  });

  it('takes a changed retention over', async () => {
    await start();
    await log!.append([put('c', 'k', '1'), put('c', 'k')]);
    await log!.compact();
    await log!.ensureTopics([{ ...compacted, retention: { kind: 'compact', tombstoneMs: 10 } }]);
    await log!.close();
    await start({ newTopicId: () => 'unused' });
    await log!.ensureTopics([{ ...compacted, retention: { kind: 'compact', tombstoneMs: 10 } }]);
    await sleep(20);
    await log!.compact();
    expect((await readAll(log!, 'c')).records).toEqual([]);
  });

  it('wakes each of many readers once per commit', async () => {
    await start();
    const folds = Array.from({ length: 50 }, () => new Fold());
    const readers = folds.map((fold) => tail(log!, 'c', 0, undefined, (b) => fold.apply(b)));
    await log!.append([put('c', 'k', '1')]);
    await until('all have it', () => folds.every((fold) => textOf(fold.get('k')) === '1'));
    await Promise.all(readers.map((reader) => reader.stop()));
  });
});
