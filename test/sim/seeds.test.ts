import { expect, test } from 'vitest';
import { runSeeds } from './seeds.ts';

test('it is said how many seeds ran, how often each fault was hit, and how to replay what failed', async () => {
  const lines: string[] = [];
  const failures = await runSeeds({
    first: 41,
    steps: 9,
    isMore: (ran) => ran < 3,
    say: (line) => lines.push(line),
    runOne: async ({ seed }) => ({
      digest: 'd1',
      lines: 5,
      virtualMs: 1_500,
      hits: new Map([['it crashes', seed]]),
      failure: seed === 42 ? 'a route leads nowhere\n  at a line' : undefined,
    }),
  });
  expect(failures).toEqual(['npm run sim -- --seed 42 --steps 9: a route leads nowhere']);
  expect(lines).toEqual([
    'seeds from 41 on',
    '✗ seed 42: d1, 5 lines in 1.5 virtual s',
    '  a route leads nowhere\n  at a line',
    '  replay: npm run sim -- --seed 42 --steps 9',
    '     126  it crashes',
    '3 seeds of 9 steps, 1 failed',
  ]);
});

test('what has not ended yet is noted as well, and no more when it has', async () => {
  const notes: (readonly string[])[] = [];
  let ended = 0;
  await runSeeds({
    first: 7,
    steps: 2,
    isMore: (ran) => ran < 2,
    say: () => undefined,
    note: (failures) => notes.push([...failures]),
    runOne: async () => {
      expect(notes).toHaveLength(++ended);
      return { digest: '', lines: 0, virtualMs: 0, hits: new Map(), failure: undefined };
    },
  });
  expect(notes).toEqual([
    ['npm run sim -- --seed 7 --steps 2: it did not end'],
    ['npm run sim -- --seed 8 --steps 2: it did not end'],
    [],
  ]);
});
