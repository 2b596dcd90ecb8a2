import { describe, expect, it } from 'vitest';
import { CDS, EDS, LDS, RDS, SDS, World, type DeltaSeen, type SotwSeen } from './support.ts';

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
  world.cut(content, true);
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
    world.cut({ ...part, [CDS]: { a: '3' } }, true);
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
    world.cut({ ...shop, [EDS]: {} }, true);
    const stream = world.delta();
    const [cds] = stream.send(CDS, { initial: { a: '0', b: '1' } });
    expect(brief([cds!])).toEqual([[CDS, ['a'], []]]);
    expect(stream.ack(cds)).toEqual([]);
    expect(stream.send(EDS, { sub: ['a'], initial: versions })).toEqual([]);
    world.cut(shop);
    expect(brief(stream.follow().take())).toEqual([[EDS, ['a'], []]]);
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
    world.nowMs += 60_000;
    expect(stream.take()).toEqual([]);
    expect(stream.forced).toEqual([]);
    world.cut({ ...part, [EDS]: { a: '3' } }, true);
    const [next, ...none] = stream.follow().take();
    expect(brief([next!, ...none])).toEqual([[EDS, ['a']]]);
    stream.ack(next, ['a', 'b']);
    world.cut({ ...whole, [EDS]: { a: '3', b: '1' } });
    const [cds, ...others] = stream.follow().take();
    expect(brief([cds!])).toEqual([[CDS, ['a', 'b']]]);
    const rest = [...others, ...stream.ack(cds)];
    for (const one of rest) rest.push(...stream.ack(one, one.type === EDS ? ['a', 'b'] : []));
    expect(brief(rest)).toContainEqual([LDS, ['k', 'l']]);
    expect(brief(rest)).toContainEqual([RDS, ['r']]);
  });

  it('who comes back with a set that is known has what is new, beside all that it had', () => {
    const world = new World();
    world.cut(shop);
    const before = world.sotw();
    const version = before.send(CDS, [])[0]!.version;
    world.cut(part, true);
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

  it('who comes with nothing is given what there is', () => {
    const stream = restarted().sotw();
    expect(brief(stream.send(CDS, []))).toEqual([[CDS, ['a']]]);
  });
});
