import { expect, test } from 'vitest';
import { run } from './run.ts';

test('what must hold holds, whatever fails', async () => {
  expect((await run({ seed: 3, steps: 40 })).failure).toBeUndefined();
});

test('pushers and translators of the previous schema run beside new ones', async () => {
  const previous = ['translator-0', 'pusher-0'];
  expect((await run({ seed: 3, steps: 40, previous })).failure).toBeUndefined();
});

test('an ingester that is superseded while it takes its partitions over ends, and is started anew', async () => {
  expect((await run({ seed: 942890908, steps: 80, previous: [] })).failure).toBeUndefined();
});

test('the same seed comes to the same history, line by line', async () => {
  const histories = [0, 1].map(async () => {
    const lines: string[] = [];
    const { digest } = await run({ seed: 4, steps: 30, trace: (line) => lines.push(line) });
    return { digest, lines };
  });
  const [first, second] = await Promise.all(histories);
  expect(first?.lines.length).toBeGreaterThan(100);
  expect(second).toEqual(first);
});
