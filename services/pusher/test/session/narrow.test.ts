import { expect, it } from 'vitest';
import { EDS, World } from './support.ts';

it('a client of a few names goes straight to a view that takes none of them away', () => {
  const world = new World();
  world.cut({ [EDS]: { mine: '1', other: '1', gone: '1' } });
  const client = world.delta();
  client.ack(client.send(EDS, { sub: ['mine'] }).at(-1));
  world.cut({ [EDS]: { mine: '2', other: '2' } });
  const [sent, ...more] = client.follow().take();
  expect(sent?.names).toEqual(['mine']);
  expect(more).toEqual([]);
  // Not to both views together: what others have to be relieved of does not concern it.
  expect(client.session.types()[0]?.held?.get('gone')).toBeUndefined();
});

it('of a few names, one that goes is removed once all else was accepted', () => {
  const world = new World();
  world.cut({ [EDS]: { mine: '1', going: '1' } });
  const client = world.delta();
  client.ack(client.send(EDS, { sub: ['mine', 'going'] }).at(-1));
  world.cut({ [EDS]: { mine: '2' } });
  const made = client.follow().take();
  expect(made.map(({ names, removed }) => ({ names, removed }))).toEqual([
    { names: ['mine'], removed: [] },
  ]);
  const broken = client.ack(made[0]);
  expect(broken.map(({ names, removed }) => ({ names, removed }))).toEqual([
    { names: [], removed: ['going'] },
  ]);
});

it('rule 43: what a client of a few names is told of their state does not depend on others', () => {
  const world = new World();
  world.cut({ [EDS]: { a: '1', b: '1', other: '1' } });
  const one = world.delta().send(EDS, { sub: ['a', 'b'] });
  world.cut({ [EDS]: { a: '1', b: '1', other: '2' } });
  const two = world.delta().send(EDS, { sub: ['b', 'a'] });
  world.cut({ [EDS]: { a: '1', b: '2', other: '2' } });
  const three = world.delta().send(EDS, { sub: ['a', 'b'] });
  const versions = [one, two, three].map((seen) => seen[0]?.frame.plan.version);
  expect(versions[0]).toMatch(/^[0-9a-f]{32}$/);
  expect(versions[1]).toBe(versions[0]);
  expect(versions[2]).not.toBe(versions[0]);
});
