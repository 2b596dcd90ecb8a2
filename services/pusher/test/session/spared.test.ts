import { describe, expect, it } from 'vitest';
import type { ScopeQuarantine } from '../../src/session/quarantine.ts';
import { CDS, EDS, World } from './support.ts';

/** The scope's quarantine, of what another stream refuses of a type. */
function quarantineOf(world: World, typeUrl: string): ScopeQuarantine {
  const other = world.delta();
  other.nack(other.send(typeUrl, { sub: ['bad', 'good'] })[0], 'bad: no');
  const refused = other.nacks[0]?.culprits ?? [];
  const versions = refused.map(({ name, version }) => [name, new Set([version])] as const);
  return new Map([[typeUrl, new Map(versions)]]);
}

function worldOf(bad: string): World {
  const world = new World();
  world.cut({ [CDS]: { bad, good: '1' }, [EDS]: { bad, good: '1' } });
  return world;
}

describe('what a stream was spared for others’ sake', () => {
  it('is sent once they no longer refuse it, in a set of the whole as well', () => {
    const world = worldOf('1');
    const [delta, sotw] = [world.delta(), world.sotw()];
    const quarantine = quarantineOf(world, CDS);
    for (const { session } of [delta, sotw]) session.spare(quarantine);
    const [first] = delta.send(CDS);
    const [whole] = sotw.send(CDS, []);
    expect([first?.names, whole?.names]).toEqual([['good'], ['good']]);
    delta.ack(first);
    sotw.ack(whole);
    for (const { session } of [delta, sotw]) session.spare(undefined);
    const [then] = delta.take();
    const [all] = sotw.take();
    expect([then?.names, all?.names.toSorted()]).toEqual([['bad'], ['bad', 'good']]);
    delta.ack(then);
    // What it took is not taken from it again.
    delta.session.spare(quarantine);
    expect(delta.take()).toEqual([]);
  });

  it('is sent where it is one of a few assignments', () => {
    const world = worldOf('1');
    const stream = world.delta();
    stream.session.spare(quarantineOf(world, EDS));
    const [first] = stream.send(EDS, { sub: ['bad', 'good'] });
    expect(first?.names).toEqual(['good']);
    stream.ack(first);
    stream.session.spare(undefined);
    const [then] = stream.take();
    expect(then?.names).toEqual(['bad']);
    expect(stream.ack(then)).toEqual([]);
    world.cut({ [CDS]: { bad: '2', good: '1' }, [EDS]: { bad: '2', good: '1' } });
    expect(
      stream
        .follow()
        .take()
        .map(({ names }) => names),
    ).toEqual([['bad']]);
  });

  it('stays refused where the stream refused it itself', () => {
    const world = worldOf('1');
    const stream = world.delta();
    const [first] = stream.send(CDS);
    const quarantine = quarantineOf(world, CDS);
    stream.nack(first, 'bad: no').forEach((seen) => stream.ack(seen));
    stream.session.spare(quarantine);
    expect(stream.take()).toEqual([]);
    stream.session.spare(undefined);
    expect(stream.take()).toEqual([]);
  });

  it('stays so where the stream refuses late what was before it', () => {
    const world = worldOf('1');
    const stream = world.delta();
    const [first] = stream.send(CDS);
    world.cut({ [CDS]: { bad: '2', good: '1' } });
    const other = world.delta();
    other.nack(other.send(CDS)[0], 'bad: no');
    const version = other.nacks[0]?.culprits[0]?.version ?? '';
    stream.session.spare(new Map([[CDS, new Map([['bad', new Set([version])]])]]));
    stream.follow();
    const said = [...stream.take(), ...stream.nack(first, 'bad: no')];
    expect(said.filter(({ names }) => names.includes('bad'))).toEqual([]);
  });

  it('is not sent to a client that comes back with a version that is not known', () => {
    const world = worldOf('1');
    world.cut({ [CDS]: { bad: '2', good: '2' } });
    const [one, two] = [world.delta(), world.sotw()];
    one.nack(one.send(CDS)[0], 'bad: no');
    const version = one.nacks[0]?.culprits[0]?.version ?? '';
    two.session.spare(new Map([[CDS, new Map([['bad', new Set([version])]])]]));
    const [whole] = two.send(CDS, [], { versionInfo: 'of another pusher' });
    const sent = whole?.frame.plan.entries.map((entry) => `${entry.name} ${entry.version}`);
    expect(sent?.toSorted()).toEqual(['bad 1', 'good 2']);
  });

  it('is taken from what clients that come back may hold once for all of them', () => {
    const world = worldOf('1');
    world.cut({ [CDS]: { bad: '2', good: '2' } });
    const quarantine = quarantineOf(world, CDS);
    world.encoded = [];
    for (let times = 0; times < 3; times++) {
      const stream = world.sotw();
      stream.session.spare(quarantine);
      expect(stream.send(CDS, [], { versionInfo: 'of another pusher' })).toHaveLength(1);
    }
    expect(world.encoded).toHaveLength(1);
  });
});
