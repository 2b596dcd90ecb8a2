import { expect, it } from 'vitest';
import { CDS, World } from './support.ts';

/** What `count` changes of a resource leave behind, each made by one client `everyMs` later. */
function keptAfter(count: number, everyMs: number): number {
  const world = new World();
  world.cut({ [CDS]: { a: '0' } });
  const stream = world.delta();
  stream.ack(stream.send(CDS)[0]);
  for (let at = 1; at <= count; at++) {
    world.nowMs += everyMs;
    world.cut({ [CDS]: { a: String(at) } });
    stream.ack(stream.follow().take()[0]);
  }
  return world.context.frames.bytes;
}

it('what no stream was sent for long is not kept for others, and with it what it was made of', () => {
  const one = keptAfter(1, 60_000);
  expect(one).toBeGreaterThan(0);
  expect(keptAfter(100, 60_000)).toBeLessThan(2 * one);
  expect(keptAfter(100, 1)).toBeGreaterThan(50 * one);
});

it('a client that comes late is encoded for once more', () => {
  const world = new World();
  world.cut({ [CDS]: { a: '1' } });
  const [first] = world.delta().send(CDS);
  expect(world.delta().send(CDS)[0]?.frame).toBe(first?.frame);
  world.nowMs += 60_000;
  world.delta().send(CDS, { sub: ['b'] });
  expect(world.delta().send(CDS)[0]?.frame).not.toBe(first?.frame);
  expect(world.delta().send(CDS)[0]?.names).toEqual(['a']);
});
