import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { digestOf } from '../src/digest.ts';
import type { Blob, BlobStore } from '../src/port.ts';

function blobOf(text: string): Blob {
  const bytes = new TextEncoder().encode(text);
  return { digest: digestOf(bytes), bytes };
}

/** What every blob store must do. @param open gives a store that is empty */
export function describeBlobStore(name: string, open: () => Promise<BlobStore>): void {
  describe(`${name} as a blob store`, () => {
    let store: BlobStore;
    beforeEach(async () => {
      store = await open();
    });
    afterEach(() => store.close());

    test('what was put is there, in the order in which it is asked for', async () => {
      const [a, b] = [blobOf('a'), blobOf('b')];
      await store.put([a, b]);
      const [gotB, missing, gotA] = await store.get([b.digest, digestOf('c'), a.digest]);
      expect([...(gotB ?? [])]).toEqual([...b.bytes]);
      expect(missing).toBeUndefined();
      expect([...(gotA ?? [])]).toEqual([...a.bytes]);
    });

    test('putting the same again changes nothing', async () => {
      const blob = blobOf('same');
      await store.put([blob, blob]);
      await store.put([blob]);
      expect((await store.get([blob.digest]))[0]).toHaveLength(4);
    });

    test('an empty blob is a blob', async () => {
      const blob = blobOf('');
      await store.put([blob]);
      expect((await store.get([blob.digest]))[0]).toHaveLength(0);
    });

    test('a big blob comes back whole', async () => {
      const bytes = new Uint8Array(3_000_000).map((_, i) => i % 251);
      const blob = { digest: digestOf(bytes), bytes };
      await store.put([blob]);
      expect(digestOf((await store.get([blob.digest]))[0] ?? '')).toBe(blob.digest);
    });

    test('retaining keeps what is named; where there is one owner the rest is dropped', async () => {
      const blobs = Array.from({ length: 1_200 }, (_, i) => blobOf(`blob ${i}`));
      await store.put(blobs);
      const live = blobs.filter((_, i) => i % 3 === 0).map(({ digest }) => digest);
      await store.retain(new Set(live));
      const found = await store.get(blobs.map(({ digest }) => digest));
      expect(found.map((bytes) => bytes !== undefined)).toEqual(
        blobs.map((_, i) => store.shared || i % 3 === 0),
      );
    });

    test('what is put while the rest is being dropped stays', async () => {
      const blobs = Array.from({ length: 1_200 }, (_, i) => blobOf(`blob ${i}`));
      await store.put(blobs);
      const dropping = store.retain(new Set());
      const [first] = blobs;
      if (first === undefined) throw new Error('no blobs');
      await store.put([first, blobOf('new')]);
      await dropping;
      const found = await store.get([first.digest, digestOf('new')]);
      expect(found.every((bytes) => bytes !== undefined)).toBe(true);
    });
  });
}
