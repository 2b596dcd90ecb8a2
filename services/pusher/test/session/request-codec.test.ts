import {
  DeltaDiscoveryRequest,
  DiscoveryRequest,
} from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KnownSets } from '../../src/session/known-sets.ts';
import { RequestDecoder } from '../../src/session/request-codec.ts';
import { hashName } from '../../src/view/trie.ts';
import { WireError } from '../../src/wire.ts';
import { CDS, EDS } from './support.ts';

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
          const request = new RequestDecoder().sotw(bytes);
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
          const request = new RequestDecoder().delta(bytes);
          const locate = (list: readonly { name: string }[]): string[] => list.map((l) => l.name);
          expect(request.subscribe.names).toEqual([
            ...expected.resourceNamesSubscribe,
            ...locate(expected.resourceLocatorsSubscribe),
          ]);
          expect(request.unsubscribe.names).toEqual([
            ...expected.resourceNamesUnsubscribe,
            ...locate(expected.resourceLocatorsUnsubscribe),
          ]);
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
        const decoder = new RequestDecoder();
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
    const decoder = new RequestDecoder();
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
    const decoder = new RequestDecoder();
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
        const decoder = new RequestDecoder();
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

  it('are forgotten when there are too many', () => {
    const sets = new KnownSets<object>({ few: 2, maxMembers: 10 });
    const find = (text: string): object => {
      const names = Array.from(text, (_, at) => [at, at + 1]).flat();
      return sets.get('', Buffer.from(text), { names, values: [] }, () => ({}));
    };
    const first = find('abcde');
    expect(find('edcba')).toBe(first);
    const second = find('fghij');
    expect(find('abcde')).toBe(first);
    find('klmno');
    expect(find('abcde')).toBe(first);
    expect(find('fghij')).not.toBe(second);
  });
});

type Pair = readonly [name: string, version: string];

function order(name: string, seed: number): number {
  return (hashName(name) * seed) % 1_009;
}
