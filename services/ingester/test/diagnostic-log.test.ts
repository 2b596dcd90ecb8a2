import { systemTime } from '@watershed/runtime/clock.ts';
import { Logging } from '@watershed/runtime/logger.ts';
import { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import { beforeEach, expect, it } from 'vitest';
import { Diagnostics, problem, type Step, type Subject } from '../src/core/diagnostics.ts';
import { DiagnosticLog } from '../src/diagnostic-log.ts';

const lines: string[] = [];
const logging = new Logging({
  scopes: ['x'],
  levels: 'all:info',
  json: true,
  clock: systemTime,
  write: (line) => void lines.push(line),
});
const time = new VirtualTime();
const log = new DiagnosticLog(
  logging.scope('x'),
  (command) => `npx xdsctl ${command} --monitoringAddr 127.0.0.1:9`,
  time,
);
const diagnostics = new Diagnostics(() => 0, log);

function subjectOf(at: number): Subject {
  return { group: '', kind: 'Service', namespace: 'shop', name: `s-${at}` };
}

/** A step has found the same of some objects; without a reason: nothing. */
function find(step: Step, reason: string | undefined, count: number): void {
  const problems = reason === undefined ? [] : [problem(reason)];
  for (let at = 0; at < count; at++) {
    diagnostics.set({ subject: subjectOf(at), step, origin: '', problems });
  }
}

function logged(): readonly string[] {
  lines.length = 0;
  log.flush();
  return lines;
}

function said(step: Step, reason: string | undefined, count: number): readonly string[] {
  find(step, reason, count);
  return logged();
}

beforeEach(() => {
  for (let at = 0; at < 1_000; at++) diagnostics.clear(subjectOf(at));
  logged();
});

it('a problem is logged when it is found, once', () => {
  expect(said('decode', 'is odd', 1)).toEqual([expect.stringContaining('shop/s-0: is odd')]);
  expect(said('decode', 'is odd', 1)).toEqual([]);
  expect(said('decode', 'is odder', 1)).toEqual([expect.stringContaining('is odder')]);
});

it('that a problem is over is logged, and not where another one of the field has taken its place', () => {
  said('decode', 'is odd', 1);
  expect(said('decode', 'is odder', 1)).toEqual([expect.stringContaining('"level":"warn"')]);
  expect(said('decode', undefined, 1)).toEqual([
    expect.stringMatching(/"level":"info".*shop\/s-0: is odder.*is over/u),
  ]);
  expect(said('decode', undefined, 1)).toEqual([]);
});

it('a problem is logged with where it is written, and again only where it is another', () => {
  const subject = subjectOf(0);
  const found = (step: Step, line: number): void => {
    diagnostics.set({ subject, step, origin: `a.yaml:${line}`, problems: [problem('is odd')] });
  };
  found('kind', 3);
  expect(logged()).toEqual([expect.stringContaining('"origin":"a.yaml:3"')]);
  diagnostics.clear(subject);
  found('kind', 4);
  expect(logged()).toEqual([]);
  diagnostics.clear(subject);
  expect(logged()).toEqual([expect.stringMatching(/"origin":"a\.yaml:4".*is over/u)]);
});

it("an object's problems are over when it goes", () => {
  said('emit', 'is lost', 1);
  diagnostics.clear(subjectOf(0));
  expect(logged()).toEqual([expect.stringMatching(/is lost.*is over/u)]);
});

it('what a batch takes back and finds again is not news', () => {
  said('kind', 'is unknown', 1);
  diagnostics.clear(subjectOf(0), 'kind');
  expect(said('kind', 'is unknown', 1)).toEqual([]);
});

it('a source that cannot be read is no problem of its own: the ingester tells of it', () => {
  expect(said('source', 'is away', 1)).toEqual([]);
});

it('of a mass of problems some are logged, and how many more there are', () => {
  const all = said('decode', 'is bad', 1_000);
  expect(all.length).toBe(21);
  expect(all.at(-1)).toContain('"more":980');
  expect(said('decode', undefined, 1_000).at(-1)).toMatch(/"more":980.*are over/u);
});

it('held deletions are one line, with the command that releases them as it is typed', () => {
  const all = said('held', 'so many at once', 300);
  expect(all).toEqual([
    expect.stringMatching(
      /"held":300.*`npx xdsctl confirm --monitoringAddr 127\.0\.0\.1:9` releases/u,
    ),
  ]);
  expect(said('held', undefined, 300)).toEqual([expect.stringMatching(/"count":300.*no more/u)]);
});

it('what comes and goes within a moment is not told of, what stays is told of by itself', async () => {
  for (const step of ['held', 'decode'] as const) {
    find(step, 'so it is', 30);
    await time.advance(200);
    find(step, undefined, 30);
    await time.advance(200);
    expect(lines).toEqual([]);
    find(step, 'so it is', 1);
    await time.advance(300);
    expect(lines.splice(0)).toHaveLength(1);
    find(step, undefined, 1);
    find(step, 'so it is', 1);
    await time.advance(300);
    expect(lines).toEqual([]);
  }
});
