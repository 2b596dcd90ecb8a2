import { describe, expect, it } from 'vitest';
import { CDS, RDS, World } from './support.ts';

/** A stream that was sent two changed route tables, named by port as Istio's are, and refuses them. */
function refusing(message: string) {
  const world = new World();
  world.cut({ [RDS]: { '80': '1', '8080': '1' } });
  const stream = world.delta();
  stream.ack(stream.send(RDS, { sub: ['80', '8080'] })[0]);
  world.cut({ [RDS]: { '80': '2', '8080': '2' } });
  const again = stream.nack(stream.follow().take()[0], message);
  const [nack] = stream.nacks;
  return { world, stream, again, nack, blamed: nack?.culprits.map((one) => one.name).sort() };
}

describe('names that are numbers', () => {
  it('a table whose port is in what the message says of another is sent again', () => {
    const { world, stream, again, nack, blamed } = refusing(
      'Only unique values for domains are permitted. Duplicate entry of domain two:80 in route 8080',
    );
    expect(blamed).toEqual(['8080']);
    expect(nack?.sure).toBe(true);
    expect(again.map((one) => one.versions)).toEqual([{ '80': '2' }]);
    expect(stream.ack(again[0])).toEqual([]);
    world.nowMs += 600_000;
    expect(stream.take()).toEqual([]);
  });

  it.each([
    'Duplicate entry of domain two:80',
    'timeout of 80 ms',
    'status 8080, port 80',
    'route: unknown cluster 80',
    'virtual_hosts[80].domains: value is required',
    'Unexpected RDS configuration (expecting 80): 8080',
    `it's "two:80" and '8080`,
  ])('%s: names nothing, so what is bad is narrowed down', (message) => {
    const { world, stream, again, nack, blamed } = refusing(message);
    expect(blamed).toEqual([]);
    expect(nack?.sure).toBe(false);
    expect(again).toEqual([]);
    world.nowMs += 5_000;
    expect(stream.take().flatMap((one) => one.names)).toHaveLength(1);
  });

  it.each([
    ['Only a single wildcard domain is permitted in route 80', ['80']],
    ["RDS response RouteConfiguration '80' validation error: two:8080", ['80']],
    [String.raw`rejected: \"8080\": port 80`, ['8080']],
    ['Route configuration 80: bad', ['80']],
    ['route_config 8080', ['8080']],
    ['Error adding/updating listener(s) 80: 8080 is taken', ['80']],
    ['[resource index 0: 80: bad; resource index 1: 8080: bad]', ['80', '8080']],
    ['resource 80', ['80']],
    ['name: 8080', ['8080']],
  ])('%s: names %j', (message, names) => {
    expect(refusing(message).blamed).toEqual(names);
  });
});

/** A client comes back with a version that is not known, to what it refuses for some of it. */
function resumed(before: Record<string, string>, now: Record<string, string>) {
  const world = new World();
  world.cut({ [CDS]: before });
  world.cut({ [CDS]: now });
  const stream = world.sotw();
  return { world, stream, whole: stream.send(CDS, [], { versionInfo: 'of another pusher' })[0] };
}

describe('a set of which it is not known what of it the client has', () => {
  it('is not sent again and again for what is to be taken from it', () => {
    const bad = { a: 'bad', b: 'bad' };
    const { world, stream, whole } = resumed({ ...bad, gone: '1' }, bad);
    let sent = 1;
    for (let seen = whole; seen !== undefined && sent < 100; sent++) {
      [seen] = stream.nack(seen);
      if (seen === undefined) world.nowMs += 5_000;
      seen ??= stream.take()[0];
    }
    expect(sent).toBeLessThan(50);
  });

  it('is not refused for the one of it that is new, for all that is known', () => {
    const { world, stream, whole } = resumed({ bad: '1' }, { bad: '1' });
    stream.nack(whole);
    world.cut({ [CDS]: { bad: '1', new: '1' } });
    const [more] = stream.follow().take();
    expect(more?.names.toSorted()).toEqual(['bad', 'new']);
    stream.nack(more);
    expect(stream.nacks.map(({ sure }) => sure)).toEqual([true, false]);
  });

  it('nor for the one of it that is new beside what was refused before it', () => {
    const world = new World();
    const stream = world.sotw();
    world.cut({ [CDS]: { bad: '1', a: '1', b: '1' } });
    stream.ack(stream.follow().send(CDS, [])[0]);
    world.cut({ [CDS]: { bad: '2', a: '2', b: '1' } });
    const [first] = stream.follow().take();
    // It is waited for no longer.
    world.nowMs += 20_000;
    world.cut({ [CDS]: { bad: '2', a: '2', b: '2' } });
    const [second] = stream.follow().take();
    expect(second?.frame.plan.changed.map(({ name }) => name)).toEqual(['b']);
    stream.nack(first);
    stream.nack(second);
    expect(stream.nacks.map(({ sure }) => sure)).toEqual([false, false]);
  });

  it('is not kept as it was for a client that names a few of it, which stay as they are', () => {
    const world = new World();
    world.cut({ [CDS]: { a: '1', b: '1', other: '1' } });
    const stream = world.sotw();
    stream.ack(stream.send(CDS, ['a', 'b'])[0], ['a', 'b']);
    world.cut({ [CDS]: { a: '1', b: '1', other: '2' } });
    expect(stream.follow().take()).toEqual([]);
    expect(stream.session.types()[0]?.taken).toBe(world.view?.types.get(CDS));
    world.cut({ [CDS]: { a: '2', b: '1', other: '2' } });
    stream.nack(stream.follow().take()[0], ['a', 'b']);
    expect(stream.nacks.map(({ sure }) => sure)).toEqual([true]);
  });
});
