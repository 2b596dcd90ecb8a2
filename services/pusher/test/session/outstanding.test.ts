import { expect, it } from 'vitest';
import { Sendings } from '../../src/session/outstanding.ts';
import { CDS, SDS, World } from './support.ts';

it('streams that are sent the same in one ms share what is remembered of it until they answer', () => {
  const world = new World();
  world.cut({ [CDS]: { a: '1' } });
  const [one, other, later] = [world.delta(), world.delta(), world.delta()];
  const [seen] = one.send(CDS);
  other.send(CDS);
  world.nowMs++;
  later.send(CDS);
  const [first, second, third] = [one, other, later].map(
    ({ session }) => session.types()[0]?.outstanding,
  );
  expect(first?.[0]?.frame).toBe(seen?.frame);
  expect(second).toBe(first);
  expect(third).not.toBe(first);
  expect(third?.[0]?.frame).toBe(seen?.frame);
  one.ack(seen);
  expect(second).toHaveLength(1);
  expect(one.session.types()[0]?.outstanding).toHaveLength(0);
});

it('of a response with secrets nothing is remembered beyond its streams', () => {
  const world = new World();
  world.cut({ [SDS]: { a: '1' } });
  const [seen] = world.delta().send(SDS, { sub: ['a'] });
  if (seen === undefined) throw new Error('no response');
  const sendings = new Sendings();
  const of = () => sendings.of(seen.frame, undefined, 1, 0);
  expect(of()).not.toBe(of());
});
