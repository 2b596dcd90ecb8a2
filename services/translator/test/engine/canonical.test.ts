import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Canonical } from '../../src/engine/canonical.ts';

const digest = (argument: object): string => new Canonical().digest(argument, 'g');

/** Values of every kind that an argument may hold. */
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom<unknown>(null, undefined, true, false, 0, -0, Number.NaN, 1, '1', '', 1n, 'a'),
    fc.string({ unit: 'binary' }),
    fc.double(),
    fc.uint8Array({ maxLength: 4 }),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.constantFrom('a', 'b', 'c', '', 'a.b', '\ud800'), tie('value'), {
      maxKeys: 4,
    }),
  ),
}));
const argument = fc.dictionary(fc.constantFrom('x', 'y', 'z'), value);

/** Structural equality as the digest defines it, decided without it. */
function same(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) {
    return Object.is(a, b);
  }
  if (a instanceof Uint8Array || b instanceof Uint8Array) {
    return a instanceof Uint8Array && b instanceof Uint8Array && Buffer.compare(a, b) === 0;
  }
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((element, at) => same(element, b[at]));
  }
  const left = new Map(Object.entries(a).filter(([, field]) => field !== undefined));
  const right = new Map(Object.entries(b).filter(([, field]) => field !== undefined));
  return (
    left.size === right.size && [...left].every(([k, v]) => right.has(k) && same(v, right.get(k)))
  );
}

/** Another value of the same structure: keys the other way round, lists and objects copied. */
function copy(a: unknown): unknown {
  if (typeof a !== 'object' || a === null) return a;
  if (a instanceof Uint8Array) return Uint8Array.from(a);
  if (Array.isArray(a)) return a.map(copy);
  const entries = Object.entries(a).map(([key, field]) => [key, copy(field)] as const);
  return Object.fromEntries([...entries.reverse(), ['absent', undefined]]);
}

describe('the canonical digest', () => {
  it('is equal for equal structures, whatever the order of keys and the identity of objects', () => {
    fc.assert(
      fc.property(argument, (a) => {
        expect(digest(copy(a) as object)).toBe(digest(a));
      }),
      { numRuns: 1_000 },
    );
  });

  it('differs exactly where structures differ', () => {
    const canonical = new Canonical();
    fc.assert(
      fc.property(argument, argument, (a, b) => {
        expect(canonical.digest(a, 'g') === canonical.digest(b, 'g')).toBe(same(a, b));
      }),
      { numRuns: 3_000 },
    );
  });

  it('differs after any single value was replaced', () => {
    fc.assert(
      fc.property(argument, value, fc.nat(), (a, other, at) => {
        const changed = copy(a) as Record<string, unknown>;
        const keys = Object.keys(changed);
        const key = keys[at % keys.length] ?? 'x';
        const before = changed[key];
        changed[key] = other;
        expect(digest(changed) === digest(a)).toBe(same(before, other));
      }),
      { numRuns: 2_000 },
    );
  });

  it('tells types apart that print alike', () => {
    const all = [1, '1', 1n, true, 'true', null, 'null', [], {}, '', 0, -0, [1], ['1'], { 0: 1 }];
    const digests = all.map((v) => digest({ v }));
    expect(new Set(digests).size).toBe(all.length);
    expect(digest({ v: undefined })).toBe(digest({}));
    expect(digest({ v: [undefined] })).not.toBe(digest({ v: [] }));
    expect(digest({ v: Buffer.from('ab') })).toBe(digest({ v: new TextEncoder().encode('ab') }));
  });

  it('tells where one value ends and the next begins', () => {
    expect(digest({ v: ['ab', 'c'] })).not.toBe(digest({ v: ['a', 'bc'] }));
    expect(digest({ v: [['a'], 'b'] })).not.toBe(digest({ v: [['a', 'b']] }));
    expect(digest({ a: { b: 1 }, c: 2 })).not.toBe(digest({ a: { b: 1, c: 2 } }));
    expect(digest({ v: ['\ud800'] })).not.toBe(digest({ v: ['\ufffd'] }));
  });

  it('freezes the argument with all that it holds, even below what was frozen already', () => {
    const inner = { list: [{ deep: { deeper: 1 } }], bytes: new Uint8Array(1) };
    digest({ outer: Object.freeze({ inner }) });
    expect(Object.isFrozen(inner.list[0]?.deep)).toBe(true);
  });

  it('refuses what has no canonical form, and says where it is', () => {
    for (const wrong of [new Map(), new Set(), new Date(0), () => 1, Symbol('s'), /x/u]) {
      expect(() => digest({ a: [{ b: wrong }] })).toThrow(/a\[\]\.b/u);
    }
    const circle: { self?: object } = {};
    circle.self = { circle };
    expect(() => digest(circle)).toThrow(/deeper than/u);
  });

  it('as a mutant leaves out the field that it is told to, for its generator, and only that', () => {
    const omit = (generator: string, path: string): boolean =>
      generator === 'clusters' && path === 'hosts[].port';
    const mutant = new Canonical({ omit });
    const of = (name: string, port: number, host = 'a', top = 1): string =>
      mutant.digest({ hosts: [{ host, port }], port: top }, name);
    expect(of('clusters', 1)).toBe(of('clusters', 2));
    expect(of('clusters', 1)).not.toBe(of('clusters', 1, 'b'));
    expect(of('clusters', 1)).not.toBe(of('clusters', 1, 'a', 2));
    expect(of('routes', 1)).not.toBe(of('routes', 2));
  });

  it('is the same on every machine and for ever', () => {
    expect(digest({ b: [1, 'x', null], a: { c: new Uint8Array([1, 2]) }, d: true })).toBe(
      '9187827b2aa4147cb681cec1973a4412',
    );
  });
});
