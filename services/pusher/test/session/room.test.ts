/** Where there is no room yet for what a client that comes back is to be sent. */
import { expect, it } from 'vitest';
import { CDS, EDS, LDS, RDS, World } from './support.ts';

const shop = {
  [CDS]: { a: '1', b: '1', c: '1' },
  [EDS]: { a: '1', b: '1', c: '1' },
  [LDS]: { l: 'a@1' },
  [RDS]: { r: 'a@1' },
};

it('a type that needs more than there is room for holds back all that comes after it', () => {
  const world = new World();
  world.cut(shop);
  const liar = world.delta();
  // One cluster, of three bytes.
  liar.room = 5;
  expect(liar.send(CDS, { initial: { a: 'false' } })).toEqual([]);
  expect(liar.send(LDS, { initial: { l: 'false' } })).toEqual([]);
  expect(liar.send(RDS, { sub: ['r'], initial: { r: 'false' } })).toEqual([]);
  expect(world.encoded).toEqual([]);
  expect(liar.session.synced).toBe(false);
  liar.room = 9;
  const [clusters, ...early] = liar.take();
  expect([clusters?.type, clusters?.names, early]).toEqual([CDS, ['a', 'b', 'c'], []]);
  const later = [...liar.send(EDS, { sub: ['a', 'b', 'c'] }), ...liar.ack(clusters)];
  for (let i = 0; i < later.length; i++) later.push(...liar.ack(later[i]));
  expect(later.map(({ type }) => type)).toEqual([EDS, LDS, RDS]);
  expect(liar.session.synced).toBe(true);
});

it('what changes after the first of a type needs no room, nor what has not changed', () => {
  const world = new World();
  world.cut(shop);
  const delta = world.delta();
  delta.ack(delta.send(CDS)[0]);
  const sotw = world.sotw();
  sotw.room = 0;
  expect(sotw.send(CDS, [], { versionInfo: delta.session.types()[0]?.held?.digest ?? '' })).toEqual(
    [],
  );
  delta.room = 0;
  world.cut({ ...shop, [CDS]: { a: '2', b: '2', c: '1' } });
  expect(delta.follow().take()[0]?.names).toEqual(['a', 'b']);
  expect(sotw.follow().take()[0]?.names).toEqual(['a', 'b', 'c']);
});
