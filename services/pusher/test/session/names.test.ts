import fc from 'fast-check';
import { DeltaDiscoveryRequest } from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import { describe, expect, it } from 'vitest';
import { canonicalName, parseXdstp } from '../../src/resource-name.ts';
import { RequestDecoder } from '../../src/session/request-codec.ts';
import { CDS, EDS, LDS, World } from './support.ts';

const type = 'envoy.config.endpoint.v3.ClusterLoadAssignment';

describe('a name of the scheme xdstp', () => {
  it.each([
    ['xdstp://a/T/x?b=2&a=1', 'xdstp://a/T/x?a=1&b=2'],
    ['xdstp://a/T/x?%61=1', 'xdstp://a/T/x?a=1'],
    ['xdstp://a/T/x/y%2Fz#entry=1', 'xdstp://a/T/x/y%2Fz'],
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
      params: [
        ['env', 'prod'],
        ['zone', 'z1'],
      ],
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
    const { subscribe } = new RequestDecoder([1, 2]).delta(asked);
    const [seen] = world.delta().send(EDS, { sub: subscribe.names });
    expect(seen?.names).toEqual([name]);
    expect(seen?.removed).toEqual([`xdstp://a/${type}/x?a=1&b=3`]);
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
