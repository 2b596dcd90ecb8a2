import { systemTime } from '@watershed/runtime/clock.ts';
import { Logging } from '@watershed/runtime/logger.ts';
import { expect, it } from 'vitest';
import { Diagnostics, problem, type Step } from '../src/core/diagnostics.ts';
import { ProblemLog } from '../src/problem-log.ts';

const lines: string[] = [];
const logging = new Logging({
  scopes: ['x'],
  levels: 'all:info',
  json: true,
  clock: systemTime,
  write: (line) => void lines.push(line),
});
const log = new ProblemLog(logging.scope('x'));
const diagnostics = new Diagnostics(
  () => 0,
  (found) => log.add(found),
);

/** What is logged when a step has found the same of some objects. */
function said(step: Step, reason: string, count: number): readonly string[] {
  lines.length = 0;
  for (let at = 0; at < count; at++) {
    const subject = { group: '', kind: 'Service', namespace: 'shop', name: `s-${at}` };
    diagnostics.set({ subject, step, origin: '', problems: [problem(reason)] });
  }
  log.flush();
  return lines;
}

it('a problem is logged when it is found, once', () => {
  expect(said('decode', 'is odd', 1)).toEqual([expect.stringContaining('shop/s-0: is odd')]);
  expect(said('decode', 'is odd', 1)).toEqual([]);
  expect(said('decode', 'is odder', 1)).toEqual([expect.stringContaining('is odder')]);
});

it('a source that cannot be read is no problem of its own: the ingester tells of it', () => {
  expect(said('source', 'is away', 1)).toEqual([]);
});

it('of a mass of problems some are logged, and how many more there are', () => {
  const all = said('decode', 'is bad', 1_000);
  expect(all.length).toBe(21);
  expect(all.at(-1)).toContain('"more":980');
});

it('held deletions are one line, which names the command that releases them', () => {
  const all = said('held', 'so many at once', 300);
  expect(all).toEqual([expect.stringMatching(/"held":300.*xdsctl confirm/u)]);
});
