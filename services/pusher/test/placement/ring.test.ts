import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadBound, place, ringOf } from '../../src/placement/ring.ts';

const names = fc.uniqueArray(fc.ipV4(), { minLength: 2, maxLength: 4 });
const few = { numRuns: 3 };
const some = { numRuns: 10 };

function addresses(ips: readonly string[]): readonly string[] {
  return ips.map((ip) => `${ip}:15010`);
}

function keysOf(count: number, salt: number): readonly string[] {
  return Array.from({ length: count }, (_, at) => `scope-${salt}-${at}`);
}

function loadsOf(owners: ReadonlyMap<string, string>): readonly number[] {
  const loads = new Map<string, number>();
  for (const owner of owners.values()) loads.set(owner, (loads.get(owner) ?? 0) + 1);
  return [...loads.values()];
}

function moved(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): number {
  return [...a].filter(([key, owner]) => b.get(key) !== owner).length;
}

describe('the ring', () => {
  it('is the same for everybody, in whatever order members and keys are named', () => {
    fc.assert(
      fc.property(names, fc.array(fc.string(), { maxLength: 20 }), (ips, keys) => {
        const one = place(ringOf(addresses(ips)), keys);
        const other = place(ringOf(addresses([...ips, ...ips].reverse())), [...keys].reverse());
        expect(new Map([...other].sort())).toEqual(new Map([...one].sort()));
      }),
      some,
    );
  });

  it('gives every key all members, each once, whatever the key', () => {
    fc.assert(
      fc.property(names, fc.string(), (ips, key) => {
        const { members, order, first } = ringOf(addresses(ips));
        expect([...order(key)].sort()).toEqual(members);
        expect(order(key)[0]).toBe(first(key));
      }),
      some,
    );
  });

  it('lets no member have more than the bound over the mean, however few the keys', () => {
    fc.assert(
      fc.property(names, fc.integer({ min: 0, max: 300 }), fc.nat(), (ips, count, salt) => {
        const owners = place(ringOf(addresses(ips)), keysOf(count, salt));
        expect(owners.size).toBe(count);
        expect(Math.max(0, ...loadsOf(owners))).toBeLessThanOrEqual(
          Math.ceil((loadBound * count) / ips.length),
        );
      }),
      some,
    );
  });

  it('moves at most 1.1 times a share of the scopes when a replica joins or leaves', () => {
    const count = 10_000;
    fc.assert(
      fc.property(names, fc.nat(), (ips, salt) => {
        const keys = keysOf(count, salt);
        const members = addresses(ips);
        const more = place(ringOf(members), keys);
        const less = place(ringOf(members.slice(1)), keys);
        // One more than `less` joins, or one of `more` leaves: the smaller share of the two.
        expect(moved(less, more)).toBeLessThanOrEqual((1.1 * count) / members.length);
      }),
      few,
    );
  });

  it('stays what it is: bootstraps that were written with it are out there', () => {
    const { order } = ringOf(['10.0.0.1:1', '10.0.0.1:2', '10.0.0.1:3']);
    expect(order('shop')).toEqual(['10.0.0.1:1', '10.0.0.1:3', '10.0.0.1:2']);
  });

  it('has no owners without members', () => {
    expect(place(ringOf([]), ['a']).size).toBe(0);
    expect(ringOf([]).order('a')).toEqual([]);
  });
});
