import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestRedis, type TestRedis } from '../../../test/components/redis.ts';
import { digestOf } from '../src/digest.ts';
import { BlobsAwayError } from '../src/port.ts';
import { openRedisBlobs, openSharedBlobs } from '../src/redis.ts';
import { describeBlobStore } from './conformance.ts';

let redis: TestRedis;

beforeAll(async () => {
  redis = await startTestRedis();
});

afterAll(() => redis.stop());

describeBlobStore('redis', async () => {
  await redis.kill();
  await redis.start();
  return openRedisBlobs({ url: redis.url });
});

function blobOf(text: string): { digest: string; bytes: Uint8Array } {
  const bytes = new TextEncoder().encode(text);
  return { digest: digestOf(bytes), bytes };
}

async function eventually(condition: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await condition()); tries++) {
    if (tries > 500) throw new Error('it did not come true');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('what two processes put, both have; what nobody renews goes, what one renews stays', async () => {
  const [a, b] = [blobOf('renewed'), blobOf('forgotten')];
  const first = openRedisBlobs({ url: redis.url, ttlMs: 2_000 });
  const second = openRedisBlobs({ url: redis.url });
  await first.put([a, b]);
  expect((await second.get([a.digest, b.digest])).every((bytes) => bytes !== undefined)).toBe(true);
  await second.retain(new Set([a.digest]));
  await eventually(async () => (await first.get([b.digest]))[0] === undefined);
  expect((await first.get([a.digest]))[0]).toBeDefined();
  await first.close();
  await second.close();
});

test('while Redis is away calls fail with just that, and work again when it is back; what it lost is put again', async () => {
  const blob = blobOf('lost');
  const errors: unknown[] = [];
  const store = openRedisBlobs({
    url: redis.url,
    timeoutMs: 500,
    onError: (error) => errors.push(error),
  });
  await store.put([blob]);
  await redis.kill();
  for (let tries = 0; tries < 5; tries++) {
    // Never before it is told.
    const away = new BlobsAwayError('Redis does not answer');
    await expect(store.get([blob.digest])).rejects.toThrow(away);
    expect(errors.length).toBeGreaterThan(0);
  }
  await redis.start();
  await eventually(() =>
    store.get([blob.digest]).then(
      (found) => found[0] === undefined,
      () => false,
    ),
  );
  await eventually(() =>
    store.put([blob]).then(
      () => true,
      () => false,
    ),
  );
  await eventually(async () => (await store.get([blob.digest]))[0]?.length === 4);
  await store.close();
});

test('bytes of another digest are missing, whoever wrote them', async () => {
  const [real, forged] = [blobOf('real'), blobOf('forged')];
  const store = openRedisBlobs({ url: redis.url });
  await store.put([{ digest: real.digest, bytes: forged.bytes }]);
  expect(await store.get([real.digest])).toEqual([undefined]);
  await store.close();
});

test('a full Redis refuses a put with its own words, and goes on answering', async () => {
  await using full = await startTestRedis([
    '--maxmemory',
    '2mb',
    '--maxmemory-policy',
    'noeviction',
  ]);
  const { around, says, isThere } = surroundings();
  const store = openSharedBlobs({ redisUrl: full.url, redisPassword: undefined }, around);
  const blobs = Array.from({ length: 100 }, (_, i) => blobOf(`${i}`.repeat(50_000)));
  const refusal = await store.put(blobs).catch((error: unknown) => error);
  expect(String(refusal)).toMatch(/maxmemory/u);
  expect(refusal).not.toBeInstanceOf(BlobsAwayError);
  expect(await store.get([digestOf('absent')])).toEqual([undefined]);
  // To be able to read it is not enough.
  await eventually(() => says('maxmemory'));
  const operator = connect(Number(new URL(full.url).port), '127.0.0.1');
  operator.write('CONFIG SET maxmemory 0\r\n');
  expect(String(await once(operator, 'data'))).toBe('+OK\r\n');
  operator.destroy();
  await store.put(blobs);
  await eventually(isThere);
  await store.close();
});

/** Of a process: what it is told of Redis, once each; `undefined`: that it is there. */
function surroundings() {
  const told: (string | undefined)[] = [];
  const tell = (reason?: string): void => {
    if (told.at(-1) !== reason || told.length === 0) told.push(reason);
  };
  const health = { failed: (error: unknown) => tell(String(error)), worked: () => tell() };
  const around = { logger: undefined, time: Date, readiness: { dependency: () => health } };
  return {
    around,
    says: async (text: string) => told.at(-1)?.includes(text) === true,
    isThere: async () => told.length > 0 && told.at(-1) === undefined,
  };
}

test('whoever uses Redis is told that it goes, or says nothing, and that it is there again', async () => {
  const { around, says, isThere } = surroundings();
  const store = openSharedBlobs({ redisUrl: redis.url, redisPassword: undefined }, around);
  await eventually(isThere);
  await redis.kill();
  await eventually(() => says('ECONNREFUSED'));
  await redis.start();
  await eventually(isThere);
  process.kill(redis.pid, 'SIGSTOP');
  // Nothing is wanted of it.
  await eventually(() => says('Socket timeout'));
  await expect(store.get([digestOf('a')])).rejects.toThrow(BlobsAwayError);
  process.kill(redis.pid, 'SIGCONT');
  await eventually(isThere);
  expect(await store.get([digestOf('a')])).toEqual([undefined]);
  await store.close();
});

test.each([
  ['WRONGPASS', 'before', 'before'],
  ['NOAUTH', undefined, ''],
])('until Redis takes the password (%s) it is not reached', async (says, password, taken) => {
  await using guarded = await startTestRedis();
  // Who was let in stays so.
  const operator = connect(Number(new URL(guarded.url).port), '127.0.0.1');
  const requirePassword = async (wanted: string): Promise<void> => {
    operator.write(`CONFIG SET requirepass "${wanted}"\r\n`);
    expect(String(await once(operator, 'data'))).toBe('+OK\r\n');
  };
  await requirePassword('after');
  const around = surroundings();
  const config = { redisUrl: guarded.url, redisPassword: password };
  const store = openSharedBlobs(config, around.around);
  let isReached = false;
  const reached = store.reached?.then(() => {
    isReached = true;
  });
  await eventually(() => around.says(says));
  expect(isReached).toBe(false);
  await requirePassword(taken);
  await reached;
  expect(isReached).toBe(true);
  await eventually(around.isThere);
  operator.destroy();
  await store.close();
});

test('a password beside a user of the URL counts, or one in it, and one that Redis does not take is said', async () => {
  const password = 'r%2F:@/ght';
  // By an ACL: what starts the Redis talks to it as the default user.
  await using guarded = await startTestRedis([
    '--user',
    'watershed',
    'on',
    `>${password}`,
    '+@all',
    '~*',
  ]);
  const url = guarded.url.replace('redis://', 'redis://watershed@');
  const { around, says } = surroundings();
  const wrong = openSharedBlobs({ redisUrl: url, redisPassword: 'wrong' }, around);
  await eventually(() => says('WRONGPASS'));
  await wrong.close();
  const whole = url.replace('watershed@', `watershed:${encodeURIComponent(password)}@`);
  for (const [redisUrl, redisPassword] of [
    [url, password],
    [whole, undefined],
  ]) {
    const { around, isThere } = surroundings();
    const right = openSharedBlobs({ redisUrl, redisPassword }, around);
    await eventually(isThere);
    await right.close();
  }
});
