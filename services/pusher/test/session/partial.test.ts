import { describe, expect, it } from 'vitest';
import { anything, anythingNewer } from '../../src/view/missing.ts';
import {
  CDS,
  EDS,
  LDS,
  missing,
  RDS,
  SDS,
  World,
  type DeltaSeen,
  type SotwSeen,
} from './support.ts';

const shop = {
  [CDS]: { a: '1', b: '1' },
  [EDS]: { a: '1', b: '1' },
  [LDS]: { k: '1', l: '1' },
  [RDS]: { r: '1' },
};
/** Of a pusher that has just started. */
const part = { [CDS]: { a: '2' }, [EDS]: { a: '2' }, [LDS]: { l: '2' }, [RDS]: { r: '2' } };
const whole = {
  [CDS]: { a: '2', b: '1' },
  [EDS]: { a: '2', b: '1' },
  [LDS]: { k: '1', l: '2' },
  [RDS]: { r: '2' },
};

const brief = (seen: readonly (SotwSeen | DeltaSeen)[]): unknown[] =>
  seen.map((one) => [one.type, [...one.names], ...('removed' in one ? [one.removed] : [])]);

/** A pusher that never had more than `content`, and knows nothing of what there was. */
function restarted(content: Parameters<World['cut']>[0] = part): World {
  const world = new World();
  world.cut(content, anything);
  return world;
}

describe('of a view that is not whole, over delta', () => {
  it('who comes back is given what is new and loses nothing, until all is here', () => {
    const world = restarted();
    const stream = world.delta();
    const [cds] = stream.send(CDS, { initial: { a: '1', b: '1' } });
    expect(brief([cds!])).toEqual([[CDS, ['a'], []]]);
    stream.ack(cds);
    const [eds] = stream.send(EDS, { sub: ['a', 'b'], initial: { a: '1', b: '1' } });
    expect(brief([eds!])).toEqual([[EDS, ['a'], []]]);
    stream.ack(eds);
    const [lds] = stream.send(LDS, { initial: { k: '1', l: '1' } });
    expect(brief([lds!])).toEqual([[LDS, ['l'], []]]);
    stream.ack(lds);
    const [rds] = stream.send(RDS, { sub: ['r', 'q'], initial: { r: '1', q: '1' } });
    expect(brief([rds!])).toEqual([[RDS, ['r'], []]]);
    expect(stream.ack(rds)).toEqual([]);
    world.nowMs += 60_000;
    expect(stream.take()).toEqual([]);
    world.cut({ ...part, [CDS]: { a: '3' } }, anything);
    const next = stream.follow().take();
    expect(brief(next)).toEqual([
      [CDS, ['a'], []],
      [EDS, ['a'], []],
    ]);
    for (const one of next) stream.ack(one);
    // Of what it says that it has, what is the same is not said again, and what is gone is.
    world.cut({ ...whole, [CDS]: { a: '3', b: '1' }, [LDS]: { l: '2' } });
    const [after] = stream.follow().take();
    const [lists] = stream.ack(after);
    expect(brief([after!, lists!, ...stream.ack(lists)])).toEqual([
      [EDS, ['b'], []],
      [LDS, [], ['k']],
      [RDS, [], ['q']],
    ]);
  });

  it('an assignment that it may wait for comes when it is here, the same or not', () => {
    const world = new World();
    world.cut(shop);
    const { versions } = world.delta().send(EDS, { sub: ['a'] })[0]!;
    world.cut({ ...shop, [EDS]: {} }, anything);
    const stream = world.delta();
    const [cds] = stream.send(CDS, { initial: { a: '0', b: '1' } });
    expect(brief([cds!])).toEqual([[CDS, ['a'], []]]);
    expect(stream.ack(cds)).toEqual([]);
    expect(stream.send(EDS, { sub: ['a'], initial: versions })).toEqual([]);
    world.cut(shop);
    expect(brief(stream.follow().take())).toEqual([[EDS, ['a'], []]]);
  });

  it('what is not missing goes, and an assignment that is there is as it is there', () => {
    const world = new World();
    world.cut(shop);
    const { versions } = world.delta().send(EDS, { sub: ['a', 'b'] })[0]!;
    const stream = world.delta();
    expect(stream.send(CDS, { initial: { a: '1', b: '1' } })).toEqual([]);
    for (const one of stream.send(EDS, { sub: ['a', 'b'], initial: versions })) stream.ack(one);
    stream.ack(stream.send(LDS, { initial: { k: '1', l: '1', gone: '1' } })[0]);
    world.cut({ ...shop, [EDS]: { a: 'empty', b: '1' }, [LDS]: { l: '1' } }, missing([LDS, 'k']));
    world.nowMs += 500;
    const seen = stream.follow().take();
    for (let at = 0; at < seen.length; at++) seen.push(...stream.ack(seen[at]));
    expect(brief(seen)).toContainEqual([EDS, ['a'], []]);
    expect(brief(seen)).not.toContainEqual([LDS, [], ['k']]);
  });

  it('what is not missing goes also beside what is kept, and then nothing more is said', () => {
    const world = new World();
    world.cut({ ...shop, [CDS]: { a: '1' } }, missing([CDS, 'b']));
    const stream = world.delta();
    const seen = stream.send(CDS, { initial: { a: '1', b: '1', c: '1' } });
    seen.push(...stream.send(RDS, { sub: ['r', 'q'], initial: { r: '1', q: '1' } }));
    world.nowMs += 500;
    seen.push(...stream.take());
    for (const one of seen) seen.push(...stream.ack(one));
    expect(brief(seen)).toEqual([
      [RDS, [], ['q']],
      [CDS, [], ['c']],
    ]);
    world.cut({ ...shop, [CDS]: { a: '1' }, [EDS]: { a: '2', b: '1' } }, missing([CDS, 'b']));
    expect(stream.follow().take()).toEqual([]);
  });

  it('a collection loses nothing, of which nobody says what he has', () => {
    const all = 'xdstp://watershed/envoy.config.listener.v3.Listener/*';
    const world = new World();
    world.cut(shop);
    world.cut({ ...shop, [LDS]: { l: '1' } }, missing([LDS, 'k']));
    const stream = world.delta();
    const [seen] = stream.send(LDS, { sub: [all] });
    expect([seen?.names.length, seen?.removed]).toEqual([1, []]);
    stream.ack(seen);
    world.cut({ ...shop, [LDS]: { l: '1' } });
    expect(stream.follow().take()[0]?.removed).toEqual([all.replace('*', 'k')]);
  });

  it('rule 46: what stays is kept alive', () => {
    const world = restarted();
    const stream = world.delta({ ttlsMs: new Map([[CDS, 60_000]]) });
    stream.ack(stream.send(CDS, { initial: { a: '1', b: '1' } })[0]);
    world.nowMs += 30_000;
    const plan = stream.session.next(world.nowMs)?.plan;
    const names = plan?.entries.map(({ name }) => name);
    expect([plan?.heartbeat, names]).toEqual([true, ['a', 'b']]);
  });

  it('a secret goes all the same', () => {
    const world = restarted({ [SDS]: { s: '1' } });
    const stream = world.delta();
    const seen = stream.send(SDS, { sub: ['s', 't'], initial: { s: '1', t: '1' } });
    expect(brief(seen)).toEqual([[SDS, [], ['t']]]);
  });

  it('who comes with nothing is given what there is', () => {
    const stream = restarted().delta();
    expect(brief(stream.send(CDS))).toEqual([[CDS, ['a'], []]]);
  });
});

describe('of a view that is not whole, over state of the world', () => {
  it('who comes back is told no full set that may lack something, and routes wait for it', () => {
    const world = restarted();
    const stream = world.sotw();
    expect(stream.send(CDS, [], { versionInfo: 'of another pusher' })).toEqual([]);
    const [eds] = stream.send(EDS, ['a', 'b'], { versionInfo: 'x' });
    expect(brief([eds!])).toEqual([[EDS, ['a']]]);
    expect(stream.ack(eds, ['a', 'b'])).toEqual([]);
    expect(stream.send(LDS, [], { versionInfo: 'y' })).toEqual([]);
    expect(stream.send(RDS, ['r'], { versionInfo: 'z' })).toEqual([]);
    expect([stream.session.synced, stream.session.gates.waitsFor]).toEqual([false, 'clusters']);
    // No longer than for an answer; it is not the client that is late.
    world.nowMs += 5_000;
    const [rds] = stream.take();
    expect([rds?.type, stream.forced]).toEqual([RDS, []]);
    expect(stream.ack(rds, ['r'])).toEqual([]);
    world.cut({ ...part, [EDS]: { a: '3' } }, anything);
    const [next, ...none] = stream.follow().take();
    expect(brief([next!, ...none])).toEqual([[EDS, ['a']]]);
    stream.ack(next, ['a', 'b']);
    world.cut({ ...whole, [EDS]: { a: '3', b: '1' } });
    const [cds, ...others] = stream.follow().take();
    expect(brief([cds!])).toEqual([[CDS, ['a', 'b']]]);
    const rest = [...others, ...stream.ack(cds)];
    for (const one of rest) rest.push(...stream.ack(one, one.type === EDS ? ['a', 'b'] : []));
    expect(brief(rest)).toContainEqual([LDS, ['k', 'l']]);
  });

  it('who comes back with a set that is known has what is new, beside all that it had', () => {
    const world = new World();
    world.cut(shop);
    const before = world.sotw();
    const version = before.send(CDS, [])[0]!.version;
    world.cut(part, anything);
    const stream = world.sotw();
    const seen = stream.send(CDS, [], { versionInfo: version });
    expect(brief(seen)).toEqual([[CDS, ['a', 'b']]]);
    world.cut({ ...part, [CDS]: { a: '2' } });
    stream.follow().take();
    stream.ack(seen[0]);
    world.nowMs += 60_000;
    expect(brief(stream.take())).toEqual([[CDS, ['a']]]);
  });

  it('who comes back with names is told of them once all are here', () => {
    const world = restarted();
    const stream = world.sotw();
    expect(stream.send(LDS, ['l', 'k'], { versionInfo: 'y' })).toEqual([]);
    world.cut(whole);
    expect(brief(stream.follow().take())).toEqual([[LDS, ['k', 'l']]]);
  });

  it('an assignment loses its endpoints though clusters are withheld', () => {
    const world = new World();
    world.cut(shop, missing([LDS, 'x']));
    const stream = world.sotw();
    expect(stream.send(CDS, [], { versionInfo: 'of another pusher' })).toEqual([]);
    stream.ack(stream.send(EDS, ['a', 'b'], { versionInfo: 'x' })[0], ['a', 'b']);
    world.cut({ ...shop, [EDS]: { a: 'empty', b: '1' } }, missing([LDS, 'x']));
    world.nowMs += 500;
    const seen = stream.follow().take();
    world.nowMs += 5_000;
    expect(brief([...seen, ...stream.take()])).toEqual([[EDS, ['a']]]);
  });

  it('names of what never was hold nothing up', () => {
    const world = new World();
    world.cut(shop, missing([CDS, 'c']));
    const stream = world.sotw();
    const [lds] = stream.send(LDS, ['l', 'typo'], { versionInfo: 'of before' });
    expect(brief([lds!])).toEqual([[LDS, ['l']]]);
    stream.ack(lds, ['l', 'typo']);
    world.cut({ ...shop, [LDS]: { k: '1', l: '2' } }, anything);
    expect(brief(stream.follow().take())).toEqual([[LDS, ['l']]]);
  });

  it('an assignment that is not missing is told to be none, and one that is once it is known', () => {
    for (const lacks of [missing([EDS, 'z']), anything]) {
      const world = new World();
      const now = { [CDS]: { a: '1' }, [EDS]: { a: '1' } };
      world.cut(now, lacks);
      const stream = world.sotw();
      const seen = stream.send(EDS, ['a', 'b'], { versionInfo: 'x' });
      stream.ack(seen[0], ['a', 'b']);
      for (const ms of [500, 6_000]) {
        world.nowMs += ms;
        seen.push(...stream.take());
      }
      expect(seen.some(({ names }) => names.includes('b'))).toBe(!lacks.all);
      world.cut(now);
      seen.push(...stream.follow().take());
      expect(seen.some(({ names }) => names.includes('b'))).toBe(true);
    }
  });

  it('who comes with nothing is given what there is', () => {
    const stream = restarted().sotw();
    expect(brief(stream.send(CDS, []))).toEqual([[CDS, ['a']]]);
  });
});

describe('of a view from the disk', () => {
  it('a table that it does not know is not told to be absent, nor anew to who has none', () => {
    const world = new World();
    world.cut({ ...shop, [RDS]: {} }, anythingNewer);
    const stream = world.delta();
    expect(stream.send(LDS, { initial: { k: '1', l: '1' } })).toEqual([]);
    expect(stream.send(RDS, { sub: ['r'] })).toEqual([]);
    world.cut(shop);
    expect(brief(stream.follow().take())).toEqual([[RDS, ['r'], []]]);
  });

  it('a secret is not taken back to what it was', () => {
    const world = new World();
    world.cut({ [SDS]: { s: '1' } }, anythingNewer);
    const initial = { s: '2', t: '1' };
    expect(world.delta().send(SDS, { sub: ['s', 't'], initial })).toEqual([]);
  });

  it('who comes back over delta is given what it has not, and nothing older', () => {
    const world = new World();
    world.cut({ ...shop, [CDS]: { a: '1', b: '1', c: '1' } }, anythingNewer);
    const stream = world.delta();
    const seen = stream.send(CDS, { initial: { a: '2', b: '1', d: '1' } });
    expect(brief(seen)).toEqual([[CDS, ['c'], []]]);
    stream.ack(seen[0]);
    world.cut({ ...shop, [CDS]: { a: '2', b: '2' } });
    world.nowMs += 500;
    const next = stream.follow().take();
    for (const one of next) next.push(...stream.ack(one));
    expect(brief(next)).toEqual([
      [CDS, ['b'], []],
      [CDS, [], ['c', 'd']],
    ]);
  });

  it('who comes back over state of the world is told nothing, and others are', () => {
    const world = new World();
    world.cut(shop, anythingNewer);
    const stream = world.sotw();
    for (const [typeUrl, names] of [
      [CDS, []],
      [EDS, ['a']],
      [LDS, []],
      [RDS, ['r']],
    ] as const) {
      expect(stream.send(typeUrl, names, { versionInfo: 'newer' })).toEqual([]);
    }
    world.nowMs += 60_000;
    expect(stream.take()).toEqual([]);
    expect(brief(world.sotw().send(CDS, []))).toEqual([[CDS, ['a', 'b']]]);
    world.cut({ ...shop, [RDS]: { r: '2' } });
    expect(brief(stream.follow().take())[0]).toEqual([CDS, ['a', 'b']]);
  });
});
