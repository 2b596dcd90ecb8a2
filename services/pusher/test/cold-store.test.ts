import { mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOf } from '@watershed/blob/digest.ts';
import { openDiskBlobs } from '@watershed/blob/disk.ts';
import type { BlobStore } from '@watershed/blob/port.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import { systemTime } from '@watershed/runtime/clock.ts';
import { afterEach, expect, it, vi } from 'vitest';
import { ColdStore } from '../src/cold.ts';
import { emptyView } from '../src/session/context.ts';
import type { ScopeView } from '../src/view/scope-view.ts';
import { SharedEntry } from '../src/view/shared-entry.ts';
import { loggerInto, until } from './support/world.ts';

const { cluster, endpoint } = resourceTypes;
const dirs: string[] = [];

afterEach(() => {
  for (const dir of dirs.splice(0)) rmSync(dir, { recursive: true, force: true });
});

function temporary(): string {
  const dir = mkdtempSync(join(tmpdir(), 'cold-store-'));
  dirs.push(dir);
  return dir;
}

async function opened(dir: string): Promise<ColdStore> {
  const store = new ColdStore({ dir, time: systemTime, logger: loggerInto([]) });
  await store.open();
  return store;
}

type Versions = Readonly<Record<string, string>>;

function viewOf(scope: string, types: Readonly<Record<string, Versions>>): ScopeView {
  const views = Object.entries(types).map(([typeUrl, versions]) => {
    const entries = Object.entries(versions).map(([name, version]) => {
      const bytes = Buffer.from(`${name} at ${version}`);
      const digest = digestOf(bytes);
      const { length: size } = bytes;
      const stored = { key: `${typeUrl} ${name}`, typeUrl, name, version, size, refs: [] };
      const entry = SharedEntry.restore({ ...stored, digests: [digest] });
      entry.load([bytes]);
      return entry;
    });
    return [typeUrl, emptyView(typeUrl).with(entries)] as const;
  });
  const epoch = 1;
  return { scope, sequence: 1, epoch, types: new Map(views), sinceMs: 0, trace: undefined };
}

function versionsOf(view: ScopeView | undefined): unknown {
  const types: Record<string, Versions> = {};
  for (const [typeUrl, type] of view?.types ?? []) {
    const versions: Record<string, string> = {};
    type.each(({ name, version, fragments }) => {
      expect(fragments?.map((bytes) => Buffer.from(bytes).toString())).toEqual([
        `${name} at ${version}`,
      ]);
      versions[name] = version;
    });
    types[typeUrl] = versions;
  }
  return types;
}

/** Names of the files, and the inodes that tell whether they were written anew. */
function filesOf(dir: string): ReadonlyMap<string, number> {
  const names = readdirSync(join(dir, 'types'));
  return new Map(names.map((name) => [name, statSync(join(dir, 'types', name)).ino]));
}

/** Writes views as one run of a process does. */
async function written(dir: string, ...views: readonly ScopeView[]): Promise<void> {
  const store = await opened(dir);
  for (const view of views) store.save(view);
  await store.close();
}

const shop = { [cluster]: { a: '1', b: '1' }, [endpoint]: { a: '1', b: '1' } };
const moved = { ...shop, [endpoint]: { a: '2', b: '1' } };

it('a change writes the types that it touches, once for all scopes that have the same', async () => {
  const dir = temporary();
  await written(dir, viewOf('one', shop), viewOf('two', shop));
  const before = filesOf(dir);
  expect(before.size).toBe(2);
  await written(dir, viewOf('one', moved), viewOf('two', moved));
  const after = filesOf(dir);
  expect(after.size).toBe(2);
  const same = [...after].filter(([name, inode]) => before.get(name) === inode);
  expect(same).toHaveLength(1);
  const store = await opened(dir);
  expect(versionsOf(await store.load('one'))).toEqual(moved);
  expect(versionsOf(await store.load('two'))).toEqual(moved);
  await store.close();
});

it('of a large type a change writes the part that it is in', async () => {
  const dir = temporary();
  const many = Object.fromEntries(Array.from({ length: 3_000 }, (_, i) => [`c-${i}`, '1']));
  const changed = { ...many, 'c-7': '2' };
  const store = await opened(dir);
  const { types } = viewOf('one', { [cluster]: many });
  store.save({ ...viewOf('one', {}), types });
  await store.flush();
  const before = filesOf(dir);
  const now = viewOf('one', { [cluster]: { 'c-7': '2' } })
    .types.get(cluster)
    ?.get('c-7');
  const after = types.get(cluster)?.with(now === undefined ? [] : [now]) ?? emptyView(cluster);
  store.save({ ...viewOf('one', {}), types: new Map([[cluster, after]]) });
  await store.flush();
  expect(before.size).toBeGreaterThan(10);
  const fresh = [...filesOf(dir).keys()].filter((name) => !before.has(name));
  expect([fresh.length, filesOf(dir).size]).toEqual([1, before.size]);
  await store.close();
  const again = await opened(dir);
  expect(versionsOf(await again.load('one'))).toEqual({ [cluster]: changed });
  await again.close();
});

it('what the log has with its bytes needs no blob', async () => {
  const dir = temporary();
  const bytes = Buffer.from('a at 1');
  const entry = SharedEntry.restore({
    ...{ key: 'a', typeUrl: endpoint, name: 'a', version: '1', size: bytes.length, refs: [] },
    ...{ digests: [digestOf(bytes)], inlined: [bytes] },
  });
  const types = new Map([[endpoint, emptyView(endpoint).with([entry])]]);
  await written(dir, { ...viewOf('one', {}), types });
  rmSync(join(dir, 'blobs'), { recursive: true });
  const store = await opened(dir);
  expect(versionsOf(await store.load('one'))).toEqual({ [endpoint]: { a: '1' } });
  await store.close();
});

it('a type that another scope still has stays when one scope goes on', async () => {
  const dir = temporary();
  await written(dir, viewOf('one', shop), viewOf('two', shop));
  await written(dir, viewOf('one', moved));
  expect(filesOf(dir).size).toBe(3);
  const store = await opened(dir);
  expect(versionsOf(await store.load('one'))).toEqual(moved);
  expect(versionsOf(await store.load('two'))).toEqual(shop);
  await store.close();
});

it('views that change while one process runs leave nothing behind', async () => {
  const dir = temporary();
  const store = await opened(dir);
  for (let version = 1; version <= 20; version++) {
    store.save(viewOf('one', { [cluster]: { a: `${version}` }, [endpoint]: { a: '1' } }));
    await store.flush();
  }
  expect(filesOf(dir).size).toBe(2);
  await store.close();
});

it('a file that is damaged is as good as none, and is written again', async () => {
  const dir = temporary();
  await written(dir, viewOf('one', shop));
  for (const name of filesOf(dir).keys()) truncateSync(join(dir, 'types', name), 40);
  const damaged = await opened(dir);
  expect(await damaged.load('one')).toBeUndefined();
  expect(damaged.isEmpty).toBe(true);
  damaged.save(viewOf('one', shop));
  await damaged.close();
  const store = await opened(dir);
  expect(versionsOf(await store.load('one'))).toEqual(shop);
  expect(store.isEmpty).toBe(false);
  await store.close();
});

it('of a directory that cannot be used nothing can be served', async () => {
  const dir = temporary();
  await written(dir, viewOf('one', shop));
  rmSync(join(dir, 'types'), { recursive: true });
  writeFileSync(join(dir, 'types'), '');
  const store = await opened(dir);
  expect(store.isEmpty).toBe(true);
  expect(await store.load('one')).toBeUndefined();
  await store.close();
});

it('bytes that are not there yet are not kept, and are once they are there', async () => {
  const dir = temporary();
  const view = viewOf('one', shop);
  const coming = SharedEntry.restore({
    ...{ key: 'c', typeUrl: cluster, name: 'c', version: '1', size: 6, refs: [] },
    digests: [digestOf(Buffer.from('c at 1'))],
  });
  const types = new Map(view.types);
  types.set(cluster, (types.get(cluster) ?? emptyView(cluster)).with([coming]));
  const whole = { ...shop, [cluster]: { a: '1', b: '1', c: '1' } };
  const store = await opened(dir);
  store.save({ ...view, types });
  await store.flush();
  expect(versionsOf(await store.load('one'))).toEqual(shop);
  coming.load([Buffer.from('c at 1')]);
  store.save({ ...view, types });
  await store.flush();
  expect(versionsOf(await store.load('one'))).toEqual(whole);
  await store.close();
});

/** The blobs of every store that is on a disk, for spies. */
async function diskBlobs(): Promise<BlobStore> {
  const blobs = await openDiskBlobs({ dir: temporary() });
  await blobs.close();
  return Object.getPrototypeOf(blobs);
}

it('what a full disk does not take is tried again, whether or not it changes', async () => {
  const dir = temporary();
  const lines: string[] = [];
  const store = new ColdStore({ dir, time: systemTime, logger: loggerInto(lines), delayMs: 20 });
  await store.open();
  const put = vi.spyOn(await diskBlobs(), 'put').mockRejectedValue(new Error('disk is full'));
  store.save(viewOf('one', shop));
  store.save(viewOf('two', shop));
  await until('several tries', () => put.mock.calls.length > 6);
  put.mockRestore();
  await until('all is kept', () => lines.length > 1);
  expect(lines).toEqual([
    expect.stringContaining('what is served cannot be kept for a cold start; it is tried again'),
    expect.stringContaining('what is served is kept for a cold start'),
  ]);
  await store.close();
  const again = await opened(dir);
  expect(versionsOf(await again.load('one'))).toEqual(shop);
  expect(versionsOf(await again.load('two'))).toEqual(shop);
  await again.close();
});

it('what is kept is there after a start on a full disk, which takes no clean-up', async () => {
  const dir = temporary();
  await written(dir, viewOf('one', shop));
  const retain = vi.spyOn(await diskBlobs(), 'retain').mockRejectedValue(new Error('disk is full'));
  const store = await opened(dir);
  expect(retain).toHaveBeenCalledOnce();
  retain.mockRestore();
  expect(versionsOf(await store.load('one'))).toEqual(shop);
  await store.close();
});
