import { LogError } from '@watershed/log/port.ts';
import type { Append, Log } from '@watershed/log/port.ts';
import { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import { expect, test } from 'vitest';
import { FeedbackWriter } from '../src/feedback.ts';

/** Takes appends, or is away. */
class Takes implements Log {
  isAway = false;
  tries = 0;
  readonly keys: string[] = [];

  async append(records: readonly Append[]): Promise<readonly number[]> {
    this.tries++;
    if (this.isAway) throw new LogError('unavailable', 'the log is away', { retriable: true });
    this.keys.push(...records.map(({ key }) => key));
    return [];
  }

  async ensureTopics(): Promise<void> {}

  read(): never {
    throw new Error('feedback is not read here');
  }

  end(): never {
    throw new Error('feedback is not read here');
  }

  async close(): Promise<void> {}
}

test('what the log does not take is told when it is back', async () => {
  const [log, time] = [new Takes(), new VirtualTime()];
  const writer = new FeedbackWriter({ log, time, name: 'p' });
  log.isAway = true;
  writer.missing(['01']);
  await time.advance(10_000);
  expect(log.tries).toBeGreaterThan(5);
  log.isAway = false;
  await time.advance(2_000);
  expect(log.keys).toEqual(['b|p|01']);
});

test('a log that does not answer does not hold up the end', async () => {
  const [log, time] = [new Takes(), new VirtualTime()];
  log.append = () => new Promise(() => undefined);
  const writer = new FeedbackWriter({ log, time, name: 'p' });
  writer.missing(['01']);
  let hasStopped = false;
  const stopped = writer.stop().then(() => (hasStopped = true));
  await time.advance(1_999);
  expect(hasStopped).toBe(false);
  await time.advance(1);
  await stopped;
});
