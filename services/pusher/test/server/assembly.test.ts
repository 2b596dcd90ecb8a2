import { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import { expect, it } from 'vitest';
import { Assembly, type Slot } from '../../src/server/assembly.ts';

function assembly(slots: number) {
  const time = new VirtualTime();
  const granted: string[] = [];
  const held = new Map<string, Slot>();
  const all = new Assembly({ timers: time, slots, slotMs: 1_000 });
  return {
    time,
    granted,
    held,
    all,
    take: (who: string) => {
      const slot = all.take({ who }, (later) => {
        granted.push(who);
        held.set(who, later);
      });
      if (slot !== undefined) held.set(who, slot);
      return slot !== undefined;
    },
  };
}

it('so many large messages are received at once, and the others in the order in which they came', () => {
  const { take, held, granted } = assembly(2);
  expect(['a', 'b', 'c', 'd'].map(take)).toEqual([true, true, false, false]);
  held.get('a')?.release();
  expect(granted).toEqual(['c']);
  held.get('a')?.release();
  expect(granted).toEqual(['c']);
  held.get('b')?.release();
  expect(granted).toEqual(['c', 'd']);
});

it('a client that never ends its message does not keep its place', async () => {
  const { take, granted, time } = assembly(1);
  expect([take('slow'), take('next')]).toEqual([true, false]);
  await time.advance(999);
  expect(granted).toEqual([]);
  await time.advance(1);
  expect(granted).toEqual(['next']);
});

it('who gave up is not called', () => {
  const { all, held, take, granted } = assembly(1);
  take('a');
  const who = {};
  expect(all.take(who, () => granted.push('gone'))).toBeUndefined();
  all.forget(who);
  held.get('a')?.release();
  expect(granted).toEqual([]);
  expect(take('b')).toBe(true);
});

it('parts are joined whole, small and large', () => {
  const { all } = assembly(1);
  for (const size of [1, 70_000, 300_000, 2_000_000]) {
    const parts = [Buffer.alloc(size, 'a'), Buffer.alloc(size, 'b')];
    expect(all.join(parts, 2 * size).equals(Buffer.concat(parts))).toBe(true);
  }
});
