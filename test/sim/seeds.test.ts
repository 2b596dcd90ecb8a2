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
