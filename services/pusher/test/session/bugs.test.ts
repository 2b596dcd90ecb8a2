import { describe, expect, it } from 'vitest';
import { CDS, EDS, LDS, RDS, SDS, World, type DeltaSeen } from './support.ts';

/** Bugs that others had, each by its number in their tracker. */
const shop = {
  [CDS]: { a: '1', b: '1' },
  [EDS]: { a: '1', b: '1' },
  [LDS]: { l: '1', m: '1' },
  [RDS]: { r: '1', q: '1' },
};

function worldOf(content: Parameters<World['cut']>[0] = shop): World {
  const world = new World();
  world.cut(content);
  return world;
}

const named = (seen: readonly DeltaSeen[]): unknown[] =>
  seen.map((one) => [one.type, [...one.names], one.removed]);

describe('what went wrong elsewhere', () => {
  it('istio#41494: who named what is all gone meanwhile is told so when it comes back', () => {
    for (const typeUrl of [CDS, LDS]) {
      const world = new World();
      world.cut({ [typeUrl]: { a: '1', b: '1' } });
      const before = world.sotw();
      const [first] = before.send(typeUrl, ['a']);
      before.ack(first, ['a']);
      world.cut({ [typeUrl]: { b: '1' } });
      const stream = world.sotw();
      const seen = stream.send(typeUrl, ['a'], { versionInfo: first!.version });
      expect(seen.map(({ names }) => [...names])).toEqual([[]]);
      expect(seen[0]?.version).not.toBe(first?.version);
      expect(stream.ack(seen[0], ['a'])).toEqual([]);
    }
  });

  it('istio#41494: what was deleted while a delta client was away is removed when it is back', () => {
    const back = worldOf().delta();
    back.send(LDS, { initial: { l: '1', m: '1', deleted: '1' } });
    const [seen] = worldOf({ ...shop, [LDS]: { l: '1' } })
      .delta()
      .send(LDS, { initial: { l: '1', m: '1' } });
    expect(named([seen!])).toEqual([[LDS, [], ['m']]]);
  });

  it('istio#41494: what it holds, does not name and is gone is removed too, with all that goes', () => {
    const world = worldOf();
    const before = world.delta();
    before.send(CDS);
    const [held] = before.send(EDS, { sub: ['a', 'b'] });
    const back = world.delta();
    back.send(CDS, { initial: { a: '1', b: '1' } });
    const initial = { ...held?.versions, gone: '1' };
    expect(back.send(EDS, { sub: ['a'], initial })).toEqual([]);
    world.nowMs = 500;
    const [seen] = back.take();
    expect(named([seen!])).toEqual([[EDS, [], ['gone']]]);
    expect(back.ack(seen)).toEqual([]);
    // What is there as the client has it is none of its concerns.
    world.cut({ ...shop, [EDS]: { a: '1' } });
    expect(back.follow().take()).toEqual([]);
  });

  it('envoy#22418: a client that forgot what it said it has gets it when it asks', () => {
    const back = worldOf().delta();
    expect(back.send(RDS, { sub: ['q'], initial: { q: '1', r: '1' } })).toEqual([]);
    expect(named(back.send(RDS, { sub: ['r'] }))).toEqual([[RDS, ['r'], []]]);
  });

  it.each(['envoy#34334', 'envoy#36951'])(
    '%s: a client that never asks for clusters again after a reconnect gets all else',
    () => {
      const world = worldOf();
      const back = world.delta();
      const eds = world.delta();
      eds.send(CDS);
      const [held] = eds.send(EDS, { sub: ['a', 'b'] });
      // It may wait for any that it has.
      const [again] = back.send(EDS, { sub: ['a', 'b'], initial: held?.versions ?? {} });
      expect(again?.names).toEqual(['a', 'b']);
      expect(back.ack(again)).toEqual([]);
      expect(back.send(LDS, { initial: { l: '1', m: '1' } })).toEqual([]);
      expect(back.send(RDS, { sub: ['r'], initial: { r: '1' } })).toEqual([]);
      world.cut({ ...shop, [CDS]: { a: '2', b: '1' }, [RDS]: { r: '2', q: '1' } });
      const seen = back.follow().take();
      // Its assignments are those of the clusters that it would be sent.
      expect(named(seen).at(0)).toEqual([EDS, ['a'], []]);
      // Whether it will ask is known after 5 s.
      expect(back.ack(seen[0])).toEqual([]);
      world.nowMs += 5_000;
      expect(named(back.take())).toEqual([[RDS, ['r'], []]]);
      const sotw = world.sotw();
      expect(sotw.send(EDS, ['a'])).toHaveLength(1);
      expect(sotw.send(RDS, ['r'])).toHaveLength(1);
    },
  );

  it('go-control-plane#962: a NACK that comes again and again is answered with nothing', () => {
    const world = worldOf({ [CDS]: { a: '1' } });
    const [sotw, delta] = [world.sotw(), world.delta()];
    const [s] = sotw.send(CDS, []);
    const [d] = delta.send(CDS);
    for (let i = 0; i < 20; i++) {
      expect(sotw.nack(s, [], 'cluster a: bad')).toEqual([]);
      expect(delta.nack(d, 'cluster a: bad')).toEqual([]);
      world.nowMs += 1_000;
      expect([...sotw.take(), ...delta.take()]).toEqual([]);
    }
    // Nor does a reconnect begin one: each stream is sent it once.
    for (let i = 0; i < 5; i++) {
      const again = world.sotw();
      expect(again.nack(again.send(CDS, [])[0])).toEqual([]);
    }
  });

  it('go-control-plane#962: nor for one that came with a version of another server', () => {
    const world = worldOf({ [CDS]: { a: '1', bad: '1' } });
    const stream = world.sotw();
    const [all] = stream.send(CDS, [], { versionInfo: 'of another server' });
    expect(all?.names).toEqual(['a', 'bad']);
    expect(stream.nack(all, [], 'cluster bad: bad')).toEqual([]);
    world.nowMs += 60_000;
    expect(stream.take()).toEqual([]);
    // It can be told of nothing else without it: once for each change.
    world.cut({ [CDS]: { a: '2', bad: '1' } });
    const [next, ...more] = stream.follow().take();
    expect([next?.names, more]).toEqual([['a', 'bad'], []]);
    expect(stream.nack(next, [], 'cluster bad: bad')).toEqual([]);
    world.cut({ [CDS]: { a: '2', bad: '2' } });
    const [mended] = stream.follow().take();
    expect(mended?.names).toEqual(['a', 'bad']);
    expect(stream.ack(mended)).toEqual([]);
  });

  it('go-control-plane#962: nor for one that refuses what it took before', () => {
    const world = worldOf({ [CDS]: { a: '1', b: '1' } });
    const stream = world.sotw();
    stream.ack(stream.send(CDS, [])[0]);
    world.cut({ [CDS]: { a: '2', b: '2' } });
    const [sibling, ...more] = stream.nack(stream.follow().take()[0], [], 'cluster a: bad');
    expect([sibling?.names, more]).toEqual([['a', 'b'], []]);
    expect(stream.nack(sibling, [], 'cluster a: bad')).toEqual([]);
  });

  it('go-control-plane#962: a client that refuses all that it is sent is sent a bounded number', () => {
    const names = Array.from({ length: 50 }, (_, at) => `c${at}`);
    const all = (version: string) => Object.fromEntries(names.map((name) => [name, version]));
    const world = worldOf({ [CDS]: all('1') });
    const stream = world.delta();
    let sent = 0;
    for (let seen = stream.send(CDS); seen.length > 0; sent++) seen = stream.nack(seen[0]);
    world.cut({ [CDS]: { ...all('1'), c0: '2' } });
    for (let seen = stream.follow().take(); seen.length > 0; sent++) seen = stream.nack(seen[0]);
    expect(sent).toBeLessThan(100);
  });

  it('what was refused and is taken back is no error any more, though nothing is sent for it', () => {
    const world = worldOf({ [CDS]: { a: '1', b: '1' } });
    const [sotw, delta] = [world.sotw(), world.delta()];
    sotw.ack(sotw.send(CDS, [])[0]);
    delta.ack(delta.send(CDS)[0]);
    world.cut({ [CDS]: { a: '2', b: '1' } });
    sotw.nack(sotw.follow().take()[0], [], 'cluster a: bad');
    delta.nack(delta.follow().take()[0], 'cluster a: bad');
    const states = [sotw, delta].flatMap(({ session }) => session.types());
    expect(states.map(({ lastError }) => lastError)).toEqual(['cluster a: bad', 'cluster a: bad']);
    world.cut({ [CDS]: { a: '1', b: '1' } });
    expect([...sotw.follow().take(), ...delta.follow().take()]).toEqual([]);
    for (const { lastError, nonceAcked, nonceSent } of states) {
      expect([lastError, nonceAcked]).toEqual(['', nonceSent]);
    }
  });

  it('a secret that may be had no longer leaves a client that answers nothing', () => {
    const world = worldOf({ [SDS]: { a: '1', b: '1' } });
    const stream = world.delta();
    expect(stream.send(SDS, { sub: ['a', 'b'] })).toHaveLength(1);
    world.cut({ [SDS]: { b: '1' } });
    expect(named(stream.follow().take())).toEqual([[SDS, [], ['a']]]);
    // What is new waits as ever.
    world.cut({ [SDS]: { b: '2' } });
    expect(stream.follow().take()).toEqual([]);
  });

  it('a NACK that says nothing is told as one', () => {
    const stream = worldOf({ [CDS]: { a: '1' } }).delta();
    stream.nack(stream.send(CDS)[0], '');
    expect(stream.session.types()[0]?.lastError).toMatch(/^no message, gRPC code \d+$/u);
    expect(stream.nacks[0]?.error.message).toBe('');
  });

  it('kgateway#14264: after a bad route was refused, the mended one is sent, with no restart', () => {
    const world = worldOf();
    const [sotw, delta] = [world.sotw(), world.delta()];
    sotw.ack(sotw.send(RDS, ['r'])[0], ['r']);
    delta.ack(delta.send(RDS, { sub: ['r'] })[0]);
    world.cut({ ...shop, [RDS]: { r: 'bad', q: '1' } });
    sotw.nack(sotw.follow().take()[0], ['r'], 'route r: bad');
    delta.nack(delta.follow().take()[0], 'route r: bad');
    world.cut({ ...shop, [RDS]: { r: '3', q: '1' } });
    expect(sotw.follow().take()[0]?.names).toEqual(['r']);
    expect(named(delta.follow().take())).toEqual([[RDS, ['r'], []]]);
  });

  it('kgateway#14264: also when what is mended is what it was before', () => {
    const world = worldOf();
    const delta = world.delta();
    delta.ack(delta.send(RDS, { sub: ['r'] })[0]);
    world.cut({ ...shop, [RDS]: { r: 'bad', q: '1' } });
    delta.nack(delta.follow().take()[0], 'route r: bad');
    world.cut(shop);
    // It never lost it.
    expect(delta.follow().take()).toEqual([]);
    world.cut({ ...shop, [RDS]: { r: 'bad', q: '1' } });
    expect(named(delta.follow().take())).toEqual([[RDS, ['r'], []]]);
  });

  it('istio#18938: one bad resource makes no proxy stale: its siblings and other types go on', () => {
    const world = worldOf();
    const [sotw, delta] = [world.sotw(), world.delta()];
    for (const typeUrl of [CDS, LDS]) {
      sotw.ack(sotw.send(typeUrl, [])[0]);
      delta.ack(delta.send(typeUrl)[0]);
    }
    world.cut({ ...shop, [LDS]: { l: 'bad', m: '2' }, [CDS]: { a: '2', b: '1' } });
    const [sCds] = sotw.follow().take();
    const [dCds] = delta.follow().take();
    const [sLds] = sotw.ack(sCds);
    const [dLds] = delta.ack(dCds);
    expect(named(delta.nack(dLds, 'listener l: bad'))).toEqual([[LDS, ['m'], []]]);
    const [again] = sotw.nack(sLds, [], 'listener l: bad');
    expect(again?.frame.plan.entries.map((one) => [one.name, one.version])).toEqual([
      ['l', '1'],
      ['m', '2'],
    ]);
    sotw.ack(again);
    world.cut({ ...shop, [LDS]: { l: 'bad', m: '3' }, [CDS]: { a: '3', b: '1' } });
    expect(sotw.follow().take()[0]?.names).toEqual(['a', 'b']);
  });

  it.each(['listener l: bad', 'no'])(
    'what was removed with what a client refuses is removed again: %s',
    (message) => {
      const world = worldOf({ [LDS]: { l: '1', m: '1', gone: '1' } });
      const stream = world.delta();
      stream.ack(stream.send(LDS)[0]);
      world.cut({ [LDS]: { l: 'bad', m: '2' } });
      const [push] = stream.follow().take();
      expect(named([push!])).toEqual([[LDS, ['l', 'm'], ['gone']]]);
      let seen = stream.nack(push, message);
      const removed: string[] = [];
      for (let sent = 0; seen.length > 0 && sent < 10; sent++) {
        removed.push(...(seen[0]?.frame.plan.removed ?? []));
        seen = stream.ack(seen[0]);
      }
      expect(removed).toEqual(['gone']);
    },
  );

  it('what is removed alone and refused is not removed again and again, and nothing is to blame', () => {
    const world = worldOf({ [CDS]: { a: '1', b: '1' } });
    const [sotw, delta] = [world.sotw(), world.delta()];
    sotw.ack(sotw.send(CDS, [])[0]);
    delta.ack(delta.send(CDS)[0]);
    world.cut({ [CDS]: { a: '1' } });
    expect(sotw.nack(sotw.follow().take()[0], [], 'no')).toEqual([]);
    expect(delta.nack(delta.follow().take()[0], 'no')).toEqual([]);
    world.nowMs += 60_000;
    expect([sotw.take(), delta.take()]).toEqual([[], []]);
    for (const { session, nacks } of [sotw, delta]) {
      expect(nacks).toMatchObject([{ culprits: [], sure: false }]);
      expect(session.types()[0]?.quarantine).toBeUndefined();
    }
    world.cut({ [CDS]: { a: '2' } });
    const pushes = [...sotw.follow().take(), ...delta.follow().take()];
    expect(pushes.map(({ names }) => names)).toEqual([['a'], ['a']]);
  });

  it('osm#3252: a nonce of another replica, or of an earlier stream, is nothing to this one', () => {
    const world = worldOf();
    const old = world.sotw();
    const [seen] = old.send(RDS, ['r']);
    const stream = world.sotw();
    const more = { nonce: seen?.nonce ?? '', versionInfo: seen?.version ?? '' };
    const [first] = stream.send(RDS, ['r'], more);
    expect(first?.names).toEqual(['r']);
    expect(stream.send(RDS, ['r'], { ...more, nonce: 'replica-2' })).toEqual([]);
    expect(stream.session.synced).toBe(false);
    expect(stream.ack(first, ['r'])).toEqual([]);
    expect(stream.session.synced).toBe(true);
  });

  it('istio#51612: a route that changed between the request and the answer, or while away, is not stale', () => {
    const world = worldOf();
    const stream = world.sotw();
    const [cds] = stream.send(CDS, []);
    const [lds] = stream.send(LDS, []);
    // The clusters are not ACKed yet, so the route waits; it is the newest when it goes.
    world.cut({ ...shop, [RDS]: { r: '2', q: '1' } });
    stream.follow().ack(lds);
    expect(stream.send(RDS, ['r'])).toEqual([]);
    world.cut({ ...shop, [RDS]: { r: '2', q: '2' } });
    const [rds] = stream.follow().ack(cds);
    expect(rds?.frame.plan.entries[0]?.version).toBe('2');
    world.cut({ ...shop, [RDS]: { r: '3', q: '1' } });
    const back = world.sotw();
    const [again] = back.send(RDS, ['r'], { versionInfo: rds?.version ?? '' });
    expect(again?.frame.plan.entries[0]?.version).toBe('3');
  });

  it('istio#55812: over delta a client is given the clusters of its view and no others', () => {
    const world = worldOf();
    const stream = world.delta();
    stream.ack(stream.send(CDS)[0]);
    world.cut({ ...shop, [CDS]: { a: '2' }, [EDS]: { a: '1', b: '2', c: '1' } });
    const seen = stream.follow().take();
    const rest = stream.ack(seen[0]);
    const all = [...seen, ...rest];
    expect(new Set(all.flatMap((one) => one.names))).toEqual(new Set(['a']));
    expect(all.flatMap((one) => one.removed)).toEqual(['b']);
    const back = world.delta();
    back.send(CDS, { initial: { a: '2', b: '1', other: '1' } });
    world.nowMs += 1_000;
    expect(back.take().flatMap((one) => one.removed)).toEqual(['b', 'other']);
  });

  it.each([CDS, EDS])(
    'rule 14: who named some of %s, and comes back for all, is given all',
    (type) => {
      const world = worldOf();
      const [some] = world.sotw().send(type, ['a']);
      const [all] = world.sotw().send(type, ['*'], { versionInfo: some?.version ?? '' });
      expect(all?.names).toEqual(['a', 'b']);
    },
  );

  it('rule 30: a route that a client refused to replace keeps the cluster that it names', () => {
    const world = worldOf();
    const stream = world.delta();
    stream.ack(stream.send(CDS)[0]);
    stream.ack(stream.send(EDS, { sub: ['a', 'b'] })[0]);
    stream.ack(stream.send(RDS, { sub: ['r'] })[0]);
    world.cut({ ...shop, [CDS]: { a: '1' }, [EDS]: { a: '1' }, [RDS]: { r: 'bad' } });
    expect(stream.nack(stream.follow().take()[0], 'route r: bad')).toEqual([]);
    world.nowMs += 60_000;
    expect(stream.take()).toEqual([]);
    world.cut({ ...shop, [CDS]: { a: '1' }, [EDS]: { a: '1' }, [RDS]: { r: '3' } });
    const mended = stream.follow().take();
    expect(named(mended)).toEqual([[RDS, ['r'], []]]);
    expect(named(stream.ack(mended[0]))).toEqual([[CDS, [], ['b']]]);
  });
});
