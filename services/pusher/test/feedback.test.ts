import { LogError } from '@watershed/log/port.ts';
import type { Append, Log } from '@watershed/log/port.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
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

function linesOf(lines: string[]): Logger {
  const say = (message: string): void => void lines.push(message);
  const all = { debug: say, info: say, warn: say, error: say, fatal: say };
  const logger: Logger = { ...all, enabled: () => true, with: () => logger };
  return logger;
}

test('an outage of the log is told of once, and that it is over, and the next one again', async () => {
  const [log, time, lines]: [Takes, VirtualTime, string[]] = [new Takes(), new VirtualTime(), []];
  const writer = new FeedbackWriter({ log, time, logger: linesOf(lines), name: 'p' });
  const told = ['feedback cannot be written now', 'feedback is written again'];
  for (const outage of [1, 2]) {
    log.isAway = true;
    const before = log.tries;
    writer.missing([`0${outage}`]);
    await time.advance(10_000);
    expect(log.tries - before).toBeGreaterThan(5);
    log.isAway = false;
    await time.advance(2_000);
    expect(lines).toEqual([...told, ...told].slice(0, 2 * outage));
  }
  expect(log.keys).toEqual(['b|p|01', 'b|p|02']);
});
