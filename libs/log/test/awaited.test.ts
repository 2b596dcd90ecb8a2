import { expect, it } from 'vitest';
import { openAwaited, type AwaitedLogOptions } from '../src/awaited.ts';
import { LogError, type Log, type ReadBatch } from '../src/port.ts';

const away = new LogError('unavailable', 'away', { retriable: true });
const time = {
  now: () => 0,
  after: (_delayMs: number, callback: () => void) => {
    const handle = setImmediate(callback);
    return { cancel: () => clearImmediate(handle) };
  },
  soon: (callback: () => void) => {
    const handle = setImmediate(callback);
    return { cancel: () => clearImmediate(handle) };
  },
};

/** A log with nothing in it, which can be opened from the `openable`th try on. */
function awaited(openable: number, failure: LogError = away) {
  const said: string[] = [];
  let tries = 0;
  const log: Log = {
    ensureTopics: async () => void said.push('topics'),
    append: async (records) => records.map((_, at) => at),
    end: async () => ({ topicId: 't', offset: 0 }),
    async *read() {
      yield { records: [], position: { topicId: 't', offset: 0 }, caughtUp: true };
    },
    close: async () => void said.push('closed'),
  };
  const options: AwaitedLogOptions = {
    open: async () => {
      if (++tries < openable) throw tries === 1 ? away : failure;
      return log;
    },
    topics: [],
    time,
    health: { failed: () => void said.push('away'), worked: () => void said.push('open') },
    onFatal: (error) => said.push(`fatal: ${String(error)}`),
  };
  return { options, said };
}

async function batches(reading: AsyncIterable<ReadBatch>): Promise<readonly ReadBatch[]> {
  const read: ReadBatch[] = [];
  for await (const batch of reading) read.push(batch);
  return read;
}

it('is the log itself if that can be opened at once', async () => {
  const { options, said } = awaited(1);
  const log = await openAwaited(options);
  expect(await log.append([])).toEqual([]);
  expect(said).toEqual(['topics', 'open']);
});

it('reads wait for the log, all else says that it is not there', async () => {
  const { options, said } = awaited(3);
  const log = await openAwaited(options);
  await expect(log.append([])).rejects.toMatchObject({ code: 'unavailable', retriable: true });
  await expect(log.end('t', 0)).rejects.toMatchObject({ code: 'unavailable', retriable: true });
  for await (const batch of log.read('t', 0, undefined, new AbortController().signal)) {
    expect(batch.caughtUp).toBe(true);
  }
  expect(said).toEqual(['away', 'away', 'topics', 'open']);
  expect(await log.append([])).toEqual([]);
  await log.close();
  expect(said.at(-1)).toBe('closed');
});

it('a reader that is not wanted any more, or a log that is closed, waits for nothing', async () => {
  const { options } = awaited(Number.POSITIVE_INFINITY);
  const log = await openAwaited(options);
  const unwanted = new AbortController();
  const reading = batches(log.read('t', 0, undefined, unwanted.signal));
  unwanted.abort();
  expect(await reading).toEqual([]);
  const other = batches(log.read('t', 0, undefined, new AbortController().signal));
  await Promise.all([
    expect(other).rejects.toMatchObject({ code: 'closed', retriable: false }),
    log.close(),
  ]);
});

it('tells of a refusal that is final, at once or later', async () => {
  const refused = new LogError('unavailable', 'no such user', { retriable: false });
  const { options, said } = awaited(3, refused);
  await openAwaited(options);
  await expect.poll(() => said.at(-1)).toBe('fatal: LogError: no such user');
  const never: AwaitedLogOptions = { ...options, open: () => Promise.reject(refused) };
  await expect(openAwaited(never)).rejects.toBe(refused);
});

it('a try that takes long is waited for no longer, neither at the start nor at the end', async () => {
  const { options, said } = awaited(1);
  const slow = Promise.withResolvers<void>();
  const { open } = options;
  const late = { ...options, open: () => slow.promise.then(open) };
  const log = await openAwaited(late);
  expect(said).toEqual(['away']);
  const reading = batches(log.read('t', 0, undefined, new AbortController().signal));
  await Promise.all([expect(reading).rejects.toMatchObject({ code: 'closed' }), log.close()]);
  slow.resolve();
  await expect.poll(() => said).toEqual(['away', 'topics', 'closed']);
});

it('a first try that takes long is the one that counts', async () => {
  const { options, said } = awaited(1);
  const slow = Promise.withResolvers<void>();
  const { open } = options;
  const log = await openAwaited({ ...options, open: () => slow.promise.then(open) });
  await expect(log.append([])).rejects.toMatchObject({ code: 'unavailable' });
  slow.resolve();
  await expect.poll(() => said).toEqual(['away', 'topics', 'open']);
  expect(await log.append([])).toEqual([]);
  await log.close();
});
