import { expect, it } from 'vitest';
import { CDS, EDS, LDS, RDS, World, type DeltaSeen } from './support.ts';

const shop = {
  [CDS]: { a: '1', b: '1' },
  [EDS]: { a: '1', b: '1' },
  [LDS]: { l: '1' },
  [RDS]: { r: '1' },
};

const brief = (seen: readonly DeltaSeen[]): unknown[] =>
  seen.map(({ type, names, removed }) => [type, names, removed]);

it('rule 30: an assignment loses all that it had once the routes to it are gone', () => {
  const world = new World();
  world.cut(shop);
  const stream = world.delta();
  for (const typeUrl of [CDS, LDS]) stream.ack(stream.send(typeUrl)[0]);
  stream.ack(stream.send(EDS, { sub: ['a', 'b'] })[0]);
  stream.ack(stream.send(RDS, { sub: ['r'] })[0]);
  world.cut({ ...shop, [EDS]: { a: '2', b: 'empty' }, [RDS]: { r: '2' } });
  const [eds, rds] = stream.follow().take();
  expect(brief([eds!])).toEqual([[EDS, ['a'], []]]);
  const [then] = rds === undefined ? stream.ack(eds) : [rds];
  expect(brief([then!])).toEqual([[RDS, ['r'], []]]);
  const [last, ...more] = stream.ack(then);
  expect(brief([last!])).toEqual([[EDS, ['b'], []]]);
  expect([...stream.ack(last), ...more]).toEqual([]);
  // What changes with its cluster does not wait: the cluster does, for it.
  world.cut({ ...shop, [CDS]: { a: '2', b: '1' }, [EDS]: { a: 'empty', b: 'empty' } });
  expect(brief(stream.follow().take())).toEqual([
    [CDS, ['a'], []],
    [EDS, ['a'], []],
  ]);
});

it('rules 30 and 50: so does one that is asked for by a name of the scheme xdstp', () => {
  const world = new World();
  world.cut(shop);
  const stream = world.delta();
  const name = 'xdstp://watershed/envoy.config.endpoint.v3.ClusterLoadAssignment/b';
  for (const typeUrl of [CDS, LDS]) stream.ack(stream.send(typeUrl)[0]);
  stream.ack(stream.send(EDS, { sub: ['a', 'b', name] })[0]);
  stream.ack(stream.send(RDS, { sub: ['r'] })[0]);
  world.cut({ ...shop, [EDS]: { a: '1', b: 'empty' }, [RDS]: { r: '2' } });
  const [rds] = stream.follow().take();
  expect(brief([rds!])).toEqual([[RDS, ['r'], []]]);
  expect(brief(stream.ack(rds))).toEqual([[EDS, ['b', name], []]]);
});
