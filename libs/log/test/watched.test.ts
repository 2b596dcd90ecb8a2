import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { LogError, type Log, type ReadBatch } from '../src/port.ts';
import { LogWatch } from '../src/watched.ts';
import { realTime } from './support.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const batch: ReadBatch = { records: [], position: { topicId: 't', offset: 0 }, caughtUp: true };
const unavailable = (why: string): LogError =>
  new LogError('unavailable', why, { retriable: true });

/** A log that answers when it is told to, and what is said of it: lines of it that repeat are one. */
function watched(readWaitMs?: number) {
  const said: string[] = [];
  const say = (text: string): void => {
    if (said.at(-1) !== text) said.push(text);
  };
  let answer = Promise.withResolvers<void>();
  const log: Log = {
    ensureTopics: async () => undefined,
    append: (records) => answer.promise.then(() => records.map((_, at) => at)),
    end: () => answer.promise.then(() => batch.position),
    async *read(_topic, _partition, _from, signal) {
      const isOver = new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => resolve());
      });
      while (!signal.aborted) {
        await Promise.race([answer.promise, isOver]);
        if (!signal.aborted) yield batch;
      }
    },
    close: async () => answer.reject(unavailable('the connection is gone')),
  };
  const health = {
    failed: (error: unknown, sinceMs?: number) => {
      const ago = sinceMs === undefined ? '' : `, since ${(Date.now() - sinceMs) / 1_000} s`;
      say(`${(error as LogError).message}${ago}`);
    },
    worked: () => say('there'),
  };
  const time = realTime;
  const watch = new LogWatch({ time, health, ...(readWaitMs === undefined ? {} : { readWaitMs }) });
  const append = (): Promise<unknown> =>
    watched.append([{ topic: 't', partition: 0, key: 'k', value: undefined }]);
  const watched = watch.over(log);
  return {
    ...{ watched, watch, said, append },
    answers: () => answer.resolve(),
    fails: (error: LogError) => answer.reject(error),
    isSilent: () => void (answer = Promise.withResolvers()),
  };
}

test('a log that does not answer is away after 3 s, since it was asked, until it answers', async () => {
  const { said, append, answers } = watched();
  const appended = append();
  await vi.advanceTimersByTimeAsync(2_999);
  expect(said).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  expect(said).toEqual(['no answer to: append to t/0, since 3 s']);
  answers();
  await appended;
  expect(said.at(-1)).toBe('there');
  await vi.advanceTimersByTimeAsync(60_000);
  expect(said).toHaveLength(2);
});

test('a process that stood still looks at what has come meanwhile, and says nothing', async () => {
  const { said, append, answers } = watched();
  const appended = append();
  // What is due fires late, and only then what is set for later.
  vi.setSystemTime(Date.now() + 60_000);
  vi.runOnlyPendingTimers();
  await vi.advanceTimersByTimeAsync(100);
  answers();
  await appended;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(said).toEqual(['there']);
});

test('what fails and works when it is tried again soon is not told of; what goes on is, with why', async () => {
  const { said, append, answers, isSilent, watch } = watched();
  const first = append();
  watch.retried(unavailable('not known to all brokers yet'));
  await vi.advanceTimersByTimeAsync(2_000);
  answers();
  await first;
  expect(said).toEqual(['there']);
  isSilent();
  const second = append();
  watch.retried(unavailable('nobody leads t/0'));
  await vi.advanceTimersByTimeAsync(3_000);
  watch.retried(unavailable('connection refused'));
  expect(said.slice(1)).toEqual(['nobody leads t/0, since 3 s', 'connection refused']);
  answers();
  await second;
  expect(said.at(-1)).toBe('there');
});

test('while one call waits too long, others that are answered do not make it well', async () => {
  const { said, append, answers, isSilent, watched: log } = watched();
  const appended = append();
  await vi.advanceTimersByTimeAsync(3_000);
  const first = answers;
  isSilent();
  const ending = log.end('t', 0);
  first();
  await ending;
  expect(said).toEqual(['no answer to: append to t/0, since 3 s']);
  void appended;
});

test('a call that failed is in trouble until one like it works', async () => {
  const { said, append, fails, answers, isSilent, watched: log } = watched();
  fails(unavailable('no space left'));
  await expect(append()).rejects.toThrow('no space left');
  isSilent();
  answers();
  await log.end('t', 0);
  expect(said).toEqual(['no space left, since 0 s']);
  await append();
  expect(said.at(-1)).toBe('there');
  isSilent();
  fails(new LogError('record-too-large', 'too large', { retriable: false }));
  await expect(append()).rejects.toThrow('too large');
  expect(said).toHaveLength(2);
});

test('a reader at the end may wait as long as the log lets it, and one that ends has heard nothing', async () => {
  const { said, watched: log } = watched(2_000);
  const stop = new AbortController();
  const reading = log.read('t', 0, undefined, stop.signal)[Symbol.asyncIterator]();
  const next = reading.next();
  await vi.advanceTimersByTimeAsync(4_999);
  expect(said).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  expect(said).toEqual(['no answer to: read t/0, since 5 s']);
  stop.abort();
  expect(await next).toMatchObject({ done: true });
  expect(said).toHaveLength(1);
});

test('an embedded log may have nothing to say for ever, and who closes it cuts off what waits', async () => {
  const { said, append, watched: log } = watched();
  const reading = log.read('t', 0, undefined, new AbortController().signal)[Symbol.asyncIterator]();
  reading.next().catch(() => undefined);
  await vi.advanceTimersByTimeAsync(3_600_000);
  const appended = append();
  await Promise.all([expect(appended).rejects.toThrow('gone'), log.close()]);
  expect(said).toEqual([]);
});

test('why a call is made again is told though others work meanwhile, and no longer than it is so', async () => {
  const { said, watch, append, answers, isSilent } = watched();
  const refused = unavailable('an ACL must allow WRITE');
  isSilent();
  const late = append().catch(() => undefined);
  for (let seconds = 0; seconds < 2; seconds++) {
    watch.retried(refused);
    await watch.during('read', 'read u/0', Promise.resolve());
    await vi.advanceTimersByTimeAsync(1_000);
  }
  await vi.advanceTimersByTimeAsync(1_000);
  expect(said.at(-1)).toBe('an ACL must allow WRITE, since 3 s');
  answers();
  await late;
  isSilent();
  void append().catch(() => undefined);
  await vi.advanceTimersByTimeAsync(4_000);
  expect(said.at(-1)).toBe('no answer to: append to t/0, since 3 s');
});

test('a topic that cannot be read is told, though nobody says that it may come back', async () => {
  const { said, watch } = watched();
  const gone = new LogError('unknown-topic', 'there is no topic t', { retriable: false });
  const read = watch.during('read', 'read t/0', Promise.reject(gone));
  await expect(read).rejects.toBe(gone);
  expect(said).toEqual(['there is no topic t, since 0 s']);
  const closed = new LogError('closed', 'the log is closed', { retriable: false });
  await expect(watch.during('read', 'read t/0', Promise.reject(closed))).rejects.toBe(closed);
  expect(said).toHaveLength(1);
});

test('a log of which one topic is refused does not come and go with others, until that is wanted no more', async () => {
  const { said, watch } = watched();
  const refused = new LogError('not-allowed', 'an ACL must allow READ', { retriable: true });
  const works = (what: string): Promise<void> => watch.during('read', what, Promise.resolve());
  await works('read u/0');
  for (let seconds = 0; seconds < 3; seconds++) {
    const read = watch.during('read', 'read t/0', Promise.reject(refused));
    await expect(read).rejects.toBe(refused);
    await works('read u/0');
    await vi.advanceTimersByTimeAsync(1_000);
  }
  expect(said).toEqual(['there', 'an ACL must allow READ, since 0 s']);
  await works('read t/0');
  expect(said).toHaveLength(3);
  await expect(watch.during('read', 'read t/0', Promise.reject(refused))).rejects.toBe(refused);
  await vi.advanceTimersByTimeAsync(11_000);
  await works('read u/0');
  expect(said.at(-1)).toBe('there');
});
