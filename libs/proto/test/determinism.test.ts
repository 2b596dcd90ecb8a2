import type { BinaryWriter } from '@bufbuild/protobuf/wire';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { typeUrls } from '@watershed/proto/any.ts';
import { registry } from '@watershed/proto/registry.ts';
import { Cluster } from '@watershed/proto/envoy/config/cluster/v3/cluster.ts';
import { Metadata, Node } from '@watershed/proto/envoy/config/core/v3/base.ts';
import { VirtualHost } from '@watershed/proto/envoy/config/route/v3/route_components.ts';
import { Struct } from '@watershed/proto/google/protobuf/struct.ts';
import { DeltaDiscoveryRequest } from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import { DestinationRule } from '@watershed/proto/istio/networking/v1alpha3/destination_rule.ts';
import { ServiceEntry } from '@watershed/proto/istio/networking/v1alpha3/service_entry.ts';
import { postprocess } from '../scripts/postprocess.ts';

const key = fc.oneof(
  // Keys that JavaScript would enumerate first, by number, whatever the order of insertion.
  fc.nat(20).map(String),
  fc.string({ maxLength: 4 }),
  fc.string({ maxLength: 3, unit: 'binary' }),
);
const plain = key.filter((name) => name !== '__proto__');

function map<T>(value: fc.Arbitrary<T>): fc.Arbitrary<Record<string, T>> {
  return fc.dictionary(plain, value, { maxKeys: 6, noNullPrototype: true });
}

const labels = map(fc.string({ maxLength: 4 }));
const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.string({ maxLength: 4 }),
    fc.double({ noNaN: true }),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 3 }),
    map(tie('value')),
  ),
})).value;
const struct = map(json);
const any = fc.record({ typeUrl: fc.string(), value: fc.uint8Array({ maxLength: 4 }) });

/** The same value, with the entries of each plain object at each depth in another order. */
function shuffled(value: unknown, random: (bound: number) => number): unknown {
  if (Array.isArray(value)) return value.map((element: unknown) => shuffled(element, random));
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  const entries = Object.entries(value).map(([name, inner]: [string, unknown]) => [
    name,
    shuffled(inner, random),
  ]);
  for (let i = entries.length - 1; i > 0; i--) {
    const j = random(i + 1);
    [entries[i], entries[j]] = [entries[j]!, entries[i]!];
  }
  return Object.fromEntries(entries);
}

function encodes<T>(encode: (message: T) => BinaryWriter, message: fc.Arbitrary<T>): () => void {
  const property = fc.property(message, fc.infiniteStream(fc.nat()), (value, numbers) => {
    const random = (bound: number): number => numbers.next().value! % bound;
    const bytes = encode(value).finish();
    expect(encode(shuffled(value, random) as T).finish()).toEqual(bytes);
  });
  return () => fc.assert(property, { numRuns: 200 });
}

const cases: Record<string, () => void> = {
  Struct: encodes((fields) => Struct.encode(Struct.wrap(fields)), struct),
  'Node with metadata': encodes(
    (metadata) => Node.encode(Node.fromPartial({ id: 'n', metadata })),
    struct,
  ),
  'Metadata (maps of Struct and of Any)': encodes(
    (value) => Metadata.encode(Metadata.fromPartial(value)),
    fc.record({ filterMetadata: map(struct), typedFilterMetadata: map(any) }),
  ),
  'Cluster with options and metadata': encodes(
    (value) => Cluster.encode(Cluster.fromPartial(value)),
    fc.record({
      name: fc.string(),
      typedExtensionProtocolOptions: map(any),
      metadata: fc.record({ filterMetadata: map(struct) }),
    }),
  ),
  'VirtualHost with per-filter configuration': encodes(
    (value) => VirtualHost.encode(VirtualHost.fromPartial(value)),
    fc.record({
      name: fc.string(),
      typedPerFilterConfig: map(any),
      routes: fc.array(fc.record({ typedPerFilterConfig: map(any) }), { maxLength: 2 }),
    }),
  ),
  'DeltaDiscoveryRequest with versions': encodes(
    (value) => DeltaDiscoveryRequest.encode(DeltaDiscoveryRequest.fromPartial(value)),
    fc.record({ initialResourceVersions: labels }),
  ),
  'DestinationRule with labels': encodes(
    (value) => DestinationRule.encode(DestinationRule.fromPartial(value)),
    fc.record({
      workloadSelector: fc.record({ matchLabels: labels }),
      subsets: fc.array(fc.record({ labels }), { maxLength: 3 }),
    }),
  ),
  'ServiceEntry with labels and ports': encodes(
    (value) => ServiceEntry.encode(ServiceEntry.fromPartial(value)),
    fc.record({
      endpoints: fc.array(fc.record({ labels, ports: map(fc.nat()) }), { maxLength: 3 }),
    }),
  ),
};

for (const [name, check] of Object.entries(cases)) {
  test(`equal messages have equal bytes, whatever the order of insertion: ${name}`, check);
}

test('bytes stay the same when they are decoded and encoded again', () => {
  fc.assert(
    fc.property(struct, map(any), (metadata, typedExtensionProtocolOptions) => {
      const codec = registry.get(typeUrls.cluster)!;
      const cluster = Cluster.fromPartial({
        typedExtensionProtocolOptions,
        metadata: { filterMetadata: { a: metadata } },
      });
      const bytes = codec.encode(cluster).finish();
      expect(codec.encode(codec.decode(bytes)).finish()).toEqual(bytes);
    }),
    { numRuns: 200 },
  );
});

const generated = (line: string): string => `${line} {
      A_MEntry.encode({ key: key as any, value }, writer.uint32(10).fork()).join();
    });
`;

test('a map that the post-process cannot rewrite stops the generation', () => {
  const usual =
    '    globalThis.Object.entries(message.m).forEach(([key, value]: [string, string]) =>';
  expect(postprocess('a.ts', generated(usual))).toContain('    sortedEntries(message.m).forEach(');
  const unusual = '    new Map(message.m).forEach(([key, value]: [string, string]) =>';
  expect(() => postprocess('a.ts', generated(unusual))).toThrow(
    'a.ts: 1 maps are encoded, 0 of them could be sorted',
  );
});
