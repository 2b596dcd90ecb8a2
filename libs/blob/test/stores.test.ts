import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
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

async function kept(dir: string, count: number): Promise<readonly string[]> {
  const store = await openDiskBlobs({ dir });
  const blobs = Array.from({ length: count }, (_, i) => {
    const bytes = new Uint8Array(3_000).fill(i % 251);
    bytes.set([i & 0xff, i >> 8, 0xab, 0xcd]);
    return { digest: digestOf(bytes), bytes };
  });
  await store.put(blobs);
  await store.close();
  return blobs.map(({ digest }) => digest);
}

test('a blob that was damaged on disk is missing, and can be put again', async () => {
  const dir = newDir();
  const [digest = ''] = await kept(dir, 1);
  const file = join(dir, 'blobs.db');
  const content = readFileSync(file);
  const at = content.indexOf(Buffer.from([0, 0, 0xab, 0xcd])) + 100;
  content[at] = 0xff;
  writeFileSync(file, content);
  const store = await openDiskBlobs({ dir });
  expect(await store.get([digest])).toEqual([undefined]);
  const bytes = new Uint8Array(3_000);
  bytes.set([0, 0, 0xab, 0xcd]);
  await store.put([{ digest, bytes }]);
  await store.close();
  const again = await openDiskBlobs({ dir });
  expect((await again.get([digest]))[0]).toHaveLength(3_000);
  await again.close();
});

test('a damaged file is replaced by an empty one, at the start and in the midst', async () => {
  const dir = newDir();
  const file = join(dir, 'blobs.db');
  const damages: readonly ((content: Buffer) => Buffer)[] = [
    () => Buffer.from('this is no database, but it is long enough to be looked at '.repeat(20)),
    (content) => content.fill(0xee, 16_384),
    (content) => content.subarray(0, content.length / 2),
  ];
  for (const damage of damages) {
    const digests = await kept(dir, 200);
    writeFileSync(file, damage(readFileSync(file)));
    const store = await openDiskBlobs({ dir });
    await store.get(digests);
    const bytes = new TextEncoder().encode('after');
    await store.put([{ digest: digestOf(bytes), bytes }]);
    await store.retain(new Set([digestOf(bytes)]));
    expect((await store.get([digestOf(bytes)]))[0]).toHaveLength(5);
    await store.close();
    rmSync(file, { force: true });
  }
});

test('what is not retained gives its space back', async () => {
  const dir = newDir();
  await kept(dir, 2_000);
  const before = statSync(join(dir, 'blobs.db')).size;
  const store = await openDiskBlobs({ dir });
  await store.retain(new Set());
  await store.close();
  expect(statSync(join(dir, 'blobs.db')).size).toBeLessThan(before / 2);
});

test('a directory that another store uses is refused', async () => {
  const dir = newDir();
  const store = await openDiskBlobs({ dir });
  await expect(openDiskBlobs({ dir })).rejects.toThrow('locked');
  await store.close();
});

test('a file of another format is replaced, so that its space can be given back', async () => {
  const dir = newDir();
  const other = new DatabaseSync(join(dir, 'blobs.db'));
  other.exec('PRAGMA page_size = 4096; CREATE TABLE blob (digest TEXT, bytes BLOB)');
  const insert = other.prepare('INSERT INTO blob VALUES (?, ?)');
  other.exec('BEGIN');
  for (let index = 0; index < 100; index += 1) insert.run(`${index}`, new Uint8Array(4_096));
  other.exec('COMMIT');
  other.close();
  const store = await openDiskBlobs({ dir, maxMemoryBytes: 0 });
  const blob = { digest: digestOf(new Uint8Array([1])), bytes: new Uint8Array([1]) };
  await store.put([blob]);
  await store.retain(new Set([blob.digest]));
  expect(await store.get([blob.digest, '1'])).toEqual([blob.bytes, undefined]);
  await store.close();
  expect(statSync(join(dir, 'blobs.db')).size).toBeLessThan(400_000);
});
