import { describe, expect, it } from 'vitest';
import { CDS, EDS, LDS, RDS, World, type DeltaSeen, type SotwSeen } from './support.ts';

/**
 * The rules of the xDS protocol, one by one. The numbers are used throughout the source; the rules
 * are those of Envoy's `xds_protocol.rst`, `discovery.proto` and `vhds.rst`. S: state of the world.
 * D: delta.
 */
const shop = {
  [CDS]: { a: '1', b: '1' },
  [EDS]: { a: '1', b: '1' },
  [LDS]: { l: '1' },
  [RDS]: { r: '1', q: '1' },
};

function worldOf(content: Parameters<World['cut']>[0] = shop): World {
  const world = new World();
  world.cut(content);
  return world;
}

const brief = (seen: readonly (SotwSeen | DeltaSeen)[]): unknown[] =>
  seen.map((one) => [one.type, [...one.names], ...('removed' in one ? [one.removed] : [])]);

describe('responses and streams', () => {
  it('rule 1: every response has a nonce of its own on its stream, also when a push repeats', () => {
    const world = worldOf({ [CDS]: { a: '1' } });
    const stream = world.delta();
    const nonces: string[] = [];
    let [seen] = stream.send(CDS);
    for (const version of ['2', '1', '2', '1', '2']) {
      nonces.push(seen?.nonce ?? '');
      stream.ack(seen);
      world.cut({ [CDS]: { a: version } });
      [seen] = stream.follow().take();
    }
    expect(nonces.every((nonce) => nonce !== '')).toBe(true);
    expect(new Set(nonces).size).toBe(nonces.length);
  });

  it('rule 1: a frame that many streams share is not used twice on one', () => {
    const world = worldOf({ [CDS]: { a: '1' } });
    const one = world.view!;
    const other = world.cut({ [CDS]: { a: '2' } });
    const stream = world.delta();
    const nonces: string[] = [];
    let [seen] = stream.send(CDS);
    for (const view of [one, other, one, other]) {
      nonces.push(seen?.nonce ?? '');
      stream.ack(seen);
      stream.session.setGoal(view);
      [seen] = stream.take();
    }
    expect(new Set(nonces).size).toBe(nonces.length);
  });

  it('rule 3: an aggregated stream without a type_url is refused; state is per type', () => {
    const world = worldOf();
    expect(() => world.sotw().send('', [])).toThrow('type_url is required');
    const stream = world.sotw();
    const [cds] = stream.send(CDS, []);
    // A nonce of one type says nothing about another.
    expect(brief(stream.send(LDS, [], { nonce: cds?.nonce ?? '' }))).toEqual([[LDS, ['l']]]);
    expect(stream.session.types().map((type) => type.nonceAcked)).toEqual(['', '']);
  });

  it('rule 4: the type of a response is that of each of its resources', () => {
    const world = worldOf();
    // Checked by decoding, in both modes.
    expect(world.sotw().send(CDS, [])[0]?.type).toBe(CDS);
    expect(world.delta().send(EDS, { sub: ['a'] })[0]?.type).toBe(EDS);
  });

  it('rule 5: on a stream of one type it may be left out, and no other is taken', () => {
    const world = worldOf();
    expect(brief(world.sotw({ onlyType: LDS }).send('', []))).toEqual([[LDS, ['l']]]);
    expect(() => world.sotw({ onlyType: LDS }).send(CDS, [])).toThrow('alone');
  });

  it('rule 13: versions belong to resources: the same on every stream and in every process', () => {
    const one = worldOf();
    const other = worldOf({ [CDS]: { a: '0' } });
    other.cut(shop);
    expect(other.sotw().send(CDS, [])[0]?.version).toBe(one.sotw().send(CDS, [])[0]?.version);
    expect(other.delta().send(EDS, { sub: ['a'] })[0]?.versions).toEqual(
      one.delta().send(EDS, { sub: ['a'] })[0]?.versions,
    );
  });

  it('a scope that was never seen is held, not empty', () => {
    const world = new World();
    const sotw = world.sotw();
    const delta = world.delta();
    expect(sotw.send(CDS, [])).toEqual([]);
    expect(delta.send(CDS)).toEqual([]);
    expect(delta.send(EDS, { sub: ['a'] })).toEqual([]);
    world.cut(shop);
    expect(brief(sotw.follow().take())).toEqual([[CDS, ['a', 'b']]]);
    expect(brief(delta.follow().take())).toEqual([
      [CDS, ['a', 'b'], []],
      [EDS, ['a'], []],
    ]);
  });
});

describe('ACK and NACK', () => {
  it('rule 6: S: the version and nonce of a response, without an error, acknowledge it', () => {
    const stream = worldOf().sotw();
    const [seen] = stream.send(CDS, []);
    expect(stream.session.synced).toBe(false);
    expect(stream.ack(seen)).toEqual([]);
    expect(stream.session.synced).toBe(true);
    expect(stream.session.types()[0]?.nonceAcked).toBe(seen?.nonce);
  });

  it('rule 7: S: a NACK is told by error_detail alone', () => {
    const stream = worldOf().sotw();
    const [seen] = stream.send(CDS, []);
    // An old version with the nonce but no error is no NACK.
    stream.send(CDS, [], { nonce: seen?.nonce ?? '', versionInfo: 'old' });
    expect(stream.nacks).toEqual([]);
    const other = worldOf().sotw();
    other.nack(other.send(CDS, [])[0], [], 'bad');
    expect(other.nacks.map((nack) => nack.error.message)).toEqual(['bad']);
  });

  it('rule 8: S: a NACK may carry the version of the refused response', () => {
    const stream = worldOf().sotw();
    const [seen] = stream.send(CDS, []);
    stream.send(CDS, [], {
      nonce: seen?.nonce ?? '',
      versionInfo: seen?.version ?? '',
      error: { code: 3, message: 'bad' },
    });
    expect(stream.nacks).toHaveLength(1);
  });

  it('rule 9: after a NACK nothing is sent until something changes; a later version may succeed', () => {
    const world = worldOf({ [CDS]: { a: '1' } });
    const sotw = world.sotw();
    const delta = world.delta();
    sotw.ack(sotw.send(CDS, [])[0]);
    delta.ack(delta.send(CDS)[0]);
    world.cut({ [CDS]: { a: '2' } });
    expect(sotw.nack(sotw.follow().take()[0])).toEqual([]);
    expect(delta.nack(delta.follow().take()[0])).toEqual([]);
    world.nowMs += 60_000;
    expect([...sotw.take(), ...delta.take()]).toEqual([]);
    world.cut({ [CDS]: { a: '3' } });
    const [s] = sotw.follow().take();
    const [d] = delta.follow().take();
    expect(brief([s!, d!])).toEqual([
      [CDS, ['a']],
      [CDS, ['a'], []],
    ]);
    expect([...sotw.ack(s), ...delta.ack(d)]).toEqual([]);
    expect(sotw.session.synced && delta.session.synced).toBe(true);
  });

  it('rule 9: a refused version is left out of later responses, and the last good one stays', () => {
    const world = worldOf({ [CDS]: { a: '1', b: '1' } });
    const sotw = world.sotw();
    const delta = world.delta();
    sotw.ack(sotw.send(CDS, [])[0]);
    delta.ack(delta.send(CDS)[0]);
    world.cut({ [CDS]: { a: '2', b: '1' } });
    sotw.nack(sotw.follow().take()[0], [], 'cluster a: bad');
    delta.nack(delta.follow().take()[0], 'cluster a: bad');
    world.cut({ [CDS]: { a: '2', b: '2' } });
    const [s] = sotw.follow().take();
    expect(s?.names).toEqual(['a', 'b']);
    expect(s?.frame.plan.entries.map((e) => e.version)).toEqual(['1', '2']);
    expect(delta.follow().take()[0]?.versions).toEqual({ b: '2' });
  });

  it('a NACK that names its culprit does not hold back the rest of the response', () => {
    const world = worldOf({ [CDS]: {} });
    const stream = world.delta();
    stream.ack(stream.send(CDS)[0]);
    world.cut({ [CDS]: { good: '1', bad: '1', 'bad-too': '1' } });
    const again = stream.nack(
      stream.follow().take()[0],
      'Error adding cluster(s) bad: x, bad-too: y',
    );
    expect(brief(again)).toEqual([[CDS, ['good'], []]]);
    expect(stream.ack(again[0])).toEqual([]);
    expect(stream.nacks[0]?.culprits.map((c) => c.name).sort()).toEqual(['bad', 'bad-too']);
  });

  it.each([
    ['after the next change', { x: '2' }],
    ['after a while', undefined],
  ])('a NACK that names nothing is narrowed down %s, and ends', (_when, next) => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
    const first = Object.fromEntries(names.map((name) => [name, '1']));
    const world = worldOf({ [CDS]: { ...first, x: '1' } });
    const stream = world.delta();
    stream.ack(stream.send(CDS)[0]);
    world.cut({ [CDS]: { ...Object.fromEntries(names.map((name) => [name, '2'])), x: '1' } });
    const [push] = stream.follow().take();
    expect(stream.nack(push)).toEqual([]);
    expect(stream.take()).toEqual([]);
    if (next === undefined) world.nowMs += 5_000;
    else world.cut({ [CDS]: { ...Object.fromEntries(names.map((name) => [name, '2'])), ...next } });
    const holds: Record<string, string> = { ...first, x: '1' };
    let seen = stream.follow().take();
    for (let turn = 0; seen.length > 0; turn++) {
      expect(turn).toBeLessThan(20);
      const [one] = seen;
      // One resource is bad, and the client never says which.
      if (one?.versions['e'] === '2') seen = stream.nack(one);
      else {
        Object.assign(holds, one?.versions);
        seen = stream.ack(one);
      }
    }
    expect(holds).toEqual({
      a: '2',
      b: '2',
      c: '2',
      d: '2',
      e: '1',
      f: '2',
      g: '2',
      x: '1',
      ...next,
    });
    world.nowMs += 600_000;
    expect(stream.take()).toEqual([]);
  });

  it('rule 10: an unchanged set is not sent again after an ACK', () => {
    const stream = worldOf().sotw();
    const [seen] = stream.send(CDS, []);
    for (let i = 0; i < 5; i++) expect(stream.ack(seen)).toEqual([]);
    const delta = worldOf().delta();
    const [other] = delta.send(CDS);
    for (let i = 0; i < 5; i++) expect(delta.ack(other)).toEqual([]);
  });

  it('rule 11: S: a request with a stale nonce gets no response and changes nothing', () => {
    const world = worldOf();
    const stream = world.sotw();
    const [first] = stream.send(RDS, ['r']);
    stream.ack(first, ['r']);
    world.cut({ ...shop, [RDS]: { r: '2', q: '1' } });
    const [second] = stream.follow().take();
    expect(second?.names).toEqual(['r']);
    expect(stream.ack(first, ['r', 'q'])).toEqual([]);
    expect(stream.send(RDS, ['q'], { nonce: 'of another replica' })).toEqual([]);
    expect(brief(stream.ack(second, ['r', 'q']))).toEqual([[RDS, ['q']]]);
  });

  it('rule 12: only the newest request of a type counts', () => {
    const world = new World();
    const stream = world.sotw();
    stream.send(RDS, ['r']);
    stream.send(RDS, ['r', 'q']);
    stream.send(RDS, ['q']);
    world.cut(shop);
    expect(brief(stream.follow().take())).toEqual([[RDS, ['q']]]);
  });

  it('rule 26: S: names that change while a push is under way are no NACK', () => {
    const world = worldOf();
    const stream = world.sotw();
    const [first] = stream.send(EDS, ['a']);
    stream.ack(first, ['a']);
    world.cut({ ...shop, [EDS]: { a: '2', b: '1' } });
    const [second] = stream.follow().take();
    // Crosses the push: the nonce is the old one.
    expect(
      stream.send(EDS, ['a', 'b'], {
        nonce: first?.nonce ?? '',
        versionInfo: first?.version ?? '',
      }),
    ).toEqual([]);
    expect(stream.nacks).toEqual([]);
    expect(brief(stream.ack(second, ['a', 'b']))).toEqual([[EDS, ['b']]]);
  });

  it('rule 31: D: responses are acknowledged by nonce; a spontaneous request has none', () => {
    const stream = worldOf().delta();
    const [seen] = stream.send(CDS);
    expect(brief(stream.send(EDS, { sub: ['a'] }))).toEqual([[EDS, ['a'], []]]);
    expect(stream.session.synced).toBe(false);
    stream.ack(seen);
    stream.send(CDS, { nonce: 'unknown', error: { code: 13, message: 'stale' } });
    expect(stream.nacks).toEqual([]);
  });
});

describe('state of the world: what is subscribed', () => {
  it('rule 15: the list is the whole subscription; a missing name ends it', () => {
    const world = worldOf();
    const stream = world.sotw();
    const [seen] = stream.send(RDS, ['q', 'r']);
    stream.ack(seen, ['q']);
    world.cut({ ...shop, [RDS]: { r: '2', q: '1' } });
    expect(stream.follow().take()).toEqual([]);
  });

  it('rule 16: all that the wildcard adds is sent, whatever was before', () => {
    const world = worldOf({ [EDS]: { a: '1', b: '1', c: '1' } });
    const stream = world.sotw();
    const [all] = stream.send(EDS, ['*']);
    const [few] = stream.ack(all, ['a']);
    expect([all?.names, few?.names ?? []]).toEqual([['a', 'b', 'c'], ['a']]);
    expect(stream.ack(few, ['*'])[0]?.names).toEqual(['a', 'b', 'c']);
  });

  it('rule 16: a newly named resource is sent, also if it is unchanged or was sent before', () => {
    const stream = worldOf().sotw();
    const [one] = stream.send(RDS, ['q', 'r']);
    expect(stream.ack(one, ['q'])).toEqual([]);
    const [two] = stream.ack(one, ['q', 'r']);
    expect(two?.names).toEqual(['r']);
  });

  it('rule 17: no names, and never any, is all of LDS and CDS, and nothing of EDS and RDS', () => {
    const stream = worldOf().sotw();
    expect(brief(stream.send(CDS, []))).toEqual([[CDS, ['a', 'b']]]);
    expect(brief(stream.send(LDS, []))).toEqual([[LDS, ['l']]]);
    expect(stream.send(EDS, [])).toEqual([]);
    expect(stream.send(RDS, [])).toEqual([]);
  });

  it('rule 18: after any explicit name, an empty list ends all', () => {
    const world = worldOf();
    const stream = world.sotw();
    const [seen] = stream.send(CDS, ['a']);
    expect(stream.ack(seen, [])).toEqual([]);
    world.cut({ ...shop, [CDS]: { a: '2', b: '2' } });
    expect(stream.follow().take()).toEqual([]);
  });

  it('rule 19: `*` and a name are all; then the name alone drops the rest', () => {
    const world = worldOf();
    const stream = world.sotw();
    const [seen] = stream.send(CDS, ['*', 'a']);
    expect(seen?.names).toEqual(['a', 'b']);
    expect(stream.ack(seen, ['a'])).toEqual([]);
    world.cut({ ...shop, [CDS]: { a: '1', b: '2' } });
    expect(stream.follow().take()).toEqual([]);
    world.cut({ ...shop, [CDS]: { a: '2', b: '2' } });
    expect(brief(stream.follow().take())).toEqual([[CDS, ['a']]]);
  });

  it('rule 20: LDS and CDS are full sets: the absent is deleted, an empty response deletes all', () => {
    const world = worldOf({ [CDS]: { a: '1', b: '1' }, [LDS]: { l: '1' } });
    const stream = world.sotw();
    stream.ack(stream.send(CDS, [])[0]);
    stream.ack(stream.send(LDS, [])[0]);
    world.cut({ [CDS]: { b: '1' }, [LDS]: {} });
    const [lds] = stream.follow().take();
    expect(brief([lds!])).toEqual([[LDS, []]]);
    const [cds] = stream.ack(lds);
    expect(brief([cds!])).toEqual([[CDS, ['b']]]);
  });

  it('rule 21: RDS and EDS are partial: only what changed is sent, and absence deletes nothing', () => {
    const world = worldOf();
    const stream = world.sotw();
    stream.ack(stream.send(RDS, ['q', 'r'])[0], ['q', 'r']);
    world.cut({ ...shop, [RDS]: { r: '2' } });
    expect(brief(stream.follow().take())).toEqual([[RDS, ['r']]]);
  });

  it('rule 22: a name is never twice in a response', () => {
    const world = worldOf();
    expect(world.sotw().send(RDS, ['r', 'r', 'q', 'r'])[0]?.names).toEqual(['q', 'r']);
    expect(world.sotw().send(CDS, ['*', 'a', '*'])[0]?.names).toEqual(['a', 'b']);
    expect(world.delta().send(RDS, { sub: ['r', 'r'] })[0]?.frame.plan.entries).toHaveLength(1);
  });

  it('rules 23 and 24: a name that does not exist yet has no answer, and is sent when it appears', () => {
    const world = worldOf();
    const stream = world.sotw();
    expect(stream.send(RDS, ['later'])).toEqual([]);
    expect(stream.send(LDS, ['absent'])).toEqual([]);
    world.cut({ ...shop, [RDS]: { ...shop[RDS], later: '1' } });
    expect(brief(stream.follow().take())).toEqual([[RDS, ['later']]]);
  });

  it('rule 25: one request may name many, and a stream each works as well', () => {
    const world = worldOf();
    expect(world.sotw().send(EDS, ['a', 'b'])[0]?.names).toEqual(['a', 'b']);
    expect(['a', 'b'].map((name) => world.sotw().send(EDS, [name])[0]?.names)).toEqual([
      ['a'],
      ['b'],
    ]);
  });
});

describe('state of the world: coming back', () => {
  it('rule 14: the version that the server has needs no response for a wildcard', () => {
    const world = worldOf();
    const [seen] = world.sotw().send(CDS, []);
    const back = world.sotw();
    expect(back.send(CDS, [], { versionInfo: seen?.version ?? '' })).toEqual([]);
    world.cut({ ...shop, [CDS]: { a: '2', b: '1' } });
    expect(brief(back.follow().take())).toEqual([[CDS, ['a', 'b']]]);
  });

  it('rule 14: named types are answered, whatever version the client has', () => {
    const world = worldOf();
    const [seen] = world.sotw().send(RDS, ['r']);
    expect(brief(world.sotw().send(RDS, ['r'], { versionInfo: seen?.version ?? '' }))).toEqual([
      [RDS, ['r']],
    ]);
    const [named] = world.sotw().send(CDS, ['a']);
    expect(world.sotw().send(CDS, ['a'], { versionInfo: named?.version ?? '' })).toHaveLength(1);
  });

  it('rule 14: who comes with an unknown version loses no cluster before its routes have moved', () => {
    const world = worldOf({ [CDS]: { a: '1', b: '1' }, [LDS]: { l: '1' }, [RDS]: { r: '1' } });
    world.cut({ [CDS]: { a: '1' }, [LDS]: { l: '1' }, [RDS]: { r: '2' } });
    const back = world.sotw();
    const [cds] = back.send(CDS, [], { versionInfo: 'of another time' });
    expect(brief([cds!])).toEqual([[CDS, ['a', 'b']]]);
    const [lds] = back.send(LDS, [], { versionInfo: 'of another time' });
    expect(lds).toBeUndefined();
    const [listeners] = back.ack(cds);
    expect(brief([listeners!])).toEqual([[LDS, ['l']]]);
    const [routes] = back.send(RDS, ['r'], { versionInfo: 'of another time' });
    expect(brief([routes!])).toEqual([[RDS, ['r']]]);
    expect(back.ack(listeners)).toEqual([]);
    expect(brief(back.ack(routes, ['r']))).toEqual([[CDS, ['a']]]);
  });

  it('a nonce of another replica in a first request is ignored (osm#3252)', () => {
    const stream = worldOf().sotw();
    expect(brief(stream.send(CDS, [], { nonce: '1', versionInfo: 'x' }))).toEqual([
      [CDS, ['a', 'b']],
    ]);
  });
});

describe('order', () => {
  it('rules 28 and 29: clusters, endpoints, then listeners and routes, each after the ACKs before it', () => {
    const world = worldOf();
    const stream = world.delta();
    for (const typeUrl of [LDS, CDS]) stream.ack(stream.send(typeUrl)[0]);
    stream.ack(stream.send(EDS, { sub: ['a', 'b'] })[0]);
    stream.ack(stream.send(RDS, { sub: ['q', 'r'] })[0]);
    world.cut({
      [CDS]: { a: '1', b: '1', c: '1' },
      [EDS]: { a: '1', b: '1', c: '1' },
      [LDS]: { l: '2' },
      [RDS]: { r: '2', q: '1' },
    });
    const [cds, ...none] = stream.follow().take();
    expect(brief([cds!])).toEqual([[CDS, ['c'], []]]);
    expect(none).toEqual([]);
    // Accepted, but its endpoints have not been asked for: routes still wait.
    expect(stream.ack(cds)).toEqual([]);
    const [eds] = stream.send(EDS, { sub: ['c'] });
    expect(brief([eds!])).toEqual([[EDS, ['c'], []]]);
    expect(brief(stream.ack(eds))).toEqual([
      [LDS, ['l'], []],
      [RDS, ['r'], []],
    ]);
  });

  it('rule 30: stale clusters and endpoints are removed last', () => {
    const world = worldOf();
    const stream = world.delta();
    for (const typeUrl of [CDS, LDS]) stream.ack(stream.send(typeUrl)[0]);
    stream.ack(stream.send(EDS, { sub: ['a', 'b'] })[0]);
    stream.ack(stream.send(RDS, { sub: ['r'] })[0]);
    world.cut({ [CDS]: { a: '1' }, [EDS]: { a: '1' }, [LDS]: { l: '1' }, [RDS]: { r: '2' } });
    const [rds, ...rest] = stream.follow().take();
    expect(brief([rds!])).toEqual([[RDS, ['r'], []]]);
    expect(rest).toEqual([]);
    const [cds, ...more] = stream.ack(rds);
    expect(brief([cds!])).toEqual([[CDS, [], ['b']]]);
    expect(more).toEqual([]);
    expect(brief(stream.ack(cds))).toEqual([[EDS, [], ['b']]]);
  });

  it('rule 30: removals wait for the routes of a client that came back and has not named them yet', () => {
    const world = worldOf({ ...shop, [CDS]: { a: '1' }, [RDS]: { r: '2' } });
    const stream = world.delta();
    expect(stream.send(CDS, { initial: { a: '1', b: '1' } })).toEqual([]);
    expect(stream.send(LDS, { initial: { l: '1' } })).toEqual([]);
    const [rds, ...none] = stream.send(RDS, { sub: ['r'], initial: { r: '1' } });
    expect(brief([rds!])).toEqual([[RDS, ['r'], []]]);
    expect(none).toEqual([]);
    expect(brief(stream.ack(rds))).toEqual([[CDS, [], ['b']]]);
    // It may have none.
    const other = world.delta();
    other.send(CDS, { initial: { a: '1', b: '1' } });
    other.send(LDS, { initial: { l: '1' } });
    world.nowMs = other.session.wakeAtMs;
    expect(brief(other.take())).toEqual([[CDS, [], ['b']]]);
  });

  it('rule 30: a cluster that a client still names goes when it is named no more, or in time', () => {
    const world = worldOf();
    const streams = [world.sotw(), world.sotw()] as const;
    for (const stream of streams) {
      stream.ack(stream.send(RDS, ['r'])[0], ['r']);
      stream.ack(stream.send(CDS, ['a', 'b'])[0], ['a', 'b']);
    }
    world.cut({ ...shop, [CDS]: { a: '1' }, [RDS]: { r: '2' } });
    const [one, other] = streams;
    for (const stream of streams) {
      const [rds] = stream.follow().take();
      expect(brief(stream.ack(rds, ['r']))).toEqual([]);
    }
    expect(brief(one.send(CDS, ['a'], { nonce: one.session.types()[1]?.nonceSent ?? '' }))).toEqual(
      [],
    );
    world.nowMs = other.session.wakeAtMs ?? 0;
    expect(world.nowMs).toBe(5_000);
    expect(brief(other.take())).toEqual([[CDS, ['a']]]);
    expect(brief(one.take())).toEqual([]);
  });

  it('rule 21: a table that goes in silence is no longer waited for', () => {
    const world = new World();
    world.cut({ [RDS]: { a: '1', b: '1' } });
    const stream = world.sotw();
    stream.ack(stream.send(RDS, ['a', 'b'])[0], ['a', 'b']);
    world.cut({ [RDS]: { a: '1' } });
    expect(stream.follow().take()).toEqual([]);
    expect(stream.session.gates.waitsFor).toBeUndefined();
  });

  it('waits are bounded: a type that is never acknowledged does not stall the others for ever', () => {
    const world = worldOf();
    const stream = world.sotw();
    const [cds] = stream.send(CDS, []);
    stream.ack(cds);
    stream.ack(stream.send(LDS, [])[0]);
    stream.ack(stream.send(RDS, ['r'])[0], ['r']);
    world.cut({ ...shop, [CDS]: { a: '2', b: '1' }, [RDS]: { r: '2', q: '1' } });
    expect(brief(stream.follow().take())).toEqual([[CDS, ['a', 'b']]]);
    expect(stream.session.wakeAtMs).toBe(5_000);
    world.nowMs = 5_000;
    expect(brief(stream.take())).toEqual([[RDS, ['r']]]);
    expect(stream.forced).toEqual(['clusters']);
    // Its own pushes go on too, later.
    world.cut({ ...shop, [CDS]: { a: '3', b: '1' }, [RDS]: { r: '2', q: '1' } });
    expect(stream.follow().take()).toEqual([]);
    world.nowMs = 60_000;
    expect(brief(stream.take())).toEqual([[CDS, ['a', 'b']]]);
  });

  it('rule 27: an assignment is due after its cluster changed, though its endpoints did not', () => {
    const world = worldOf();
    for (const stream of [world.delta(), world.delta()]) stream.send(CDS);
    const delta = world.delta();
    delta.ack(delta.send(CDS)[0]);
    delta.ack(delta.send(EDS, { sub: ['a', 'b'] })[0]);
    const sotw = world.sotw();
    sotw.ack(sotw.send(CDS, [])[0]);
    sotw.ack(sotw.send(EDS, ['a', 'b'])[0], ['a', 'b']);
    world.cut({ ...shop, [CDS]: { a: '2', b: '1' } });
    expect(brief(delta.follow().take())).toEqual([
      [CDS, ['a'], []],
      [EDS, ['a'], []],
    ]);
    expect(brief(sotw.follow().take())).toEqual([
      [CDS, ['a', 'b']],
      [EDS, ['a']],
    ]);
  });

  it('rule 27: also when the cluster is what it was again before its assignment was sent', () => {
    const world = worldOf();
    const sotw = world.sotw();
    sotw.ack(sotw.send(CDS, [])[0]);
    sotw.ack(sotw.send(EDS, ['a', 'b'])[0], ['a', 'b']);
    const delta = world.delta();
    delta.ack(delta.send(CDS)[0]);
    delta.ack(delta.send(EDS, { sub: ['a', 'b'] })[0]);
    world.cut({ ...shop, [CDS]: { a: '2', b: '1' } });
    const ofSotw = sotw.follow().takeOne();
    const ofDelta = delta.follow().takeOne();
    expect([ofSotw?.type, ofDelta?.type]).toEqual([CDS, CDS]);
    world.cut(shop);
    // The cluster warms, though its endpoints are those that the client has.
    expect(brief(sotw.follow().ack(ofSotw))).toEqual([
      [CDS, ['a', 'b']],
      [EDS, ['a']],
    ]);
    expect(brief(delta.follow().ack(ofDelta))).toEqual([
      [CDS, ['a'], []],
      [EDS, ['a'], []],
    ]);
  });

  it('rule 27: also when the stream breaks between CDS and EDS', () => {
    const world = worldOf();
    const stream = world.delta();
    const [cds] = stream.send(CDS);
    const [eds] = stream.send(EDS, { sub: ['a', 'b'] });
    stream.ack(cds);
    stream.ack(eds);
    world.cut({ ...shop, [CDS]: { a: '2', b: '1' } });
    const back = world.delta();
    // The cluster arrived, its endpoints did not.
    expect(back.send(CDS, { initial: { a: '2', b: '1' } })).toEqual([]);
    const [again] = back.send(EDS, { sub: ['a', 'b'], initial: eds?.versions ?? {} });
    expect(again?.names).toEqual(['a']);
  });

  it('rule 27: also when the stream breaks there, and the cluster is what it was again', () => {
    const world = worldOf();
    const stream = world.delta();
    stream.send(CDS);
    const [eds] = stream.send(EDS, { sub: ['a', 'b'] });
    const back = world.delta();
    // Of another version the cluster arrived, its endpoints did not.
    const [cds] = back.send(CDS, { initial: { a: '2', b: '1' } });
    expect(cds?.names).toEqual(['a']);
    const [again] = back.send(EDS, { sub: ['a', 'b'], initial: eds?.versions ?? {} });
    expect(again?.names).toEqual(['a']);
  });

  it('rule 27: endpoints that arrive before their cluster has changed do not stand in for those after', () => {
    const world = worldOf();
    const stream = world.delta();
    stream.ack(stream.send(CDS)[0]);
    stream.ack(stream.send(EDS, { sub: ['a'] })[0]);
    world.cut({ ...shop, [CDS]: { a: '2', b: '1' } });
    const [cds, eds] = stream.follow().take();
    world.cut({ ...shop, [CDS]: { a: '3', b: '1' }, [EDS]: { a: '2', b: '1' } });
    // Neither was acknowledged: nothing overtakes.
    expect(stream.follow().take()).toEqual([]);
    const [early] = stream.ack(eds);
    expect(brief([early!])).toEqual([[EDS, ['a'], []]]);
    expect(brief(stream.ack(cds))).toEqual([[CDS, ['a'], []]]);
    expect(brief(stream.ack(early))).toEqual([[EDS, ['a'], []]]);
  });
});

describe('delta', () => {
  it('rule 32: subscriptions change also in a request with a stale nonce', () => {
    const stream = worldOf().delta();
    stream.ack(stream.send(RDS, { sub: ['r'] })[0]);
    expect(brief(stream.send(RDS, { sub: ['q'], nonce: 'stale' }))).toEqual([[RDS, ['q'], []]]);
  });

  it('rule 33: subscriptions may ride in an ACK or a NACK', () => {
    const world = worldOf();
    const stream = world.delta();
    const [one] = stream.send(RDS, { sub: ['r'] });
    const [two] = stream.send(RDS, { sub: ['q'], nonce: one?.nonce ?? '' });
    expect(two?.names).toEqual(['q']);
    const error = { code: 13, message: 'q is bad' };
    expect(stream.send(RDS, { unsub: ['r'], nonce: two?.nonce ?? '', error })).toEqual([]);
    expect(stream.nacks).toHaveLength(1);
    world.cut({ ...shop, [RDS]: { r: '2', q: '2' } });
    expect(brief(stream.follow().take())).toEqual([[RDS, ['q'], []]]);
  });

  it('rule 34: every newly subscribed name is sent, also if it is subscribed and current', () => {
    const stream = worldOf().delta();
    stream.ack(stream.send(RDS, { sub: ['r'] })[0]);
    expect(brief(stream.send(RDS, { sub: ['r'] }))).toEqual([[RDS, ['r'], []]]);
  });

  it('rule 35: unsubscribing what was not subscribed is ignored', () => {
    const stream = worldOf().delta();
    stream.ack(stream.send(RDS, { sub: ['r'] })[0]);
    expect(stream.send(RDS, { unsub: ['never', 'q'] })).toEqual([]);
    expect(stream.send(CDS)[0]?.names).toEqual(['a', 'b']);
    expect(stream.send(CDS, { unsub: ['a'] })).toEqual([]);
  });

  it('rule 36: a plain unsubscribe has no response, and ends updates', () => {
    const world = worldOf();
    const stream = world.delta();
    stream.ack(stream.send(RDS, { sub: ['r', 'q'] })[0]);
    expect(stream.send(RDS, { unsub: ['r'] })).toEqual([]);
    world.cut({ ...shop, [RDS]: { r: '2', q: '1' } });
    expect(stream.follow().take()).toEqual([]);
  });

  it('rule 40: `*` once more, while a removal waits, does not make it forgotten', () => {
    const world = worldOf({ [CDS]: { a: '1', b: '1' }, [RDS]: { r: 'b@1' } });
    const stream = world.delta();
    stream.ack(stream.send(CDS)[0]);
    stream.ack(stream.send(RDS, { sub: ['r'] })[0]);
    world.cut({ [CDS]: { a: '1' }, [RDS]: { r: 'a@1' } });
    const [route, ...more] = stream.follow().take();
    expect([route?.type, more]).toEqual([RDS, []]);
    const [again] = stream.send(CDS, { sub: ['*'] });
    expect([again?.names, again?.removed]).toEqual([['a', 'b'], []]);
    expect(stream.ack(again)).toEqual([]);
    const [removal] = stream.ack(route);
    expect([removal?.type, removal?.removed]).toEqual([CDS, ['b']]);
  });

  it('rule 37: with `*` and a name, unsubscribing the name returns it, or says that it is gone', () => {
    const stream = worldOf().delta();
    stream.ack(stream.send(CDS, { sub: ['*', 'a', 'none'] })[0]);
    expect(brief(stream.send(CDS, { unsub: ['a'] }))).toEqual([[CDS, ['a'], []]]);
    expect(brief(stream.send(CDS, { unsub: ['none'] }))).toEqual([[CDS, [], ['none']]]);
  });

  it('rule 38: the wildcard is `*` or a silent first request, and ends by unsubscribing `*` alone', () => {
    const world = worldOf();
    const silent = world.delta();
    const [all] = silent.send(CDS);
    expect(all?.names).toEqual(['a', 'b']);
    silent.ack(all);
    // A name beside the wildcard does not narrow it.
    silent.ack(silent.send(CDS, { sub: ['a'] })[0]);
    world.cut({ ...shop, [CDS]: { a: '1', b: '2' } });
    const [b] = silent.follow().take();
    expect(b?.names).toEqual(['b']);
    silent.ack(b);
    expect(silent.send(CDS, { unsub: ['*'] })).toEqual([]);
    world.cut({ ...shop, [CDS]: { a: '2', b: '3' } });
    expect(brief(silent.follow().take())).toEqual([[CDS, ['a'], []]]);
    const named = world.delta();
    named.ack(named.send(CDS, { sub: ['a'] })[0]);
    expect(named.send(CDS)).toEqual([]);
    expect(brief(named.send(CDS, { sub: ['*'] }))).toEqual([[CDS, ['a', 'b'], []]]);
  });

  it('rule 39: a missing name is said to be removed at once, and sent when it appears', () => {
    const world = worldOf();
    const stream = world.delta();
    const [seen] = stream.send(RDS, { sub: ['r', 'later'] });
    expect(brief([seen!])).toEqual([[RDS, ['r'], ['later']]]);
    stream.ack(seen);
    world.cut({ ...shop, [RDS]: { ...shop[RDS], later: '1' } });
    expect(brief(stream.follow().take())).toEqual([[RDS, ['later'], []]]);
  });

  it('rule 40: only what changed is sent, and deletions are named', () => {
    const world = worldOf({ [LDS]: { l: '1', m: '1', n: '1' } });
    const stream = world.delta();
    stream.ack(stream.send(LDS)[0]);
    world.cut({ [LDS]: { l: '1', m: '2' } });
    expect(brief(stream.follow().take())).toEqual([[LDS, ['m'], ['n']]]);
  });

  it('rule 41: on a reconnect equal versions cost no bytes, others are sent', () => {
    const world = worldOf();
    const back = world.delta();
    expect(back.send(CDS, { initial: { a: '1', b: '1' } })).toEqual([]);
    expect(brief(back.send(LDS, { initial: { l: '0' } }))).toEqual([[LDS, ['l'], []]]);
    expect(brief(back.send(RDS, { sub: ['r', 'q'], initial: { r: '1' } }))).toEqual([
      [RDS, ['q'], []],
    ]);
    // Later ones are not looked at.
    expect(back.send(CDS, { initial: { a: '0' } })).toEqual([]);
  });

  it('rule 42: on a reconnect, what the client holds and is gone is removed (istio#41494)', () => {
    const world = worldOf({ ...shop, [RDS]: { r: '1' } });
    const back = world.delta();
    const seen = [
      ...back.send(CDS, { initial: { a: '1', b: '1', gone: '1' } }),
      ...back.send(LDS, { initial: { l: '1', gone: '1' } }),
      ...back.send(RDS, { sub: ['r', 'gone'], initial: { r: '1', gone: '1' } }),
    ];
    const all = [...seen];
    for (let next = seen; next.length > 0;) {
      next = next.flatMap((one) => back.ack(one));
      all.push(...next);
    }
    const removed = new Set(all.flatMap((one) => one.removed.map((name) => `${one.type} ${name}`)));
    expect(removed.has(`${CDS} gone`)).toBe(true);
    expect(removed.has(`${RDS} gone`)).toBe(true);
    expect(all.flatMap((one) => one.names)).toEqual([]);
  });

  it('rule 42: removals after a reconnect wait for routes to be asked for, and not for long', () => {
    const world = worldOf();
    const back = world.delta();
    expect(back.send(CDS, { initial: { a: '1', b: '1', gone: '1' } })).toEqual([]);
    expect(back.session.wakeAtMs).toBe(500);
    world.nowMs = 500;
    expect(brief(back.take())).toEqual([[CDS, [], ['gone']]]);
  });

  it('rule 43: a resource has a version of its own', () => {
    const [seen] = worldOf({ [CDS]: { a: 'v1', b: 'v2' } })
      .delta()
      .send(CDS);
    expect(seen?.versions).toEqual({ a: 'v1', b: 'v2' });
  });

  it('rule 53: `*` subscribed and unsubscribed at once is nothing: an empty answer, and the stream stays', () => {
    const world = worldOf({ 'type.googleapis.com/istio.workload.Address': { x: '1' } });
    const typeUrl = 'type.googleapis.com/istio.workload.Address';
    const stream = world.delta();
    const [seen] = stream.send(typeUrl, { sub: ['*'], unsub: ['*'] });
    expect(brief([seen!])).toEqual([[typeUrl, [], []]]);
    expect(stream.ack(seen)).toEqual([]);
    expect(brief(stream.send(typeUrl, { sub: ['x'] }))).toEqual([[typeUrl, ['x'], []]]);
  });
});
