import { describe, expect, it } from 'vitest';
import { Match, type NamedMatch, type StringMatch } from '../src/gen/model.ts';
import { takesAll } from '../src/match.ts';

type Kind = NonNullable<StringMatch['match']>;
const text = (match?: Kind): StringMatch => ({ match });
const named: NamedMatch = {
  name: 'a',
  value: text({ $case: 'present', value: true }),
  invert: false,
};
const prefix = text({ $case: 'prefix', value: '/' });

describe('a match takes every request', () => {
  it.each<Partial<Match>>([
    {},
    { path: text() },
    { path: prefix },
    { path: text({ $case: 'prefix', value: '' }) },
    { path: text({ $case: 'pathPrefix', value: '/' }) },
    { path: text({ $case: 'regex', value: '.*' }), ignorePathCase: true },
    { port: 80, sourceNamespace: 'a', sourceLabels: { a: 'b' } },
  ])('if it is %j', (match) => {
    expect(takesAll({ ...Match.create(), ...match })).toBe(true);
  });

  it.each<Partial<Match>>([
    { path: text({ $case: 'prefix', value: '/a' }) },
    { path: text({ $case: 'exact', value: '/' }) },
    { path: text({ $case: 'regex', value: '/.*' }) },
    { scheme: prefix },
    { method: prefix },
    { authority: prefix },
    { headers: [named] },
    { queryParams: [named] },
  ])('not if it is %j', (match) => {
    expect(takesAll({ ...Match.create(), ...match })).toBe(false);
  });
});
