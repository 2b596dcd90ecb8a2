import { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import { expect, it } from 'vitest';
import { Assembly, type Slot } from '../../src/server/assembly.ts';
import { Growing } from '../../src/server/growing.ts';

function assembly(slots: number) {
  const time = new VirtualTime();
  const granted: string[] = [];
  const held = new Map<string, Slot>();
  const late: string[] = [];
  const all = new Assembly({ timers: time, slots, slotMs: 1_000 });
  return {
    time,
    granted,
    late,
    held,
    all,
    take: (who: string) => {
      const given = (later: Slot): void => {
        granted.push(who);
        held.set(who, later);
      };
      const slot = all.take({ who }, given, () => late.push(who));
      if (slot !== undefined) held.set(who, slot);
      return slot !== undefined;
    },
  };
}

it('so many large messages are received at once, and the others in the order in which they came', async () => {
  const { take, held, granted, time } = assembly(2);
  expect(['a', 'b', 'c', 'd'].map(take)).toEqual([true, true, false, false]);
  held.get('a')?.release();
  await time.advance(0);
  expect(granted).toEqual(['c']);
  held.get('a')?.release();
  await time.advance(0);
  expect(granted).toEqual(['c']);
  held.get('b')?.release();
  await time.advance(0);
  expect(granted).toEqual(['c', 'd']);
});

it('however many wait, who is done at once does not call the next from within', async () => {
  const { all, time } = assembly(1);
  const never = (): void => undefined;
  const first = all.take({}, never, never);
  let depth = 0;
  let deepest = 0;
  let served = 0;
  for (let i = 0; i < 1_000; i++) {
    const granted = (slot: Slot): void => {
      deepest = Math.max(deepest, ++depth);
      served++;
      slot.release();
      depth--;
    };
    all.take({}, granted, never);
  }
  first?.release();
  await time.advance(0);
  expect([served, deepest]).toEqual([1_000, 1]);
});

it('a client that never ends its message loses its place, and is told', async () => {
  const { take, granted, late, time } = assembly(1);
  expect([take('slow'), take('next')]).toEqual([true, false]);
  await time.advance(999);
  expect([granted, late]).toEqual([[], []]);
  await time.advance(1);
  expect([granted, late]).toEqual([['next'], ['slow']]);
});

it('who gave up is not called', async () => {
  const { all, held, take, granted, time } = assembly(1);
  take('a');
  const who = {};
  const gone = (): void => void granted.push('gone');
  expect(all.take(who, gone, gone)).toBeUndefined();
  all.forget(who);
  held.get('a')?.release();
  await time.advance(0);
  expect(granted).toEqual([]);
  expect(take('b')).toBe(true);
});

it('what large messages are put together in is used again', () => {
  const { buffers } = assembly(1).all;
  const first = buffers.take(100_000);
  expect(first.length).toBeGreaterThanOrEqual(100_000);
  buffers.giveBack(first);
  expect(buffers.take(120_000)).toBe(first);
  expect(buffers.take(120_000)).not.toBe(first);
});

it('what began to come and has to wait gives its memory back at once', () => {
  const { buffers } = assembly(1).all;
  for (const bytes of [2_048, 8_000, 30_000]) {
    const begun = new Growing(buffers);
    begun.append(Buffer.alloc(bytes), bytes);
    const { buffer } = begun.view();
    begun.append(Buffer.alloc(bytes), 100_000);
    expect(buffer.byteLength).toBe(0);
  }
});

it('parts are put together whole, small and large', () => {
  const { buffers } = assembly(1).all;
  for (const size of [1, 70_000, 300_000, 2_000_000]) {
    const growing = new Growing(buffers);
    const parts = [Buffer.alloc(size, 'a'), Buffer.alloc(size, 'b')];
    for (const part of parts) growing.append(part, 2 * size);
    expect(growing.view().equals(Buffer.concat(parts))).toBe(true);
    growing.clear();
    expect(growing.length).toBe(0);
  }
});
