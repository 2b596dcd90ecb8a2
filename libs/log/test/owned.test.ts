import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openEmbeddedLog } from '../src/embedded.ts';
import type { EmbeddedLog } from '../src/embedded.ts';
import { Fold } from '../src/fold.ts';
import { OwnedPartition } from '../src/owned.ts';
import { claimHeader, encodeEpoch, epochHeader, isClaimKey } from '../src/ownership.ts';
import { LogError } from '../src/port.ts';
import type { Append, Log } from '../src/port.ts';
import { brief, bytes, readAll, realTime, seeded, sleep, textOf, until } from './support.ts';

const topic = 'owned';
let dir: string;
let log: EmbeddedLog;
const owners: OwnedPartition[] = [];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'watershed-owned-'));
  log = await openEmbeddedLog({ dir, time: realTime });
  const retention = { kind: 'compact', tombstoneMs: 3_600_000 } as const;
  await log.ensureTopics([{ name: topic, partitions: 1, retention }]);
});

afterEach(async () => {
  await Promise.all(owners.splice(0).map((owner) => owner.close()));
  await log.close();
  await rm(dir, { recursive: true });
});

async function own(through: Log = log, writer = 'w', retryMs = 5): Promise<OwnedPartition> {
  const owner = await OwnedPartition.open({
    log: through,
    topic,
    partition: 0,
    writer,
    time: realTime,
    retryMs,
  });
  owners.push(owner);
  return owner;
}

async function folded(): Promise<Record<string, string | undefined>> {
  const fold = new Fold();
  for (const batch of (await readAll(log, topic)).batches) fold.apply(batch);
  return Object.fromEntries([...fold.entries()].map(([key, value]) => [key, textOf(value)]).sort());
}

type Fate = 'taken' | 'lost' | 'appended' | 'late' | 'acknowledged and lost' | 'slow';

/**
 * The log as over a bad network: an append whose fate is not decided beforehand is taken; another
 * one fails with `unavailable` and is lost, was appended nevertheless, or is appended when
 * `deliver` is called. A slow one is answered when `answer` is called.
 */
class UnsureLog implements Log {
  readonly fates: Fate[] = [];
  readonly #late: (readonly Append[])[] = [];
  readonly #answers: (() => void)[] = [];
  /** Up to where a reader has taken in what it was given. */
  taken = 0;

  ensureTopics: Log['ensureTopics'] = (specs) => log.ensureTopics(specs);
  end: Log['end'] = (...args) => log.end(...args);
  close = async (): Promise<void> => undefined;

  async append(records: readonly Append[]): Promise<readonly number[]> {
    const fate = this.fates.shift() ?? 'taken';
    if (fate === 'taken') return log.append(records);
    if (fate === 'slow') {
      const offsets = await log.append(records);
      await new Promise<void>((resolve) => this.#answers.push(resolve));
      return offsets;
    }
    if (fate === 'appended') await log.append(records);
    if (fate === 'late') this.#late.push(records);
    if (fate === 'acknowledged and lost') {
      const { offset } = await log.end(topic, 0);
      return records.map((_, at) => offset + at);
    }
    throw new LogError('unavailable', 'no answer', { retriable: true });
  }

  async *read(...args: Parameters<Log['read']>): ReturnType<Log['read']> {
    for await (const batch of log.read(...args)) {
      yield batch;
      this.taken = batch.position.offset;
    }
  }

  answer(): void {
    for (const resolve of this.#answers.splice(0)) resolve();
  }

  get isSlow(): boolean {
    return this.#answers.length > 0;
  }

  async deliver(): Promise<void> {
    for (const records of this.#late.splice(0)) await log.append(records);
  }
}

describe('an owner', () => {
  it('releases the claims of those before it, and leaves one', async () => {
    for (let i = 0; i < 4; i++) {
      const owner = await own(log, `w${i}`);
      await owner.set('k', bytes(String(i)));
      await owner.close();
    }
    await log.compact();
    const { records } = await readAll(log, topic);
    const claims = records.filter(({ key, value }) => isClaimKey(key) && value !== undefined);
    expect(claims.map(({ headers }) => headers['writer'])).toEqual(['w3']);
  });

  it('does not append equal values after it repaired them', async () => {
    const first = await own();
    await first.set('k', bytes('1'));
    const second = await own();
    await second.close();
    await log.append([
      { topic, partition: 0, key: 'k', value: bytes('2'), headers: { epoch: `${first.epoch}` } },
    ]);
    const third = await own();
    expect(textOf(third.get('k'))).toBe('1');
    expect(await third.set('k', bytes('1'))).toBe(false);
    expect(await folded()).toEqual({ k: '1' });
  });

  it('has an equal value wait for the append that carries it', async () => {
    const owner = await own();
    const first = owner.set('k', bytes('1'));
    const second = owner.set('k', bytes('1'));
    expect(await second).toBe(false);
    expect((await readAll(log, topic)).records.map(({ key }) => key)).toContain('k');
    expect(await first).toBe(true);
  });

  it('appends changes of one call in order, and only those that differ', async () => {
    const owner = await own();
    const changes = ['a=1', 'a=2', 'a=2', 'b=1'].map((text) => {
      const [key = '', value = ''] = text.split('=');
      return { key, value: bytes(value) };
    });
    expect(await owner.write(changes)).toBe(3);
    const { records } = await readAll(log, topic);
    expect(brief(records).slice(1)).toEqual(['a=1', 'a=2', 'b=1']);
  });

  it('undoes a change that can never be appended', async () => {
    const owner = await own();
    await owner.set('k', bytes('1'));
    const large = new Uint8Array(2 * 1024 * 1024);
    await expect(owner.set('k', large)).rejects.toMatchObject({ code: 'record-too-large' });
    expect(textOf(owner.get('k'))).toBe('1');
    await owner.set('other', bytes('1'));
    expect(await folded()).toEqual({ k: '1', other: '1' });
    expect(owner.lost.aborted).toBe(false);
  });

  it('says nothing of others where the last change can never be appended', async () => {
    const owner = await own();
    await owner.set('k', bytes('1'));
    const large = new Uint8Array(2 * 1024 * 1024);
    const refused = owner.set('large', large);
    // While it is on its way, and after.
    for (let when = 0; when < 2; when++) {
      expect(await owner.set('k', bytes('1'))).toBe(false);
      await owner.complete();
      await expect(refused).rejects.toMatchObject({ code: 'record-too-large' });
    }
  });

  it.each<Fate>(['lost', 'appended', 'late'])(
    'claims again and brings the change to the log after an append that was %s',
    async (fate) => {
      const unsure = new UnsureLog();
      const owner = await own(unsure);
      await owner.set('k', bytes('1'));
      const epoch = owner.epoch;
      unsure.fates.push(fate);
      await expect(owner.set('k', bytes('2'))).rejects.toMatchObject({ code: 'unavailable' });
      await owner.set('other', bytes('1'));
      expect(owner.epoch).toBeGreaterThan(epoch);
      expect(await folded()).toEqual({ k: '2', other: '1' });
      await owner.set('k', bytes('3'));
      await unsure.deliver();
      await until('the late append is repaired', async () => {
        const { records } = await readAll(log, topic);
        return textOf(records.findLast(({ key }) => key === 'k')?.value) === '3';
      });
      expect(await folded()).toEqual({ k: '3', other: '1' });
    },
  );

  it.each<readonly [string, readonly Fate[]]>([
    ['what is in doubt', ['taken', 'slow']],
    ['the end of its older claim', ['taken', 'taken', 'slow']],
  ])('repairs what comes while, after it claimed again, it appends %s', async (_what, fates) => {
    const unsure = new UnsureLog();
    const owner = await own(unsure);
    await owner.set('k', bytes('1'));
    unsure.fates.push('late', ...fates);
    await expect(owner.set('k', bytes('2'))).rejects.toMatchObject({ code: 'unavailable' });
    await until('an append is slow', () => unsure.isSlow);
    await unsure.deliver();
    const { offset } = await log.end(topic, 0);
    await until('the late append is read', () => unsure.taken === offset);
    unsure.answer();
    await until('it is repaired', async () => {
      const { records } = await readAll(log, topic);
      const last = records.findLast(({ key }) => key === 'k');
      return last !== undefined && last.offset >= offset;
    });
    await log.compact();
    expect(await folded()).toEqual({ k: '2' });
  });

  it('takes nothing back from a newer owner when its own append failed', async () => {
    const unsure = new UnsureLog();
    const old = await own(unsure, 'old');
    await old.set('k', bytes('old'));
    const opening = Promise.withResolvers<void>();
    unsure.end = async (...args) => {
      await opening.promise;
      return log.end(...args);
    };
    unsure.fates.push('lost');
    const failed = old.set('k', bytes('old2'));
    failed.catch(() => undefined);
    const fresh = await own(log, 'fresh');
    opening.resolve();
    await expect(failed).rejects.toBeInstanceOf(LogError);
    await until('the old one is lost', () => old.lost.aborted);
    await fresh.set('k', bytes('fresh'));
    await sleep(30);
    expect(fresh.lost.aborted).toBe(false);
    expect(await folded()).toEqual({ k: 'fresh' });
  });

  it('is lost when the log is closed', async () => {
    const owner = await own();
    await log.close();
    await until('it is lost', () => owner.lost.aborted);
    await expect(owner.set('k', bytes('1'))).rejects.toMatchObject({ code: 'closed' });
    log = await openEmbeddedLog({ dir, time: realTime });
  });

  it('fails to open while the log is away, and leaves nothing running', async () => {
    const unsure = new UnsureLog();
    unsure.fates.push('lost');
    await expect(own(unsure)).rejects.toMatchObject({ code: 'unavailable', retriable: true });
    const owner = await own(unsure);
    expect(await owner.set('k', bytes('1'))).toBe(true);
  });

  it('claims again when the log went back while it asked where the log ends', async () => {
    const unsure = new UnsureLog();
    const owner = await own(unsure);
    unsure.end = async (...args) => {
      const end = await log.end(...args);
      unsure.end = (...again) => log.end(...again);
      return { ...end, offset: end.offset + 5 };
    };
    unsure.fates.push('lost');
    await expect(owner.set('k', bytes('1'))).rejects.toMatchObject({ retriable: true });
    await until('it has claimed', async () => (await folded())['k'] === '1');
    expect(owner.lost.aborted).toBe(false);
  });

  it('claims again when the log went back to before a claim that it has not read yet', async () => {
    const unsure = new UnsureLog();
    const owner = await own(unsure);
    unsure.fates.push('lost', 'acknowledged and lost');
    await expect(owner.set('k', bytes('1'))).rejects.toMatchObject({ retriable: true });
    await until('it has claimed', async () => (await folded())['k'] === '1');
    expect(owner.lost.aborted).toBe(false);
  });

  it('fails to open when the log went back to before its claim', async () => {
    const unsure = new UnsureLog();
    unsure.fates.push('acknowledged and lost');
    await expect(own(unsure)).rejects.toMatchObject({ code: 'unavailable', retriable: true });
  });

  it.each([1, 2, 3, 4])('says what it was told over a bad network (seed %i)', async (seed) => {
    const random = seeded(seed);
    const unsure = new UnsureLog();
    const owner = await own(unsure);
    const wanted = new Map<string, string>();
    for (let step = 0; step < 150; step++) {
      const key = `k${random(8)}`;
      const value = random(4) === 0 ? undefined : String(random(5));
      if (random(6) === 0) {
        const fates: readonly Fate[] = ['lost', 'appended', 'late'];
        for (let i = 0; i <= random(3); i++) unsure.fates.push(fates[random(3)]!);
      }
      const change = { key, value: value === undefined ? undefined : bytes(value) };
      await owner.write([change]).catch(() => undefined);
      if (value === undefined) wanted.delete(key);
      else wanted.set(key, value);
      if (random(10) === 0) await unsure.deliver();
      if (random(25) === 0) await log.compact();
    }
    unsure.fates.length = 0;
    await unsure.deliver();
    const expected = Object.fromEntries([...wanted].sort());
    await until('all is repaired', async () => {
      await log.compact();
      return JSON.stringify(await folded()) === JSON.stringify(expected);
    });
    expect(owner.lost.aborted).toBe(false);
    await sleep(20);
    expect(await folded()).toEqual(expected);
  });
});

it('is not disturbed by who owned the partition before an old copy of the log was put back', async () => {
  const owner = await own();
  await owner.set('k', bytes('1'));
  // The claim of this epoch was in the tail that the log has lost.
  const headers = { [epochHeader]: encodeEpoch(1_000, undefined) };
  await log.append([{ topic, partition: 0, key: 'k', value: bytes('lost'), headers }]);
  await owner.set('other', bytes('2'));
  const folded = async (): Promise<(string | undefined)[]> => {
    const fold = new Fold();
    for (const batch of (await readAll(log, topic)).batches) fold.apply(batch);
    return ['k', 'other'].map((key) => textOf(fold.get(key)));
  };
  expect(await folded()).toEqual(['1', '2']);
  await until('it is repaired', async () => {
    const { records } = await readAll(log, topic);
    return records.findLast(({ key }) => key === 'k')?.headers[epochHeader] === `${owner.epoch}`;
  });
  expect(await folded()).toEqual(['1', '2']);
});

it('claims anew when such a record comes after the log has grown beyond its epoch', async () => {
  const owner = await own();
  await owner.set('k', bytes('1'));
  await owner.set('other', bytes('2'));
  const before = owner.epoch;
  const { offset } = await log.end(topic, 0);
  const headers = { [epochHeader]: encodeEpoch(offset - 1, undefined) };
  await log.append([{ topic, partition: 0, key: 'k', value: bytes('lost'), headers }]);
  // Perhaps it is written before the owner has seen the other one: readers do not believe it then.
  await owner.set('more', bytes('3'));
  await until('it is repaired', async () => (await folded())['k'] === '1');
  expect(owner.epoch).toBeGreaterThan(before);
  await until('all is said', async () => (await folded())['more'] === '3');
  expect(await folded()).toEqual({ k: '1', more: '3', other: '2' });
});

it('repairs what comes from a claim at the same offset, of before an old copy was put back', async () => {
  const owner = await own();
  await owner.set('k', bytes('1'));
  const headers = { [epochHeader]: encodeEpoch(owner.epoch, undefined), [claimHeader]: 'lost' };
  await log.append([{ topic, partition: 0, key: 'k', value: bytes('lost'), headers }]);
  await until('it is repaired', async () => (await folded())['k'] === '1');
  expect(owner.lost.aborted).toBe(false);
});

describe('when the log went back to where the owner still reads, and lost its newest append', () => {
  /** It asks the log for its end after four times `retryMs`. */
  async function withLoss(retryMs: number): Promise<OwnedPartition> {
    const unsure = new UnsureLog();
    const owner = await own(unsure, 'w', retryMs);
    await owner.set('k', bytes('1'));
    unsure.fates.push('acknowledged and lost');
    expect(await owner.set('k', bytes('2'))).toBe(true);
    return owner;
  }

  async function expectLost(owner: OwnedPartition): Promise<void> {
    await until('it is lost', () => owner.lost.aborted);
    expect(owner.lost.reason).toMatchObject({ code: 'other-log', retriable: false });
    expect(String(owner.lost.reason)).toContain('not there any more');
    const next = await own();
    expect(textOf(next.get('k'))).toBe('1');
  }

  it('it is lost though nobody appends any more', async () => {
    await expectLost(await withLoss(5));
  });

  it('it is lost when it reads what another has appended instead', async () => {
    const owner = await withLoss(60_000);
    const headers = { [epochHeader]: encodeEpoch(0, undefined), [claimHeader]: 'another' };
    await log.append([{ topic, partition: 0, key: 'x', value: bytes('x'), headers }]);
    await expectLost(owner);
  });

  it('it is lost when its next append is given that offset', async () => {
    const owner = await withLoss(60_000);
    await owner.set('x', bytes('x'));
    expect(owner.lost.aborted).toBe(true);
    await expectLost(owner);
  });
});

describe('completing', () => {
  /** Of a key of which nobody knows the value. */
  async function withUnknown(): Promise<UnsureLog> {
    const headers = { [epochHeader]: encodeEpoch(1_000, undefined) };
    await log.append([{ topic, partition: 0, key: 'unknown', value: undefined, headers }]);
    return new UnsureLog();
  }

  it('while the log is away takes back what nobody knows when it is there again', async () => {
    const unsure = await withUnknown();
    const owner = await own(unsure);
    unsure.fates.push('lost', 'lost');
    expect(await owner.complete()).toBe(1);
    await until('it is taken back', async () => {
      const { records } = await readAll(log, topic);
      const last = records.findLast(({ key }) => key === 'unknown');
      return last?.headers[epochHeader] === `${owner.epoch}`;
    });
  });

  it('after a loss is nothing to complain of: the loss is told already', async () => {
    const owner = await own(await withUnknown());
    await (await own()).complete();
    await until('it is lost', () => owner.lost.aborted);
    await owner.complete();
  });
});
