import { Fold } from '@watershed/log/fold.ts';
import { LogError, type Log, type ReadBatch } from '@watershed/log/port.ts';
import { systemTime } from '@watershed/runtime/clock.ts';
import { expect, test } from 'vitest';
import { follow } from '../src/follow.ts';
import { loggerInto } from './support/world.ts';

const batch: ReadBatch = { records: [], position: { topicId: 't', offset: 0 }, caughtUp: true };

test('what cannot be read is tried again until the log is closed, whatever the reason', async () => {
  const fails = [
    new LogError('unknown-topic', 'there is no topic xds', { retriable: false }),
    new LogError('unavailable', 'away', { retriable: true }),
    undefined,
    new LogError('closed', 'the log is closed', { retriable: false }),
  ];
  let taken = 0;
  const log = {
    async *read() {
      const failure = fails.shift();
      if (failure !== undefined) throw failure;
      yield batch;
    },
  } as unknown as Log;
  const followed = { topic: 'xds', partition: 0, fold: new Fold(), take: () => void taken++ };
  const options = { log, time: systemTime, logger: loggerInto([]), retryMs: 1 };
  await follow(options, followed, new AbortController().signal);
  expect(taken).toBe(1);
  expect(fails).toEqual([]);
});
