import {
  DeltaDiscoveryRequest,
  DiscoveryRequest,
} from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KnownSets } from '../../src/session/known-sets.ts';
import { RequestDecoder } from '../../src/session/request-codec.ts';
import { SetDigest, type DigestKey } from '../../src/session/set-digest.ts';
import { hashName } from '../../src/view/trie.ts';
import { WireError } from '../../src/wire.ts';
import { CDS, EDS } from './support.ts';

const key: DigestKey = [0x0f1e2d3c4b5a6978n, 0x123456789abcdefn];

const name = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.constantFrom('a', '__proto__', '*'),
);
const names = fc.array(name, { maxLength: 30 });
const error = fc.option(fc.record({ code: fc.nat(16), message: fc.string({ maxLength: 30 }) }), {
  nil: undefined,
});
const node = fc.option(fc.constant({ id: 'n', cluster: 'c' }), { nil: undefined });
const locators = fc.array(
  name.map((n) => ({ name: n, dynamicParameters: { k: 'v' } })),
  { maxLength: 2 },
);

describe('requests', () => {
  it('of state of the world decode as the generated codec decodes them', () => {
    fc.assert(
      fc.property(
        fc.record({
          versionInfo: name,
          node,
          resourceNames: names,
          resourceLocators: locators,
          typeUrl: fc.constantFrom('', CDS),
          responseNonce: name,
          errorDetail: error,
        }),
        (message) => {
          const bytes = DiscoveryRequest.encode(DiscoveryRequest.fromPartial(message)).finish();
          const request = new RequestDecoder(key).sotw(bytes);
          const all = [...message.resourceNames, ...message.resourceLocators.map((l) => l.name)];
          // Locators are encoded behind the type, so their order among the names is lost.
          expect([...request.names.names].sort()).toEqual(all.sort());
          expect(request).toMatchObject({
            versionInfo: message.versionInfo,
            typeUrl: message.typeUrl,
            nonce: message.responseNonce,
          });
          expect(request.error).toEqual(message.errorDetail);
          expect(request.node === undefined).toBe(message.node === undefined);
        },
      ),
    );
  });

  it('of delta decode as the generated codec decodes them', () => {
    fc.assert(
      fc.property(
        fc.record({
          node,
          typeUrl: fc.constantFrom('', EDS),
          resourceNamesSubscribe: names,
          resourceNamesUnsubscribe: names,
          resourceLocatorsSubscribe: locators,
          resourceLocatorsUnsubscribe: locators,
          // The generated codec loses that one key.
          initialResourceVersions: fc.dictionary(
            name.filter((n) => n !== '__proto__'),
            name,
            { maxKeys: 20 },
          ),
          responseNonce: name,
          errorDetail: error,
        }),
        (message) => {
          const bytes = DeltaDiscoveryRequest.encode(
            DeltaDiscoveryRequest.fromPartial(message),
          ).finish();
          const expected = DeltaDiscoveryRequest.decode(bytes);
          const request = new RequestDecoder(key).delta(bytes);
          const locate = (list: readonly { name: string }[]): string[] => list.map((l) => l.name);
          // A set that came before is the same object, in the order in which it came then.
          expect([...request.subscribe.names].sort()).toEqual(
            [
              ...expected.resourceNamesSubscribe,
              ...locate(expected.resourceLocatorsSubscribe),
            ].sort(),
          );
          expect([...request.unsubscribe.names].sort()).toEqual(
            [
              ...expected.resourceNamesUnsubscribe,
              ...locate(expected.resourceLocatorsUnsubscribe),
            ].sort(),
          );
          const versions = new Map(request.initial?.entries.map((e) => [e.name, e.version]));
          expect(versions).toEqual(new Map(Object.entries(message.initialResourceVersions)));
          expect(request).toMatchObject({ typeUrl: message.typeUrl, nonce: message.responseNonce });
          expect(request.error).toEqual(message.errorDetail);
        },
      ),
    );
  });

  it('that are no messages are refused, whatever they are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        const decoder = new RequestDecoder(key);
        for (const decode of [() => decoder.sotw(bytes), () => decoder.delta(bytes)]) {
          try {
            decode();
          } catch (thrown) {
            expect(thrown).toBeInstanceOf(WireError);
          }
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('requests that come again', () => {
  const delta = (partial: Parameters<typeof DeltaDiscoveryRequest.fromPartial>[0]): Uint8Array =>
    DeltaDiscoveryRequest.encode(DeltaDiscoveryRequest.fromPartial(partial)).finish();
  const sotw = (partial: Parameters<typeof DiscoveryRequest.fromPartial>[0]): Uint8Array =>
    DiscoveryRequest.encode(DiscoveryRequest.fromPartial(partial)).finish();

  it('of any stream, byte for byte, are not decoded again: the ACKs of a fan-out are one', () => {
    const decoder = new RequestDecoder(key);
    const ack = delta({ typeUrl: EDS, responseNonce: 'n1' });
    const one = decoder.delta(ack);
    // The transport uses its buffer again.
    ack.fill(0);
    for (let i = 0; i < 100; i++) {
      expect(decoder.delta(delta({ typeUrl: EDS, responseNonce: 'n1' }))).toBe(one);
    }
    expect(decoder.delta(delta({ typeUrl: EDS, responseNonce: 'n2' })).nonce).toBe('n2');
    const full = { typeUrl: EDS, responseNonce: 'n1', versionInfo: 'v', resourceNames: ['a'] };
    expect(decoder.sotw(sotw(full))).toBe(decoder.sotw(sotw(full)));
    expect(decoder.sotw(sotw({ ...full, versionInfo: 'w' })).versionInfo).toBe('w');
  });

  it('are decoded each for itself where they name a node', () => {
    const decoder = new RequestDecoder(key);
    const bytes = delta({ typeUrl: EDS, node: { id: 'a' } });
    const first = decoder.delta(bytes);
    expect(decoder.delta(bytes)).not.toBe(first);
  });
});

describe('lists that are known', () => {
  const many = Array.from(
    { length: 1_000 },
    (_, i) => `outbound|80||service-${i}.ns.svc.cluster.local`,
  );
  const ack = (nonce: string, list = many): Uint8Array =>
    DiscoveryRequest.encode(
      DiscoveryRequest.fromPartial({
        versionInfo: `v${nonce}`,
        resourceNames: list,
        typeUrl: EDS,
        responseNonce: nonce,
      }),
    ).finish();

  it('are one object for all streams', () => {
    const decoder = new RequestDecoder(key);
    expect(decoder.sotw(ack('1')).names).toBe(decoder.sotw(ack('2')).names);
    expect(decoder.sotw(ack('1', ['a'])).names).toBe(decoder.sotw(ack('2', ['a'])).names);
    const delta = (nonce: string): Uint8Array =>
      DeltaDiscoveryRequest.encode(
        DeltaDiscoveryRequest.fromPartial({
          typeUrl: EDS,
          resourceNamesSubscribe: many,
          initialResourceVersions: Object.fromEntries(many.map((n) => [n, 'v'])),
          responseNonce: nonce,
        }),
      ).finish();
    const [one, two] = [decoder.delta(delta('')), decoder.delta(delta('n'))];
    expect(one.subscribe).toBe(two.subscribe);
    expect(one.initial).toBe(two.initial);
  });

  it('are found by comparing bytes, and not taken for longer or shorter ones', () => {
    const decoder = new RequestDecoder(key);
    const known = decoder.sotw(ack('1')).names;
    expect(decoder.sotw(ack('2'), [known]).names).toBe(known);
    const longer = decoder.sotw(ack('3', [...many, 'more']), [known]);
    expect([longer.names.length, longer.nonce]).toEqual([1_001, '3']);
    const shorter = decoder.sotw(ack('4', many.slice(1)), [known]);
    expect([shorter.names.length, shorter.nonce]).toEqual([999, '4']);
    const tail = decoder.sotw(ack('5', many.slice(0, -1)), [known]);
    expect([tail.names.length, tail.nonce]).toEqual([999, '5']);
  });

  it('are one object whatever their order, and only if they are equal', () => {
    const some = fc.constantFrom(3, 40);
    fc.assert(
      fc.property(some, fc.nat(39), fc.integer({ min: 1, max: 1_000 }), (count, at, seed) => {
        const decoder = new RequestDecoder(key);
        const pairs = Array.from({ length: count }, (_, i): Pair => [`näme-${i}`, `v${i % 7}`]);
        const encode = (part: Parameters<typeof DeltaDiscoveryRequest.fromPartial>[0]) =>
          DeltaDiscoveryRequest.encode(DeltaDiscoveryRequest.fromPartial(part)).finish();
        // One by one: the generated codec sorts a map.
        const send = (listed: readonly Pair[]) =>
          decoder.delta(
            Buffer.concat([
              encode({ typeUrl: EDS }),
              ...listed.map(([n]) => encode({ resourceNamesSubscribe: [n] })),
              ...listed.map(([n, v]) => encode({ initialResourceVersions: { [n]: v } })),
            ]),
          );
        const first = send(pairs);
        const again = send(pairs.toSorted((a, b) => order(a[0], seed) - order(b[0], seed)));
        expect(again.subscribe).toBe(first.subscribe);
        expect(again.initial).toBe(first.initial);
        const place = at % count;
        const newer = send(pairs.with(place, [pairs[place]?.[0] ?? '', 'newer']));
        expect(newer.subscribe).toBe(first.subscribe);
        expect(newer.initial?.entries[place]?.version).toBe('newer');
        const other = send(pairs.with(place, ['other', 'v']));
        expect(other.subscribe.names[place]).toBe('other');
        const twice = send(pairs.with(place, pairs[(place + 1) % count] ?? ['', '']));
        expect(twice.subscribe.names).toHaveLength(count);
        expect(twice.subscribe).not.toBe(first.subscribe);
      }),
    );
  });

  it('are kept a while without users, and forgotten when there are too many', () => {
    const sets = new KnownSets<{ readonly bytes: number }>(({ bytes }) => bytes, 10);
    const find = (text: string): object => sets.get(text, () => ({ bytes: text.length }));
    const first = find('abcde');
    const second = find('fghij');
    expect(find('abcde')).toBe(first);
    const large = find('more than ten in one set');
    expect(find('more than ten in one set')).toBe(large);
    find('klmno');
    expect([find('abcde'), find('fghij')]).toEqual([first, second]);
  });

  it('with a name of two versions hold no version of it, in either order', () => {
    const decoder = new RequestDecoder(key);
    const send = (pairs: readonly Pair[]) =>
      decoder.delta(
        Buffer.concat(
          pairs.map(([n, v]) =>
            DeltaDiscoveryRequest.encode(
              DeltaDiscoveryRequest.fromPartial({ initialResourceVersions: { [n]: v } }),
            ).finish(),
          ),
        ),
      );
    const pairs: readonly Pair[] = [
      ['a', '1'],
      ['b', '1'],
      ['a', '2'],
    ];
    const one = send(pairs).initial;
    expect(one?.entries.map(({ name: n, version }) => [n, version])).toEqual([
      ['a', ''],
      ['b', '1'],
    ]);
    expect(send(pairs.toReversed()).initial).toBe(one);
  });
});

describe('digests of sets', () => {
  const digest = (members: readonly Uint8Array[], secret = key): string => {
    const set = new SetDigest(secret);
    const spans = members.map((member) => [0, ...member]);
    set.begin(Buffer.from(spans.flat()));
    let at = 0;
    for (const member of members) {
      set.add(at + 1, at + 1 + member.length);
      at += 1 + member.length;
    }
    return set.text;
  };

  it('are equal exactly where the members are, whatever their order', () => {
    const member = fc.uint8Array({ maxLength: 12 });
    fc.assert(
      fc.property(
        fc.array(member, { maxLength: 8 }),
        fc.array(member, { maxLength: 8 }),
        (a, b) => {
          const sorted = (members: readonly Uint8Array[]): string =>
            JSON.stringify(members.map((bytes) => Buffer.from(bytes).toString('hex')).sort());
          expect(digest(a.toReversed())).toBe(digest(a));
          expect(digest(a) === digest(b)).toBe(sorted(a) === sorted(b));
        },
      ),
    );
  });

  it('tell apart what was moved from one member to another', () => {
    const [a, b, c, d] = ['name1=1', 'name2=2', 'name1=2', 'name2=1'].map((text) =>
      Buffer.from(text),
    );
    if (a === undefined || b === undefined || c === undefined || d === undefined) return;
    expect(digest([a, b])).not.toBe(digest([c, d]));
    expect(digest([Buffer.from('ab'), Buffer.from('c')])).not.toBe(
      digest([Buffer.from('a'), Buffer.from('bc')]),
    );
    expect(digest([Buffer.from('\0')])).not.toBe(digest([Buffer.from('')]));
    expect(digest([a, a])).not.toBe(digest([]));
  });

  it('differ from key to key', () => {
    const members = [Buffer.from('a'), Buffer.from('b')];
    expect(digest(members, [1n, 2n])).not.toBe(digest(members, [1n, 3n]));
  });
});

type Pair = readonly [name: string, version: string];

function order(name: string, seed: number): number {
  return (hashName(name) * seed) % 1_009;
}
