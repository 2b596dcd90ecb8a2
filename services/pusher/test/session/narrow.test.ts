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

it('a client that has its few names holds no view, and is answered from the newest when it asks', () => {
  const world = new World();
  world.cut({ [EDS]: { mine: '1', other: '1' } });
  const client = world.delta();
  client.ack(client.send(EDS, { sub: ['mine'] }).at(-1));
  expect(client.session.isParked).toBe(true);
  const held = client.session.types()[0]?.held;
  world.cut({ [EDS]: { mine: '1', other: '2' } });
  expect(client.follow().take()).toEqual([]);
  expect(client.session.types()[0]?.held).toBe(held);
  world.cut({ [EDS]: { mine: '2', other: '3' } });
  const [sent] = client.send(EDS, { sub: ['other'] });
  expect(sent?.versions).toEqual({ mine: expect.any(String), other: expect.any(String) });
  expect(client.ack(sent)).toEqual([]);
  expect([client.session.synced, client.session.isParked]).toEqual([true, true]);
});

it('rule 34: of a few names, one that is named before an ACK came is answered at once', () => {
  const world = new World();
  world.cut({ [EDS]: { mine: '1', other: '1' } });
  const client = world.delta();
  const [first] = client.send(EDS, { sub: ['mine'] });
  world.cut({ [EDS]: { mine: '2', other: '1' } });
  client.follow();
  const [sent] = client.send(EDS, { sub: ['other'] });
  expect(sent?.names).toEqual(['other']);
  expect(client.ack(first)).toEqual([]);
  expect(client.ack(sent).map(({ names }) => names)).toEqual([['mine']]);
});

it('clients of the same few names have one frame, however many others change between', () => {
  const world = new World();
  const names = Array.from({ length: 300 }, (_, at) => `n${at}`);
  const all = (version: string): Record<string, string> =>
    Object.fromEntries(names.map((name) => [name, version]));
  world.cut({ [EDS]: all('1') });
  const [one, two] = [world.delta(), world.delta()];
  for (const client of [one, two]) client.ack(client.send(EDS, { sub: ['n0'] }).at(-1));
  world.cut({ [EDS]: all('2') });
  const [sent] = one.follow().take();
  for (const name of names.slice(1)) world.delta().send(EDS, { sub: [name] });
  expect(two.follow().take()[0]?.frame).toBe(sent?.frame);
});
