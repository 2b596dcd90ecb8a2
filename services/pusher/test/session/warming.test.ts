/**
 * Rule 27, where a view moves on while clients warm. Envoy acknowledges no clusters until all that
 * it was sent have their assignments, or for 15 s.
 */
import { describe, expect, it } from 'vitest';
import { CDS, EDS, LDS, RDS, World, type DeltaSeen, type SotwSeen } from './support.ts';

const shop = { [CDS]: { a: '1', b: '1' }, [EDS]: { a: '1', b: '1' } };
const clusters = { ...shop[CDS], c: '1' };

/** One client of each protocol, which has all of the shop and has said so. */
function clientsOf(world: World) {
  world.cut(shop);
  const sotw = world.sotw();
  sotw.ack(sotw.send(CDS, [])[0]);
  sotw.ack(sotw.send(EDS, ['a', 'b'])[0], ['a', 'b']);
  const delta = world.delta();
  delta.ack(delta.send(CDS)[0]);
  delta.ack(delta.send(EDS, { sub: ['a', 'b'] })[0]);
  return { sotw, delta };
}

const namesOf = (seen: readonly { readonly type: string; readonly names: Iterable<string> }[]) =>
  seen.map(({ type, names }) => [type, [...names]]);

/** What both were given to warm the cluster, and that it goes when they have said all. */
function warmed(
  { sotw, delta }: ReturnType<typeof clientsOf>,
  seen: {
    readonly ofSotw: SotwSeen | undefined;
    readonly ofDelta: DeltaSeen | undefined;
    readonly warmSotw: readonly SotwSeen[];
    readonly warmDelta: readonly DeltaSeen[];
  },
): void {
  const { ofSotw, ofDelta, warmSotw, warmDelta } = seen;
  expect(namesOf([...warmSotw, ...warmDelta])).toEqual([
    [EDS, ['c']],
    [EDS, ['c']],
  ]);
  sotw.ack(warmSotw[0], ['a', 'b', 'c']);
  delta.ack(warmDelta[0]);
  expect(namesOf(sotw.ack(ofSotw))).toEqual([[CDS, ['a', 'b']]]);
  expect(delta.ack(ofDelta).map(({ type, removed }) => [type, removed])).toEqual([[CDS, ['c']]]);
}

it('rule 27: a cluster that is gone before its assignment was asked for is given it', () => {
  const world = new World();
  const { sotw, delta } = clientsOf(world);
  world.cut({ [CDS]: clusters, [EDS]: { ...shop[EDS], c: '1' } });
  const ofSotw = sotw.follow().takeOne();
  const ofDelta = delta.follow().takeOne();
  world.cut(shop);
  expect([...sotw.follow().take(), ...delta.follow().take()]).toEqual([]);
  const warmSotw = sotw.send(EDS, ['a', 'b', 'c']);
  const warmDelta = delta.send(EDS, { sub: ['c'] });
  warmed({ sotw, delta }, { ofSotw, ofDelta, warmSotw, warmDelta });
});

it('rule 27: where it had none before it went, an empty one', () => {
  const world = new World();
  const { sotw, delta } = clientsOf(world);
  // Its endpoints are not known yet.
  world.cut({ ...shop, [CDS]: clusters });
  const ofSotw = sotw.follow().takeOne();
  const ofDelta = delta.follow().takeOne();
  expect(sotw.send(EDS, ['a', 'b', 'c'])).toEqual([]);
  delta.ack(delta.send(EDS, { sub: ['c'] })[0]);
  world.cut(shop);
  const warmSotw = sotw.follow().take();
  const warmDelta = delta.follow().take();
  warmed({ sotw, delta }, { ofSotw, ofDelta, warmSotw, warmDelta });
});

it('rule 14: who is given a cluster that it may have dropped is given its former assignment', () => {
  const world = new World();
  world.cut({ [CDS]: clusters, [EDS]: { ...shop[EDS], c: '1' } });
  world.cut(shop);
  const back = world.sotw();
  const [cds] = back.send(CDS, [], { versionInfo: 'of another time' });
  expect(cds?.names).toEqual(['a', 'b', 'c']);
  const [eds] = back.send(EDS, ['a', 'b', 'c']);
  expect(eds?.names).toEqual(['a', 'b', 'c']);
});

it('rule 27: who warms what is gone, and so asks for no clusters, is given it empty', () => {
  const world = new World();
  world.cut(shop);
  const back = world.sotw();
  const [first] = back.send(EDS, ['a', 'b', 'c']);
  expect(first?.names).toEqual(['a', 'b']);
  back.ack(first, ['a', 'b', 'c']);
  world.nowMs += 499;
  expect(back.take()).toEqual([]);
  expect(back.session.wakeAtMs).toBe(500);
  world.nowMs += 1;
  const [empty] = back.take();
  expect(namesOf(empty === undefined ? [] : [empty])).toEqual([[EDS, ['c']]]);
  back.ack(empty, ['a', 'b', 'c']);
  // It is warm, and goes on; any of these may be new to it, which it warms then.
  const [clusters, same] = back.send(CDS, [], { versionInfo: 'of another time' });
  expect([clusters?.names, same?.names]).toEqual([
    ['a', 'b'],
    ['a', 'b'],
  ]);
  back.ack(same, ['a', 'b', 'c']);
  world.cut({ [CDS]: { a: '2', b: '1' }, [EDS]: { a: '2', b: '1' } });
  expect(namesOf(back.follow().ack(clusters))).toEqual([
    [CDS, ['a', 'b']],
    [EDS, ['a']],
  ]);
});

it('rule 27: who warms, and so asks for no clusters, is given again what it says that it has', () => {
  const world = new World();
  world.cut({ ...shop, [LDS]: { l: 'a@1' } });
  const other = world.delta();
  other.send(CDS);
  const [held] = other.send(EDS, { sub: ['a', 'b'] });
  const back = world.delta();
  const initial = { ...held?.versions, c: '1' };
  const [again] = back.send(EDS, { sub: ['a', 'b', 'c'], initial });
  expect(namesOf(again === undefined ? [] : [again])).toEqual([[EDS, ['a', 'b']]]);
  expect(back.send(LDS, { initial: { l: 'a@0' } })).toEqual([]);
  back.ack(again);
  world.nowMs += 500;
  // Envoy waits no longer for what it is told is gone.
  const [gone] = back.take();
  expect([gone?.type, gone?.names, gone?.removed]).toEqual([EDS, [], ['c']]);
  // Listeners wait until it has the clusters that they may need.
  expect(back.ack(gone)).toEqual([]);
  expect(namesOf(back.send(CDS, { initial: { a: '1', b: '1', c: '1' } }))).toEqual([[LDS, ['l']]]);
});

it('rules 39, 42: who asks for assignments alone is told once of what is gone or never was', () => {
  const world = new World();
  world.cut(shop);
  const back = world.delta();
  const [first, ...more] = back.send(EDS, {
    sub: ['a', 'gone', 'never'],
    initial: { a: 'old', gone: '1' },
  });
  expect([first?.names, first?.removed, more]).toEqual([['a'], ['never'], []]);
  expect(back.ack(first)).toEqual([]);
  world.nowMs += 500;
  const [gone, ...rest] = back.take();
  expect([gone?.names, gone?.removed, rest]).toEqual([[], ['gone'], []]);
  expect(back.ack(gone)).toEqual([]);
  world.nowMs += 60_000;
  expect(back.take()).toEqual([]);
});

it('rule 27: who asks for clusters is not given what there is not', () => {
  const world = new World();
  world.cut(shop);
  const client = world.sotw();
  client.ack(client.send(CDS, [])[0]);
  client.ack(client.send(EDS, ['a', 'b', 'c'])[0], ['a', 'b', 'c']);
  world.nowMs += 10_000;
  expect(client.take()).toEqual([]);
  expect(client.session.wakeAtMs).toBe(Number.POSITIVE_INFINITY);
});

it('rule 27: a cluster that comes after its assignment, on a new stream, is given that again', () => {
  const world = new World();
  world.cut(shop);
  const { version = '' } = world.sotw().send(CDS, [])[0] ?? {};
  world.cut({ ...shop, [CDS]: { a: '2', b: '1' } });
  // It warms `a`, so it asks for its clusters when it has what those need.
  const back = world.sotw();
  const [assignments] = back.send(EDS, ['a', 'b']);
  back.ack(assignments, ['a', 'b']);
  const seen = back.send(CDS, [], { versionInfo: version });
  expect(namesOf(seen)).toEqual([
    [CDS, ['a', 'b']],
    [EDS, ['a']],
  ]);
});

it('rule 27: clusters that are asked for anew are followed by their assignments each time', () => {
  const world = new World();
  world.cut(shop);
  const followed = [
    [CDS, ['a', 'b']],
    [EDS, ['a', 'b']],
  ];
  for (const names of [['*'], ['a', 'b']]) {
    const sotw = world.sotw();
    const delta = world.delta();
    sotw.ack(sotw.send(EDS, ['a', 'b'])[0], ['a', 'b']);
    delta.ack(delta.send(EDS, { sub: ['a', 'b'] })[0]);
    for (let time = 1; time <= 5; time++) {
      const ofSotw = sotw.send(CDS, names);
      expect([names, time, namesOf(ofSotw)]).toEqual([names, time, followed]);
      expect(sotw.ack(ofSotw[1], ['a', 'b'])).toEqual([]);
      expect(sotw.ack(ofSotw[0], names)).toEqual([]);
      expect(namesOf(sotw.send(CDS, ['none'])).slice(1)).toEqual([]);
      const ofDelta = delta.send(CDS, { sub: names });
      expect([names, time, namesOf(ofDelta)]).toEqual([names, time, followed]);
      expect([...delta.ack(ofDelta[1]), ...delta.ack(ofDelta[0])]).toEqual([]);
      expect(delta.send(CDS, { unsub: names })).toEqual([]);
    }
  }
});

it('rule 27: of clusters that are named one after the other, each is followed by its own', () => {
  const world = new World();
  world.cut(shop);
  const sotw = world.sotw();
  sotw.ack(sotw.send(EDS, ['a', 'b'])[0], ['a', 'b']);
  const [first, ...itsOwn] = sotw.send(CDS, ['a']);
  expect(namesOf(itsOwn)).toEqual([[EDS, ['a']]]);
  sotw.ack(itsOwn[0], ['a', 'b']);
  sotw.ack(first, ['a']);
  expect(namesOf(sotw.send(CDS, ['a', 'b']))).toEqual([
    [CDS, ['a', 'b']],
    [EDS, ['b']],
  ]);
});

it('rule 29: routes that are asked for late wait for a new cluster, though another is to go', () => {
  const world = new World();
  world.cut({ ...shop, [RDS]: {} });
  const { sotw, delta } = clientsOf(world);
  world.cut({ [CDS]: { a: '1', c: '1' }, [EDS]: { a: '1', c: '1' }, [RDS]: { r: 'c@1' } });
  const [ofSotw, ...early] = sotw.follow().send(RDS, ['r']);
  const [ofDelta, ...earlyToo] = delta.follow().send(RDS, { sub: ['r'] });
  expect([ofSotw?.names, early, ofDelta?.names, earlyToo]).toEqual([
    ['a', 'b', 'c'],
    [],
    ['c'],
    [],
  ]);
  // The clusters are accepted before the new one is warm.
  expect([...sotw.ack(ofSotw), ...delta.ack(ofDelta)]).toEqual([]);
  const warmSotw = sotw.send(EDS, ['a', 'b', 'c']);
  const warmDelta = delta.send(EDS, { sub: ['c'] });
  expect(namesOf([...warmSotw, ...warmDelta])).toEqual([
    [EDS, ['c']],
    [EDS, ['c']],
  ]);
  const routes = [...sotw.ack(warmSotw[0], ['a', 'b', 'c']), ...delta.ack(warmDelta[0])];
  expect(namesOf(routes)).toEqual([
    [RDS, ['r']],
    [RDS, ['r']],
  ]);
});

it('rule 27: who comes back with more than there is is given what it warms, not told that it is gone', () => {
  const world = new World();
  world.cut(shop);
  const { delta } = clientsOf(world);
  const held = delta.session.types().map(({ held: view }) => {
    const versions: Record<string, string> = {};
    view?.each(({ name, version }) => {
      versions[name] = version;
    });
    return versions;
  });
  // `b` is gone; it warms `a` as it was for a while, and its assignment is as before.
  world.cut({ [CDS]: { a: '1' }, [EDS]: { a: '1' } });
  const back = world.delta();
  const clusters = back.send(CDS, { initial: { ...held[0], a: 'another' } });
  const assignments = back.send(EDS, { sub: ['a', 'b'], initial: held[1] ?? {} });
  expect(namesOf([...clusters, ...assignments])).toEqual([
    [CDS, ['a']],
    [EDS, ['a']],
  ]);
  expect(assignments[0]?.removed).toEqual([]);
});

describe('rule 29: who warms clusters when it comes back, and so asks for none', () => {
  function backOf(world: World) {
    world.cut({ ...shop, [RDS]: { r: '1' } });
    const versionInfo = world.sotw().send(CDS, [])[0]?.version ?? '';
    const back = world.sotw();
    back.ack(back.send(EDS, ['a', 'b'], { versionInfo })[0], ['a', 'b']);
    world.cut({ [CDS]: clusters, [EDS]: { ...shop[EDS], c: '1' }, [RDS]: { r: '2' } });
    expect(back.follow().take()).toEqual([]);
    expect(back.send(RDS, ['r'], { versionInfo })).toEqual([]);
    return { back, versionInfo };
  }

  it('is given no route to a cluster that it does not know', () => {
    const { back, versionInfo } = backOf(new World());
    // It is warm, and asks.
    const [cds] = back.send(CDS, [], { versionInfo });
    expect(cds?.names).toEqual(['a', 'b', 'c']);
    back.ack(back.send(EDS, ['a', 'b', 'c'])[0], ['a', 'b', 'c']);
    expect(namesOf(back.ack(cds))).toEqual([[RDS, ['r']]]);
  });

  it('is given it in the end, should it have clusters of its own', () => {
    const world = new World();
    const { back } = backOf(world);
    world.nowMs += 4_999;
    expect(back.take()).toEqual([]);
    world.nowMs += 1;
    expect(namesOf(back.take())).toEqual([[RDS, ['r']]]);
  });
});

it('rule 27: who comes back and names what there never was is given a thousand empty ones at most', () => {
  const world = new World();
  world.cut(shop);
  const stream = world.sotw();
  const names = Array.from({ length: 100_000 }, (_, at) => `c${at}`);
  expect(stream.send(EDS, names)).toEqual([]);
  world.nowMs += 500;
  expect(stream.take().map((seen) => seen.names.length)).toEqual([1_000]);
});
