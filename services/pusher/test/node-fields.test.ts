import { Node } from '@watershed/proto/envoy/config/core/v3/base.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nodeFields } from '../src/node-fields.ts';
import { WireError } from '../src/wire.ts';

const keys = new Set(['LABELS', 'NAMESPACE', '__proto__']);

const text = fc.string({ unit: 'grapheme', maxLength: 12 });
const json = fc.jsonValue({ maxDepth: 3 });
const version = fc.oneof(
  fc.constant(undefined),
  text.map((value) => ({ $case: 'userAgentVersion' as const, value })),
  fc.tuple(fc.nat(), fc.nat(), fc.nat()).map(([majorNumber, minorNumber, patch]) => ({
    $case: 'userAgentBuildVersion' as const,
    value: { version: { majorNumber, minorNumber, patch }, metadata: { ssl: 'BoringSSL' } },
  })),
);
const nodes = fc.record({
  id: text,
  cluster: text,
  metadata: fc.dictionary(fc.oneof(fc.constantFrom('LABELS', 'NAMESPACE'), text), json),
  locality: fc.option(fc.record({ region: text, zone: text, subZone: text }), { nil: undefined }),
  userAgentName: text,
  userAgentVersionType: version,
  extensions: fc.array(fc.record({ name: text, category: text, typeUrls: fc.array(text) })),
  clientFeatures: fc.array(text),
});

describe('of a node', () => {
  it('is read what a decoder of all of it reads', () => {
    fc.assert(
      fc.property(nodes, (partial) => {
        const bytes = Node.encode(Node.fromPartial(partial)).finish();
        const all = Node.decode(bytes);
        const read = nodeFields(bytes, keys);
        const { id, locality, userAgentName: agent, clientFeatures } = all;
        expect(read).toMatchObject({ id, locality, agent, clientFeatures });
        const metadata = Object.entries(all.metadata ?? {}).filter(([key]) => keys.has(key));
        expect(read.metadata).toEqual(new Map(metadata));
        const said = all.userAgentVersionType;
        const numbers = said?.$case === 'userAgentBuildVersion' ? said.value.version : undefined;
        const { majorNumber, minorNumber, patch } = numbers ?? {};
        expect(read.version).toBe(
          said?.$case === 'userAgentVersion'
            ? said.value
            : numbers === undefined
              ? ''
              : `${majorNumber}.${minorNumber}.${patch}`,
        );
      }),
    );
  });

  it('what is not asked for is stepped over, whatever is in it', () => {
    const asked = Node.encode(Node.fromPartial({ id: 'a', metadata: { LABELS: { b: 'c' } } }));
    const noExtension = Buffer.of(0x4a, 2, 0xff, 0xff);
    const read = nodeFields(Buffer.concat([noExtension, asked.finish(), noExtension]), keys);
    expect(read.id).toBe('a');
    expect([...read.metadata]).toEqual([['LABELS', { b: 'c' }]]);
  });

  it('bytes that are no message are refused', () => {
    expect(() => nodeFields(Buffer.of(0x4a, 9, 0), keys)).toThrow(WireError);
  });
});
