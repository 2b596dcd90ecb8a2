/** What of an edit is handed over, where a file of it changes while it is read. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemTime } from '@watershed/runtime/clock.ts';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { KnownFiles, type Changed } from '../src/sources/known-files.ts';
import { listTree } from '../src/sources/tree.ts';
import { service } from './support.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'known-files-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const isStopped = (): boolean => false;

async function changedOf(files: KnownFiles): Promise<Changed> {
  const listing = await listTree(folder, { onFolder: () => undefined, isOneFile: false });
  if (listing.kind !== 'seen') throw new Error(listing.reason);
  return files.changedIn(listing);
}

function names({ updates }: Awaited<ReturnType<KnownFiles['take']>>): readonly string[] {
  return updates.map(({ unit, objects }) => {
    const held = objects.map(({ raw }) => String(raw.metadata['name']));
    return `${unit.slice(folder.length + 1)}: ${held.join()}`;
  });
}

async function write(name: string, text: string): Promise<void> {
  await writeFile(join(folder, name), text);
}

/** One that holds `a.yaml`, with an edit under way: what is in it moves to `b.yaml`, beside another. */
async function moving(): Promise<{ readonly files: KnownFiles; readonly seen: Changed }> {
  const files = new KnownFiles({ time: systemTime, maxWaitMs: 60_000 });
  await write('a.yaml', service('a'));
  await files.take(await changedOf(files), { isStopped, isPartial: false });
  await rm(join(folder, 'a.yaml'));
  await write('b.yaml', service('half'));
  await write('c.yaml', service('c'));
  const seen = await changedOf(files);
  await write('b.yaml', service('a-and-more'));
  return { files, seen };
}

test('nothing of it is handed over before all of it', async () => {
  const { files, seen } = await moving();
  const early = await files.take(seen, { isStopped, isPartial: false });
  expect({ moved: early.moved, names: names(early) }).toEqual({ moved: 1, names: [] });
  const whole = await files.take(await changedOf(files), { isStopped, isPartial: false });
  expect(whole.moved).toBe(0);
  expect(names(whole).toSorted()).toEqual(['a.yaml: ', 'b.yaml: a-and-more', 'c.yaml: c']);
});

test('what has waited long enough goes without the file that is written all the time', async () => {
  const { files, seen } = await moving();
  const part = await files.take(seen, { isStopped, isPartial: true });
  expect(part.moved).toBe(1);
  expect(names(part).toSorted()).toEqual(['a.yaml: ', 'c.yaml: c']);
  const rest = await files.take(await changedOf(files), { isStopped, isPartial: false });
  expect(names(rest)).toEqual(['b.yaml: a-and-more']);
});
