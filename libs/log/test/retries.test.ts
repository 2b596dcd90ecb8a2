import { expect, test } from 'vitest';
import { retriesTo } from '../src/kafka/open.ts';
import { LogError } from '../src/port.ts';

test('a log that is away is told of at once, then once in ten seconds, with how often it failed', () => {
  let nowMs = 1_000;
  const told: number[] = [];
  const onRetry = retriesTo(
    { warn: (_message, { failures }) => void told.push(failures) },
    { now: () => nowMs },
  );
  const fail = (times: number): void => {
    const away = new LogError('unavailable', 'away', { retriable: true });
    for (let at = 0; at < times; at++) onRetry(away);
  };
  fail(64);
  nowMs += 9_999;
  fail(64);
  expect(told).toEqual([1]);
  nowMs += 1;
  fail(64);
  expect(told).toEqual([1, 128]);
});
