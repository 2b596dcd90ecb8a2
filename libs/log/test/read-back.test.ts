import { expect, it } from 'vitest';
import type { Log } from '../src/port.ts';
import { ReadBack } from '../src/read-back.ts';
import { realTime } from './support.ts';

it('who stops is not waited for, though the log does not say where it ends', async () => {
  const asked = Promise.withResolvers<void>();
  const log = {
    end: () => {
      asked.resolve();
      return new Promise(() => undefined);
    },
  };
  const stop = new AbortController();
  const options = {
    ...{ log: log as unknown as Log, time: realTime, retryMs: 1 },
    ...{ topic: 't', partition: 0, writer: 'w' },
  };
  const readBack = new ReadBack(options, () => undefined, stop.signal);
  const read = readBack.reads(0);
  await asked.promise;
  stop.abort();
  await expect(read).resolves.toBeUndefined();
});
