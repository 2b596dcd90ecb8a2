import fc from 'fast-check';
import { DeltaDiscoveryRequest } from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import { ClusterLoadAssignment } from '@watershed/proto/envoy/config/endpoint/v3/endpoint.ts';
import { describe, expect, it } from 'vitest';
import { canonicalName, locatorOf, parseXdstp } from '../../src/resource-name.ts';
import { RequestDecoder } from '../../src/session/request-codec.ts';
import { defaultLimits } from '../../src/session/session-options.ts';
import { CDS, EDS, LDS, World } from './support.ts';

const type = 'envoy.config.endpoint.v3.ClusterLoadAssignment';

describe('a name of the scheme xdstp', () => {
  it.each([
    ['xdstp://a/T/x?b=2&a=1', 'xdstp://a/T/x?a=1&b=2'],
    ['xdstp://a/T/x?%61=1', 'xdstp://a/T/x?a=1'],
    ['xdstp://a/T/x?b=1&b-=2&b1=3', 'xdstp://a/T/x?b-=2&b1=3&b=1'],
    ['xdstp://a/T/x/y%2Fz#entry=1', 'xdstp://a/T/x/y/z'],
    ['xdstp://%61%2f/T/x%3A%7C%5b', 'xdstp://a%2F/T/x:|%5B'],
    // What Envoy's own tests make canonical (`xds_resource_test.cc`).
    [
      'xdstp://f%25%2F%3F%23o/T/b%25:%3F%23%5B%5Dar//baz?%25%23%5B%5D%26%3D=bar&foo=%25%23%5B%5D%26%3D',
      'xdstp://f%25%2F%3F%23o/T/b%25:%3F%23%5B%5Dar//baz?%25%23%5B%5D%26%3D=bar&foo=%25%23%5B%5D%26%3D',
    ],
    ['xdstp:///T/x', 'xdstp:///T/x'],
    ['xdstp://a/T/x?a=ü', 'xdstp://a/T/x?a=%C3%BC'],
    ['xdstp://a/T/*?a=1', 'xdstp://a/T/*?a=1'],
  ])('rule 50: %s is %s', (name, canonical) => {
    expect(canonicalName(name)).toBe(canonical);
  });

  it.each(['a', 'xdstp:', 'xdstp://a', 'xdstp://a/T', 'xdstp://a/T/x?a=1&a=2', 'xdstp://a/T/%'])(
    '%s is a name without parts, as it is',
    (name) => {
      expect(parseXdstp(name)).toBeUndefined();
      expect(canonicalName(name)).toBe(name);
    },
  );

  it('has its authority, type, id and parameters', () => {
    expect(parseXdstp('xdstp://auth.test/T/dir/id?zone=z1&env=prod')).toEqual({
      authority: 'auth.test',
      type: 'T',
      id: 'dir/id',
      params: new Map([
        ['zone', 'z1'],
        ['env', 'prod'],
      ]),
    });
  });

  it('in its canonical form stays as it is, and takes time in its length alone', () => {
    fc.assert(
      fc.property(fc.string(), fc.dictionary(fc.string(), fc.string()), (id, params) => {
        const query = new URLSearchParams(params).toString().replaceAll('+', '%20');
        const once = canonicalName(`xdstp://a/T/${encodeURIComponent(id)}?${query}`);
        expect(canonicalName(once)).toBe(once);
      }),
    );
    expect(canonicalName(`xdstp://a/T/x?${'&'.repeat(100_000)}`)).toHaveLength(100_014);
  });

  it('rule 50: parameters belong to the identity, whatever their order in a request', () => {
    const name = `xdstp://a/${type}/x?a=1&b=2`;
    const world = new World();
    world.cut({ [EDS]: { [name]: '1', [`xdstp://a/${type}/x?a=1`]: '2' } });
    const asked = DeltaDiscoveryRequest.encode(
      DeltaDiscoveryRequest.fromPartial({
        typeUrl: EDS,
        resourceNamesSubscribe: [`xdstp://a/${type}/x?b=2&a=1`, `xdstp://a/${type}/x?a=1&b=3`],
      }),
    ).finish();
    const { subscribe } = new RequestDecoder([1n, 2n]).delta(asked);
    const [seen] = world.delta().send(EDS, { sub: subscribe.names });
    expect(seen?.names).toEqual([name]);
    expect(seen?.removed).toEqual([`xdstp://a/${type}/x?a=1&b=3`]);
  });
});

describe('resources under names of the scheme xdstp', () => {
  const of = (message: string, id: string): string => `xdstp://watershed/${message}/${id}`;
  const listener = (id: string): string => of('envoy.config.listener.v3.Listener', id);

  it('rule 50: are those of the scope, named so in the message as well', () => {
    const world = new World();
    world.cut({ [EDS]: { 'outbound|80||a': '1' } });
    const name = of(type, 'outbound|80||a');
    const [seen] = world.delta().send(EDS, { sub: [name, of(type, 'b')] });
    expect(seen?.names).toEqual([name]);
    expect(seen?.removed).toEqual([of(type, 'b')]);
    const message = Buffer.concat([...(seen?.frame.plan.entries[0]?.fragments ?? [])]);
    expect(ClusterLoadAssignment.decode(message).clusterName).toBe(name);
  });

  it('rule 50: are named as Envoy asks for them, which escapes neither colons nor slashes', () => {
    const world = new World();
    world.cut({ [EDS]: { 'unix:///a:80': '1' } });
    const [asked, gone] = [of(type, 'unix:///a:80'), of(type, 'unix:///b:80')];
    const [seen] = world.delta().send(EDS, { sub: [asked, gone] });
    expect([seen?.names, seen?.removed]).toEqual([[asked], [gone]]);
  });

  it('rule 50: of another authority, of another type or with parameters are others', () => {
    const world = new World();
    world.cut({ [EDS]: { a: '1' } });
    const sub = [of(type, 'a?x=1'), `xdstp://other/${type}/a`, listener('a')];
    expect(world.delta().send(EDS, { sub })[0]?.removed.toSorted()).toEqual(sub.toSorted());
  });

  it('rule 50: a collection has all listeners, as they come and go, and none without it', () => {
    const world = new World();
    world.cut({ [LDS]: { a: '1', 'unix://b': '1' } });
    const all = world.delta();
    const [first] = all.send(LDS, { sub: [listener('*')] });
    expect([first?.names, first?.removed]).toEqual([
      [listener('a'), listener('unix:%252F%252Fb')],
      [],
    ]);
    all.ack(first);
    world.cut({ [LDS]: { a: '1', c: '1' } });
    const [next] = all.follow().take();
    expect([next?.names, next?.removed]).toEqual([[listener('c')], [listener('unix:%252F%252Fb')]]);
    const plain = world.delta().send(LDS, {});
    expect(plain[0]?.names).toEqual(['a', 'c']);
  });

  it('rule 50: the wildcard is not about them, beside it each has what it names', () => {
    const world = new World();
    world.cut({ [LDS]: { a: '1', b: '1' } });
    const [seen] = world.delta().send(LDS, { sub: ['*', listener('a')] });
    expect(seen?.names).toEqual(['a', 'b', listener('a')]);
  });

  it('rule 37: unsubscribed beside the wildcard they are gone, as it is not about them', () => {
    const world = new World();
    world.cut({ [LDS]: { a: '1', b: '1' } });
    const stream = world.delta();
    stream.ack(stream.send(LDS)[0]);
    for (const name of [listener('*'), listener('a')]) {
      stream.ack(stream.send(LDS, { sub: [name] })[0]);
      const [seen] = stream.send(LDS, { unsub: [name] });
      expect([seen?.names, seen?.removed]).toEqual([[], [name]]);
      stream.ack(seen);
    }
    world.cut({ [LDS]: { a: '2', b: '1' } });
    expect(stream.follow().take()[0]?.names).toEqual(['a']);
  });

  it('rule 39: an empty collection is said to be so at once; rule 42: after a while away, too', () => {
    const world = new World();
    world.cut({ [LDS]: {} });
    const [seen] = world.delta().send(LDS, { sub: [listener('*')] });
    expect([seen?.names, seen?.removed]).toEqual([[], [listener('*')]]);
    const back = { sub: [listener('*')], initial: { [listener('gone')]: '1' } };
    const [again] = world.delta().send(LDS, back);
    expect(again?.removed).toContain(listener('gone'));
  });

  it('rule 41: of a collection that a client comes back with, it is sent what changed alone', () => {
    const world = new World();
    world.cut({ [LDS]: { a: '1', b: '1' } });
    const first = world.delta();
    const [had] = first.send(LDS, { sub: [listener('*')] });
    first.ack(had);
    const initial = had?.versions ?? {};
    const sub = [listener('*')];
    expect(world.delta().send(LDS, { sub, initial })).toEqual([]);
    world.cut({ [LDS]: { a: '1', b: '2' } });
    const [next] = world.delta().send(LDS, { sub, initial });
    expect([next?.names, next?.removed]).toEqual([[listener('b')], []]);
  });

  it('rule 42: who asks for a collection and does not say what it has is told what has gone of late', () => {
    const world = new World();
    world.cut({ [LDS]: { a: '1', b: '1' } });
    world.cut({ [LDS]: { a: '1' } });
    const stream = world.delta();
    const [seen] = stream.send(LDS, { sub: [listener('*')] });
    expect([seen?.names, seen?.removed]).toEqual([[listener('a')], [listener('b')]]);
    expect(stream.ack(seen)).toEqual([]);
    world.cut({ [LDS]: { a: '1', b: '1' } });
    expect(stream.follow().take()[0]?.names).toEqual([listener('b')]);
  });

  it('rule 50: are there over state of the world, too', () => {
    const world = new World();
    world.cut({ [EDS]: { a: '1', b: '1' } });
    const stream = world.sotw();
    const names = [of(type, 'a'), 'b'];
    const [seen] = stream.send(EDS, names);
    expect(seen?.names.toSorted()).toEqual(['b', of(type, 'a')]);
    expect(stream.ack(seen, names)).toEqual([]);
    world.cut({ [EDS]: { a: '2', b: '1' } });
    expect(stream.follow().take()[0]?.names).toContain(of(type, 'a'));
  });

  it('has one name for each, which is canonical', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (id) => {
        const name = locatorOf(LDS, id);
        expect(canonicalName(name)).toBe(name);
      }),
    );
  });
});

describe('what is not checked', () => {
  const odd = ['', ' ', '/', '__proto__', 'constructor', 'ä'.repeat(200), '*x', 'a\0b', '\u202E'];

  it('rule 51: names that a validation rule might refuse are names', () => {
    const world = new World();
    world.cut({ [EDS]: Object.fromEntries(odd.map((name) => [name, '1'])) });
    expect(world.sotw().send(EDS, odd)[0]?.names.toSorted()).toEqual(odd.toSorted());
    expect(world.delta().send(EDS, { sub: odd })[0]?.names.toSorted()).toEqual(odd.toSorted());
  });
});

describe('polling', () => {
  const shop = { [CDS]: { a: '1' }, [LDS]: { l: '1' } };

  it('rule 52: a poll has no nonce, and is answered only when something changed', () => {
    const world = new World();
    world.cut(shop);
    const poll = (versionInfo: string) =>
      world.sotw({ onlyType: CDS }).send('', [], { versionInfo });
    const [first] = poll('');
    expect(first?.names).toEqual(['a']);
    expect(poll(first?.version ?? '')).toEqual([]);
    world.cut({ ...shop, [CDS]: { a: '2' } });
    const [second] = poll(first?.version ?? '');
    expect(second?.names).toEqual(['a']);
    expect(second?.version).not.toBe(first?.version);
  });

  it('rule 52: there is no aggregated poll: a type must be told', () => {
    const world = new World();
    world.cut(shop);
    expect(() => world.sotw().send('', [])).toThrow('type_url is required');
  });
});

describe('names without an answer', () => {
  const limits = { ...defaultLimits, maxNames: 10 };
  const some = (at: number): string[] => Array.from({ length: 5 }, (_, i) => `n${5 * at + i}`);

  it('are bounded, though they are dropped as fast as they are named', () => {
    // Of a scope that is not known yet nothing is answered.
    const stream = new World().delta({ limits });
    const name = (at: number): unknown => stream.send(EDS, { sub: some(at), unsub: some(at) });
    for (let at = 0; at < 4; at++) name(at);
    expect(() => name(4)).toThrow('resource-exhausted: more than 10 names without an answer');
  });

  it('may be named again and again', () => {
    const world = new World();
    const stream = world.delta({ limits });
    for (let at = 0; at < 20; at++) stream.send(EDS, { sub: some(at % 2) });
    world.cut({ [EDS]: { n0: '1' } });
    const [seen] = stream.follow().take();
    expect([seen?.names, seen?.removed.length]).toEqual([['n0'], 9]);
  });
});
