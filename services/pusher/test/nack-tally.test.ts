import { describe, expect, it } from 'vitest';
import { NackTally, type Refusal } from '../src/push/nack-tally.ts';

const refusal: Refusal = {
  scope: 's',
  proxyVersion: '1.40.0',
  typeUrl: 't',
  resource: 'r',
  version: 'v2',
};

const refused = (tally: NackTally, of = refusal): readonly string[] => [
  ...(tally.of(of.scope, of.proxyVersion)?.get(of.typeUrl)?.get(of.resource) ?? []),
];

describe('a version that proxies refuse', () => {
  it('is kept from a scope after three of them, wherever they are connected', () => {
    const tally = new NackTally();
    expect(tally.tell('one', refusal, ['p1'])).toBe(false);
    expect(tally.tell('one', refusal, ['p1', 'p2'])).toBe(false);
    // Over a reconnect it is the same proxy.
    expect(tally.tell('other', refusal, ['p2'])).toBe(false);
    expect(refused(tally)).toEqual([]);
    expect(tally.tell('other', refusal, ['p2', 'p3'])).toBe(true);
    expect(refused(tally)).toEqual(['v2']);
    expect(tally.size).toBe(1);
  });

  it('is kept from proxies of the same version alone, and is that version alone', () => {
    const tally = new NackTally();
    tally.tell('one', refusal, ['p1', 'p2', 'p3']);
    expect(tally.of('s', '1.36.0')).toBeUndefined();
    expect(tally.of('other', '1.40.0')).toBeUndefined();
    tally.tell('one', { ...refusal, version: 'v3' }, ['p1', 'p2', 'p3']);
    expect(refused(tally)).toEqual(['v2', 'v3']);
  });

  it('is free a while after those who tell are too few, or at once where nobody tells', () => {
    const tally = new NackTally();
    tally.tell('one', refusal, ['p1', 'p2', 'p3']);
    tally.tell('other', refusal, ['p4']);
    expect(tally.toldBy('one')).toEqual([refusal]);
    expect([...tally.pushers]).toEqual(['one', 'other']);
    tally.takeBack('one', refusal);
    expect([tally.end(refusal), tally.untold]).toEqual([false, []]);
    // A newer version is on its way to all pushers.
    tally.takeBack('other', refusal);
    expect([refused(tally), tally.untold]).toEqual([['v2'], [refusal]]);
    expect([tally.end(refusal), tally.end(refusal)]).toEqual([true, false]);
    expect([tally.of('s', '1.40.0'), tally.size]).toEqual([undefined, 0]);
    tally.tell('one', refusal, ['p1', 'p2']);
    tally.tell('other', refusal, ['p3']);
    tally.takeBack('one', refusal);
    expect(tally.lapse(1_000)).toEqual([]);
    tally.tell('one', refusal, ['p1', 'p2']);
    expect(tally.lapse(6_000)).toEqual([]);
    tally.takeBack('one', refusal);
    tally.takeBack('other', refusal);
    expect(tally.lapse(7_000)).toEqual([]);
    expect(refused(tally)).toEqual(['v2']);
    expect(tally.lapse(12_000)).toEqual([refusal]);
    expect([refused(tally), tally.size, tally.untold]).toEqual([[], 0, []]);
  });

  it('is one of a thousand at most', () => {
    const tally = new NackTally();
    for (let i = 0; i < 2_000; i++) {
      tally.tell('one', { ...refusal, resource: `r${i}` }, ['p1', 'p2', 'p3']);
    }
    expect(tally.size).toBe(1_000);
  });
});
