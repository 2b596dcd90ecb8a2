import { systemTime } from '@watershed/runtime/clock.ts';
import { Logging } from '@watershed/runtime/logger.ts';
import { Outage } from '@watershed/runtime/outage.ts';
import { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import { expect, it } from 'vitest';
import { retry } from '../../src/engine/retry.ts';

it('what fails is tried until it works, less and less often, and told of once', async () => {
  const lines: string[] = [];
  const write = (line: string): void => void lines.push(String(JSON.parse(line).msg));
  const logging = new Logging({
    scopes: ['x'],
    levels: 'all:debug',
    json: true,
    clock: systemTime,
    write,
  });
  const outage = new Outage({ logger: logging.scope('x'), away: 'it is away', back: 'it is back' });
  const timers = new VirtualTime();
  const { signal } = new AbortController();
  const triedMs: number[] = [];
  const call = async (): Promise<string> => {
    triedMs.push(timers.monotonic());
    if (triedMs.length < 5) throw new Error('no');
    return 'done';
  };
  const done = retry(call, { timers, signal, retriable: () => true, outage });
  await timers.advance(60_000);
  expect(await done).toBe('done');
  expect(triedMs).toEqual([0, 50, 150, 350, 750]);
  expect(lines).toEqual(['it is away', 'it is back']);
});
