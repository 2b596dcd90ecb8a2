import { describe, expect, it } from 'vitest';
import { XdsRecord, type SharedResource } from '@watershed/model/gen/record.ts';
import { xdsKeys } from '@watershed/model/keys.ts';
import { SharedEntry } from '../../src/view/shared-entry.ts';
import { CDS, EDS } from '../session/support.ts';

const key = xdsKeys.resource(EDS, 'a', '');

function resource(more: Partial<SharedResource> = {}): SharedResource {
  return {
    typeUrl: EDS,
    name: 'a',
    variant: '',
    version: Buffer.alloc(16, 1),
    fragments: [Buffer.alloc(16, 2), Buffer.alloc(16, 3)],
    size: 300,
    refs: [],
    aliases: [],
    groups: [],
    inlined: [Buffer.alloc(100, 4), Buffer.alloc(200, 5)],
    ...more,
  };
}

function recordOf(value: SharedResource, epoch = 0): Uint8Array {
  return XdsRecord.encode({ record: { $case: 'resource', value }, epoch }).finish();
}

function all(entry: SharedEntry | undefined): unknown {
  const hex = (parts: readonly Uint8Array[] | undefined): unknown =>
    parts?.map((one) => Buffer.from(one).toString('hex'));
  const { stored, fragments, hash, loaded } = entry ?? {};
  return { ...stored, inlined: hex(stored?.inlined), fragments: hex(fragments), hash, loaded };
}

describe('what comes after an entry under its key', () => {
  const before = SharedEntry.of(resource(), key);

  it('is the same as its record decoded, where that is another version with its bytes', () => {
    for (const more of [
      {},
      { version: Buffer.alloc(16, 9), size: 0 },
      { fragments: [Buffer.alloc(16, 7)], inlined: [Buffer.alloc(0)] },
    ]) {
      const now = resource(more);
      expect(all(before.next(recordOf(now)))).toEqual(all(SharedEntry.of(now, key)));
    }
  });

  it('has its bytes before anybody has asked, and keeps them', () => {
    const next = before.next(recordOf(resource()));
    expect([next?.loaded, next?.withoutBytes() === next]).toEqual([true, true]);
    next?.load([Buffer.alloc(1)]);
    expect(next?.fragments?.map(({ length }) => length)).toEqual([100, 200]);
  });

  it('is decoded where a record tells more, or is none', () => {
    const last = { $case: 'watermark', value: { partition: 0, epoch: 1 } } as const;
    const good = recordOf(resource());
    const others = [
      recordOf(resource({ inlined: [] })),
      recordOf(resource({ fragments: [], inlined: [] })),
      recordOf(resource({ refs: ['b'], typeUrl: CDS })),
      recordOf(resource({ aliases: ['b'] })),
      recordOf(resource({ groups: ['b'] })),
      recordOf(resource(), 7),
      XdsRecord.encode({ record: last, epoch: 0 }).finish(),
      Buffer.concat([good, good]),
      good.subarray(0, 40),
      Buffer.of(),
    ];
    expect(others.map((record) => before.next(record))).toEqual(others.map(() => undefined));
  });
});
