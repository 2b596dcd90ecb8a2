import { describe, expect, it } from 'vitest';
import { NackTally, type Refusal } from '../src/push/nack-tally.ts';

const refusal: Refusal = {
  scope: 's',
  proxyVersion: '1.40.0',
  typeUrl: 't',
  resource: 'r',
  version: 'v2',
};

/** Of what others tell, and of what is connected here. */
const by = (...proxies: string[]) => ({ proxies, all: false });
const here = (...proxies: string[]) => ({ here: proxies, pushers: [] });
const nobody = here();

const refused = (tally: NackTally, of = refusal): readonly string[] => [
  ...(tally.of(of.scope, of.proxyVersion)?.get(of.typeUrl)?.get(of.resource) ?? []),
];

describe('a version that proxies refuse', () => {
  it('is kept from a scope after three of them, wherever they are connected', () => {
    const tally = new NackTally();
    const others = here('p1', 'p2', 'p3', 'p4');
    expect(tally.tell('one', refusal, by('p1'), others)).toBe(false);
    expect(tally.tell('one', refusal, by('p1', 'p2'), others)).toBe(false);
    // Over a reconnect it is the same proxy.
    expect(tally.tell('other', refusal, by('p2'), others)).toBe(false);
    expect(refused(tally)).toEqual([]);
    expect(tally.tell('other', refusal, by('p2', 'p3'), others)).toBe(true);
    expect(refused(tally)).toEqual(['v2']);
    expect(tally.size).toBe(1);
  });

  it('is kept from it after fewer, if those are all; and after none, never', () => {
    const tally = new NackTally();
    expect(tally.tell('one', refusal, by(), nobody)).toBe(false);
    expect(tally.tell('one', refusal, by('p1'), here('p1', 'p2'))).toBe(false);
    expect(tally.tell('one', refusal, by('p1', 'p2'), here('p1', 'p2'))).toBe(true);
  });

  it('is a matter of all pushers that have some of the scope, where it is told by fewer', () => {
    const tally = new NackTally();
    const others = { here: [], pushers: ['one', 'other'] };
    expect(tally.tell('one', refusal, { proxies: ['p1'], all: true }, others)).toBe(false);
    expect(tally.tell('other', refusal, { proxies: ['p2'], all: false }, others)).toBe(false);
    expect(tally.tell('other', refusal, { proxies: ['p2'], all: true }, others)).toBe(true);
  });

  it('is kept from proxies of the same version alone, and is that version alone', () => {
    const tally = new NackTally();
    tally.tell('one', refusal, by('p1'), nobody);
    expect(tally.of('s', '1.36.0')).toBeUndefined();
    expect(tally.of('other', '1.40.0')).toBeUndefined();
    tally.tell('one', { ...refusal, version: 'v3' }, by('p1'), nobody);
    expect(refused(tally)).toEqual(['v2', 'v3']);
  });

  it('is free again when all who told take it back', () => {
    const tally = new NackTally();
    tally.tell('one', refusal, by('p1', 'p2', 'p3'), nobody);
    tally.tell('other', refusal, by('p4'), nobody);
    expect(tally.toldBy('one', 's')).toEqual([refusal]);
    expect(tally.takeBack('one', refusal)).toBe(false);
    expect(tally.takeBack('one', refusal)).toBe(false);
    expect(tally.takeBack('other', refusal)).toBe(true);
    expect([tally.of('s', '1.40.0'), tally.size]).toEqual([undefined, 0]);
  });

  it('is one of a thousand at most', () => {
    const tally = new NackTally();
    for (let i = 0; i < 2_000; i++) {
      tally.tell('one', { ...refusal, resource: `r${i}` }, by('p1'), nobody);
    }
    expect(tally.size).toBe(1_000);
  });
});
