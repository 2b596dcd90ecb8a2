import { expect, test } from 'vitest';
import { Outbox } from '../src/core/outbox.ts';

const event = (key: string, value: number) => ({
  topic: 'config' as const,
  key,
  value: new Uint8Array([value]),
});

function taken(outbox: Outbox): { out: string[]; lost: Record<string, string[]> } {
  const { outgoing, collisions } = outbox.take();
  return {
    out: outgoing.map(({ key, value, owner }) => `${key}=${value?.[0] ?? 'gone'} by ${owner}`),
    lost: Object.fromEntries(
      [...collisions].map(([owner, lost]) => [owner, lost.map(({ key, winner }) => key + winner)]),
    ),
  };
}

test('a key goes out when its value changes, and once more when nobody claims it', () => {
  const outbox = new Outbox();
  outbox.set('a', [event('k', 1)], 0);
  expect(taken(outbox).out).toEqual(['k=1 by a']);
  outbox.set('a', [event('k', 1)], 0);
  expect(taken(outbox).out).toEqual([]);
  outbox.set('a', [event('k', 2), event('l', 1)], 0);
  expect(taken(outbox).out).toEqual(['k=2 by a', 'l=1 by a']);
  outbox.drop('a');
  expect(taken(outbox).out).toEqual(['k=gone by a', 'l=gone by a']);
});

test('what routes lead to goes out before them, and what is gone last', () => {
  const outbox = new Outbox();
  outbox.set('old', [event('c|route|n|x', 1), event('c|service|n|x', 1)], 0);
  outbox.take();
  outbox.drop('old');
  outbox.set('new', [event('c|route|n|y', 1), event('c|service|n|y', 1)], 0);
  expect(taken(outbox).out).toEqual([
    'c|service|n|y=1 by new',
    'c|route|n|y=1 by new',
    'c|route|n|x=gone by old',
    'c|service|n|x=gone by old',
  ]);
});

test('what the log has and nobody gives goes out as gone, unless somebody comes to give it', () => {
  const outbox = new Outbox();
  for (const key of ['k', 'l']) outbox.orphan({ ...event(key, 1), owner: 'gone' });
  outbox.set('a', [event('l', 1)], 0);
  expect(taken(outbox).out).toEqual(['k=gone by gone']);
});

test('what comes and goes between two looks never goes out', () => {
  const outbox = new Outbox();
  outbox.set('a', [event('k', 1)], 0);
  outbox.drop('a');
  expect(taken(outbox).out).toEqual([]);
});

test('of two objects that claim a key the older one has it, whichever came first', () => {
  for (const order of [
    ['old', 'new'],
    ['new', 'old'],
  ] as const) {
    const outbox = new Outbox();
    for (const owner of order) {
      outbox.set(owner, [event('k', owner === 'old' ? 1 : 2)], owner === 'old' ? 10 : 20);
    }
    expect(taken(outbox)).toEqual({ out: ['k=1 by old'], lost: { new: ['kold'] } });
    outbox.drop('old');
    expect(taken(outbox)).toEqual({ out: ['k=2 by new'], lost: { new: [] } });
  }
});

test('of two that are equally old the one whose id sorts first has it', () => {
  const outbox = new Outbox();
  outbox.set('b', [event('k', 2)], 0);
  expect(taken(outbox).out).toEqual(['k=2 by b']);
  outbox.set('a', [event('k', 1)], 0);
  expect(taken(outbox)).toEqual({ out: ['k=1 by a'], lost: { b: ['ka'] } });
  outbox.set('a', [], 0);
  expect(taken(outbox)).toEqual({ out: ['k=2 by b'], lost: { b: [] } });
});

test('a key that passes to an owner with an equal value is no news', () => {
  const outbox = new Outbox();
  outbox.set('a', [event('k', 1)], 0);
  outbox.take();
  outbox.set('b', [event('k', 1)], 0);
  outbox.drop('a');
  expect(taken(outbox).out).toEqual([]);
});

test('a value kept from the log wins over all, and nobody is blamed', () => {
  const outbox = new Outbox();
  outbox.set('a', [event('k', 1)], 0);
  outbox.retain('z', event('k', 9));
  expect(taken(outbox)).toEqual({ out: ['k=9 by z'], lost: {} });
  outbox.set('z', [], 0);
  expect(taken(outbox).out).toEqual(['k=1 by a']);
});
