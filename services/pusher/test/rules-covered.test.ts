import { globSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const root = new URL('.', import.meta.url).pathname;
const all = Array.from({ length: 53 }, (_, at) => at + 1);

/** REST is not served; how a poll is answered is shown at the session. */
const notOnTheWire: ReadonlySet<number> = new Set([52]);

const bugs = [
  ...['istio#41494', 'envoy#22418', 'envoy#34334', 'envoy#36951', 'go-control-plane#962'],
  ...['kgateway#14264', 'istio#18938', 'osm#3252', 'istio#51612', 'istio#55812'],
];

function titles(pattern: string): string {
  const files = globSync(pattern, { cwd: root });
  expect(files.length).toBeGreaterThan(0);
  const found: string[] = [];
  for (const file of files) {
    const text = readFileSync(`${root}/${file}`, 'utf8');
    const matches = text.matchAll(/['`]rules? \d[^\n]*|'[a-z-]+#\d+[^\n]*/gu);
    for (const [title] of matches) found.push(title);
  }
  return found.join('\n');
}

/** `rule 7:`, `rules 28 and 29:`, `rules 21 to 25:`, `rules 6, 11, 16:` */
function rulesIn(text: string): ReadonlySet<number> {
  const rules = new Set<number>();
  for (const [, list = ''] of text.matchAll(/rules? (\d+(?:(?:, | and | to )\d+)*)/gu)) {
    for (const part of list.split(/, | and /u)) {
      const [from = 0, to = from] = part.split(' to ').map(Number);
      for (let rule = from; rule <= to; rule++) rules.add(rule);
    }
  }
  return rules;
}

describe('the rules of the protocol', () => {
  it('each have a test at the session, by number', () => {
    const tested = rulesIn(titles('{session,identity}/*.test.ts'));
    expect(all.filter((rule) => !tested.has(rule))).toEqual([]);
  });

  it('each have one on a real stream, where they show there', () => {
    const tested = rulesIn(titles('{server,identity}/*.test.ts'));
    expect(all.filter((rule) => !tested.has(rule) && !notOnTheWire.has(rule))).toEqual([]);
  });

  it('were learned from bugs that are tests', () => {
    const tested = titles('session/*.test.ts');
    expect(bugs.filter((bug) => !tested.includes(bug))).toEqual([]);
  });
});
