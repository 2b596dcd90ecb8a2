import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { digestOf } from '../src/digest.ts';
import { openDiskBlobs } from '../src/disk.ts';
import { MemoryBlobs, memoryBlobs } from '../src/memory.ts';
import { describeBlobStore } from './conformance.ts';

const dirs: string[] = [];

function newDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'watershed-blobs-'));
  dirs.push(dir);
  return dir;
}

afterAll(() => {
  for (const dir of dirs) rmSync(dir, { recursive: true, force: true });
});

describeBlobStore('memory', () => Promise.resolve(memoryBlobs()));
describeBlobStore('disk', () => openDiskBlobs({ dir: newDir() }));
describeBlobStore('disk without memory', () => openDiskBlobs({ dir: newDir(), maxMemoryBytes: 0 }));

test('the memory store drops what was used least recently when it is full', async () => {
  const store = new MemoryBlobs(10);
  const blob = (text: string) => ({
    digest: digestOf(text),
    bytes: new TextEncoder().encode(text),
  });
  await store.put([blob('aaaa'), blob('bbbb')]);
  await store.get([digestOf('aaaa')]);
  await store.put([blob('cccc')]);
  const found = await store.get(['aaaa', 'bbbb', 'cccc'].map((text) => digestOf(text)));
  expect(found.map((bytes) => bytes !== undefined)).toEqual([true, false, true]);
  expect(store.bytes).toBe(8);
});

test('blobs on disk are there after a restart', async () => {
  const dir = newDir();
  const bytes = new TextEncoder().encode('kept');
  const first = await openDiskBlobs({ dir });
  await first.put([{ digest: digestOf(bytes), bytes }]);
  await first.close();
  const second = await openDiskBlobs({ dir });
  expect((await second.get([digestOf(bytes)]))[0]).toHaveLength(4);
  await second.close();
});
