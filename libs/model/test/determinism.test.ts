import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Endpoints, Event } from '@watershed/model/gen/model.ts';
import { ScopeClass } from '@watershed/model/gen/record.ts';

const key = fc
  .oneof(fc.nat(20).map(String), fc.string({ maxLength: 4 }))
  .filter((name) => name !== '__proto__');
const reversible = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<[string, T][]> =>
  fc.uniqueArray(fc.tuple(key, value), { selector: ([name]) => name, maxLength: 6 });
const labels = reversible(fc.string({ maxLength: 4 }));
const ports = reversible(fc.nat(65_535));

function inBothOrders(
  encode: (order: <T>(entries: [string, T][]) => Record<string, T>) => Uint8Array,
) {
  const forwards = encode((entries) => Object.fromEntries(entries));
  expect(encode((entries) => Object.fromEntries(entries.toReversed()))).toEqual(forwards);
  return forwards;
}

test('equal events have equal bytes, whatever the order of their labels and ports', () => {
  fc.assert(
    fc.property(labels, ports, (labelEntries, portEntries) => {
      const bytes = inBothOrders((order) => {
        const endpoint = {
          address: '10.0.0.1',
          labels: order(labelEntries),
          ports: order(portEntries),
        };
        const value = Endpoints.fromPartial({ host: 'a.b', endpoints: [endpoint, endpoint] });
        return Event.encode({ object: { $case: 'endpoints', value } }).finish();
      });
      expect(Event.encode(Event.decode(bytes)).finish()).toEqual(bytes);
    }),
  );
});

test('equal scopes have equal bytes, whatever the order of their labels and ports', () => {
  fc.assert(
    fc.property(labels, ports, (labelEntries, portEntries) => {
      inBothOrders((order) => {
        const scope = { labels: order(labelEntries), podPorts: order(portEntries) };
        return ScopeClass.encode(ScopeClass.fromPartial(scope)).finish();
      });
    }),
  );
});
