/** The file source on real files, with the operating system's notifications. */
import {
  appendFile,
  mkdir,
  mkdtemp,
  rename,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sleep, systemTime, type Time } from '@watershed/runtime/clock.ts';
import { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Known, SourceBatch } from '../src/source.ts';
import { configuredSources } from '../src/sources/configured.ts';
import { FileSource, type FileTimes } from '../src/sources/files.ts';
import { unwatched, watchFolders } from '../src/sources/watch.ts';
import { service } from './support.ts';

const times: FileTimes = { quietMs: 20, emptyQuietMs: 120, maxWaitMs: 1_000, rescanMs: 200 };

let folder = '';
let open: FileSource[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'files-'));
});
afterEach(async () => {
  await Promise.all(open.map((source) => source.stop()));
  open = [];
  await rm(folder, { recursive: true, force: true });
});

/** Collects what a source hands over. */
class Seen {
  readonly batches: SourceBatch[] = [];
  readonly units = new Map<string, readonly string[]>();
  trouble: string | undefined;
  troubles = 0;
  isListed = false;

  readonly sink = {
    apply: (batch: SourceBatch): void => {
      this.batches.push(batch);
      for (const { unit, objects, problems } of batch.updates) {
        const names = objects.map(({ raw }) => String(raw.metadata['name']));
        const shown = [...names, ...problems.map(({ reason }) => `! ${reason}`)];
        const short = unit.slice(folder.length + 1);
        if (shown.length === 0) this.units.delete(short);
        else this.units.set(short, shown);
      }
    },
    trouble: (_source: string, reason: string | undefined): void => {
      this.trouble = reason;
      if (reason !== undefined) this.troubles++;
    },
  };

  get state(): Record<string, readonly string[]> {
    return Object.fromEntries([...this.units].sort());
  }
}

/** The log has nothing of it. */
const unknown: Known = () => [];
const knownToLog: Known = (source) =>
  source === 'files' ? [{ apiVersion: 'v1', kind: 'Service', metadata: { name: 'a' } }] : [];

async function start(
  path = folder,
  watch = watchFolders,
  own = times,
  known = unknown,
  time: Time = systemTime,
): Promise<Seen> {
  const source = new FileSource({ name: 'files', path, time, watch, times: own });
  open.push(source);
  const seen = new Seen();
  const listed = source.start(seen.sink, known).then(() => {
    seen.isListed = true;
  });
  await Promise.race([listed, vi.waitFor(() => expect(seen.trouble).toBeDefined(), 5_000)]);
  return seen;
}

/** However slow the machine is, a pause between two writes is as long as the test says. */
async function startInVirtualTime(own: FileTimes): Promise<{ seen: Seen; time: VirtualTime }> {
  const time = new VirtualTime();
  return { seen: await start(folder, watchFolders, own, unknown, time), time };
}

const realTime = (ms: number): Promise<void> => sleep(systemTime, ms);
const until = (check: () => void | Promise<void>): Promise<void> =>
  vi.waitFor(check, { timeout: 8_000 });
const write = (name: string, text: string): Promise<void> => writeFile(join(folder, name), text);

describe('a directory', () => {
  test('is read whole, with its subdirectories, without hidden and other files', async () => {
    await mkdir(join(folder, 'sub', '.git'), { recursive: true });
    await write('a.yaml', service('a'));
    await write('b.JSON', '{"apiVersion":"v1","kind":"X","metadata":{"name":"b"}}');
    await write('sub/c.yml', service('c'));
    await write('.d.yaml.swp', service('d'));
    await write('sub/.git/e.yaml', service('e'));
    await write('readme.md', '# text');
    const seen = await start();
    expect(seen.state).toEqual({ 'a.yaml': ['a'], 'b.JSON': ['b'], 'sub/c.yml': ['c'] });
    expect(seen.batches).toHaveLength(1);
  });

  test('is watched: files written, renamed over, added and removed', async () => {
    await write('a.yaml', service('a'));
    const seen = await start();
    await write('a.yaml', service('a2'));
    await until(() => expect(seen.state).toEqual({ 'a.yaml': ['a2'] }));
    await write('.a.tmp', service('a3'));
    await rename(join(folder, '.a.tmp'), join(folder, 'a.yaml'));
    await until(() => expect(seen.state).toEqual({ 'a.yaml': ['a3'] }));
    await mkdir(join(folder, 'new'));
    await write('new/b.yaml', service('b'));
    await until(() => expect(seen.state).toEqual({ 'a.yaml': ['a3'], 'new/b.yaml': ['b'] }));
    await rm(join(folder, 'a.yaml'));
    await until(() => expect(seen.state).toEqual({ 'new/b.yaml': ['b'] }));
  });

  test('is told of by notifications alone: folders that come, and that take the place of others', async () => {
    const seen = await start(folder, watchFolders, { ...times, rescanMs: 600_000 });
    await mkdir(join(folder, 'sub', 'below'), { recursive: true });
    await until(async () => {
      await write('sub/below/a.yaml', service('a'));
      expect(seen.state).toEqual({ 'sub/below/a.yaml': ['a'] });
    });
    await mkdir(join(folder, '.other', 'below'), { recursive: true });
    await rename(join(folder, 'sub'), join(folder, '.away'));
    await rename(join(folder, '.other'), join(folder, 'sub'));
    await until(() => expect(seen.state).toEqual({}));
    await write('sub/below/a.yaml', service('b'));
    await until(() => expect(seen.state).toEqual({ 'sub/below/a.yaml': ['b'] }));
  });

  test('is watched when it is made anew, though it may have the inode of the one before', async () => {
    const sub = join(folder, 'sub');
    await mkdir(sub);
    await write('sub/a.yaml', service('a'));
    const seen = await start(folder, watchFolders, { ...times, rescanMs: 600_000 });
    for (const name of ['b', 'c', 'd']) {
      await rm(sub, { recursive: true });
      await mkdir(sub);
      await write('sub/a.yaml', service(name));
      await until(() => expect(seen.state).toEqual({ 'sub/a.yaml': [name] }));
      await write('sub/a.yaml', service(`${name}2`));
      await until(() => expect(seen.state).toEqual({ 'sub/a.yaml': [`${name}2`] }));
    }
  });

  test('that is one file is seen when another is renamed over it, again and again', async () => {
    const path = join(folder, 'mesh');
    await write('mesh', service('a'));
    const seen = await start(path, watchFolders, { ...times, rescanMs: 600_000 });
    for (const name of ['b', 'c']) {
      await write('mesh.tmp', service(name));
      await rename(join(folder, 'mesh.tmp'), path);
      await until(() => expect(seen.state).toEqual({ mesh: [name] }));
    }
  });

  test('that gives no notifications is looked at now and then', async () => {
    await write('a.yaml', service('a'));
    const seen = await start(folder, unwatched);
    await write('a.yaml', service('a2'));
    await until(() => expect(seen.state).toEqual({ 'a.yaml': ['a2'] }));
  });

  test('mounted from a ConfigMap is swapped in one step', async () => {
    const mount = async (version: string, name: string): Promise<void> => {
      await mkdir(join(folder, version));
      await write(`${version}/a.yaml`, service(`${name}-a`));
      await write(`${version}/b.yaml`, service(`${name}-b`));
      await symlink(version, join(folder, '..data_tmp'));
      await rename(join(folder, '..data_tmp'), join(folder, '..data'));
    };
    await mount('..2026_01', 'one');
    await symlink(join('..data', 'a.yaml'), join(folder, 'a.yaml'));
    await symlink(join('..data', 'b.yaml'), join(folder, 'b.yaml'));
    const seen = await start();
    expect(seen.state).toEqual({ 'a.yaml': ['one-a'], 'b.yaml': ['one-b'] });
    await mount('..2026_02', 'two');
    await rm(join(folder, '..2026_01'), { recursive: true });
    await until(() => expect(seen.state).toEqual({ 'a.yaml': ['two-a'], 'b.yaml': ['two-b'] }));
    expect(seen.batches).toHaveLength(2);
  });

  test('that was changed in many files at once is one step', async () => {
    // All of it is looked at each time: a notification may come late.
    const { seen, time } = await startInVirtualTime({ ...times, rescanMs: 1, maxWaitMs: 60_000 });
    for (let index = 0; index < 30; index++) {
      await write(`${index}.yaml`, service(`s${index}`));
      await time.advance(times.quietMs - 1);
    }
    await until(async () => {
      await time.advance(times.quietMs);
      expect(seen.units.size).toBe(30);
    });
    expect(seen.batches).toHaveLength(1);
  });
});

describe('what did not change', () => {
  test('is not read again, and a touch is told of as unchanged', async () => {
    await write('a.yaml', service('a'));
    const seen = await start();
    await utimes(join(folder, 'a.yaml'), new Date(), new Date());
    await until(() => expect(seen.batches).toHaveLength(2));
    expect(seen.batches[1]).toMatchObject({ updates: [], unchanged: 1 });
  });
});

describe('what is half written', () => {
  test('is not read before it stays the same', async () => {
    const path = join(folder, 'a.yaml');
    await writeFile(path, service('a'));
    const { seen, time } = await startInVirtualTime({ ...times, maxWaitMs: 60_000 });
    const text = service('first') + service('second');
    await writeFile(path, '');
    for (let at = 0; at < text.length; at += 20) {
      await appendFile(path, text.slice(at, at + 20));
      // It has heard of it, most likely: were it read now, that would be too early.
      await realTime(5);
      await time.advance(times.quietMs - 1);
    }
    await until(async () => {
      await time.advance(times.quietMs);
      expect(seen.state).toEqual({ 'a.yaml': ['first', 'second'] });
    });
    expect(seen.batches).toHaveLength(2);
  });

  test('by cutting the file off first never looks empty', async () => {
    await write('a.yaml', service('a'));
    const { seen, time } = await startInVirtualTime(times);
    await write('a.yaml', '');
    await realTime(30);
    await time.advance(times.emptyQuietMs - 1);
    await realTime(30);
    expect(seen.batches).toHaveLength(1);
    await write('a.yaml', service('b'));
    await until(async () => {
      await time.advance(times.quietMs);
      expect(seen.state).toEqual({ 'a.yaml': ['b'] });
    });
    expect(seen.batches).toHaveLength(2);
  });

  test('for ever is read at last', async () => {
    await write('a.yaml', service('a'));
    const seen = await start(folder, watchFolders, { ...times, quietMs: 400, maxWaitMs: 600 });
    const timer = setInterval(() => void appendFile(join(folder, 'a.yaml'), '# more\n'), 30);
    try {
      await until(() => expect(seen.batches.length).toBeGreaterThan(1));
    } finally {
      clearInterval(timer);
    }
  });

  test('an empty file that stays empty holds nothing', async () => {
    await write('a.yaml', service('a'));
    const seen = await start();
    await write('a.yaml', '');
    await until(() => expect(seen.state).toEqual({}));
  });
});

describe('what cannot be read', () => {
  test('a file that is too large is refused before it is read', async () => {
    await write('a.yaml', service('a'));
    const seen = await start();
    await write('a.yaml', `# ${'x'.repeat(10 * 1024 * 1024)}\n`);
    await until(() =>
      expect(seen.state).toEqual({
        'a.yaml': ['! the file has 10485763 bytes, more than 10485760'],
      }),
    );
    await write('a.yaml', service('a'));
    await until(() => expect(seen.state).toEqual({ 'a.yaml': ['a'] }));
  });

  test('bytes that are no UTF-8 are refused', async () => {
    await writeFile(join(folder, 'a.yaml'), Buffer.from([0x61, 0x3a, 0x20, 0xff, 0xfe]));
    const seen = await start();
    expect(seen.state['a.yaml']?.[0]).toMatch(/^! cannot be read: .*encod/);
  });

  test('a symlink that leads nowhere, or in a circle, is passed over', async () => {
    await write('a.yaml', service('a'));
    await symlink('nowhere.yaml', join(folder, 'b.yaml'));
    await mkdir(join(folder, 'sub'));
    await symlink('..', join(folder, 'sub', 'up'));
    await symlink('self.yaml', join(folder, 'self.yaml'));
    const seen = await start();
    expect(seen.state).toEqual({
      'a.yaml': ['a'],
      'self.yaml': [expect.stringMatching(/^! ELOOP/)],
    });
    await rm(join(folder, 'self.yaml'));
    await until(() => expect(seen.state).toEqual({ 'a.yaml': ['a'] }));
  });

  test('a file that could not be looked at for a while is what it was', async () => {
    const path = join(folder, 'config');
    const link = join(path, 'a.yaml');
    await mkdir(path);
    await write('real.yaml', service('a'));
    await symlink('../real.yaml', link);
    const seen = await start(path);
    await rm(link);
    await symlink(link, link);
    await until(() =>
      expect(seen.state).toEqual({ 'config/a.yaml': [expect.stringMatching(/^! ELOOP/)] }),
    );
    await rm(link);
    await symlink('../real.yaml', link);
    await until(() => expect(seen.state).toEqual({ 'config/a.yaml': ['a'] }));
    await realTime(2 * times.rescanMs);
    expect(seen.state).toEqual({ 'config/a.yaml': ['a'] });
  });

  test('a file whose reading fails is told of, and the others are read', async () => {
    await write('a.yaml', service('a'));
    // A file of Linux that opens and cannot be read at its beginning, not even by root.
    await symlink('/proc/self/mem', join(folder, 'b.yaml'));
    const seen = await start();
    expect(seen.state).toEqual({
      'a.yaml': ['a'],
      'b.yaml': [expect.stringMatching(/^! cannot be read: EIO/)],
    });
  });
});

describe('a directory that is gone', () => {
  test('takes nothing with it: all is handed over as suspect, its return is seen', async () => {
    const path = join(folder, 'config');
    await mkdir(path);
    await write('config/a.yaml', service('a'));
    const seen = await start(path);
    await rename(path, join(folder, 'away'));
    await until(() => expect(seen.trouble).toBe(`${path} does not exist; what it held stays`));
    expect(seen.batches.at(-1)).toMatchObject({
      suspect: `${path} does not exist`,
      updates: [{ unit: join(path, 'a.yaml'), objects: [] }],
    });
    await rename(join(folder, 'away'), path);
    await until(() => expect(seen.state).toEqual({ 'config/a.yaml': ['a'] }));
    expect(seen.trouble).toBeUndefined();
    await write('config/a.yaml', service('b'));
    await until(() => expect(seen.state).toEqual({ 'config/a.yaml': ['b'] }));
  });

  test('at the start is waited for: nothing is listed until it is there', async () => {
    const path = join(folder, 'later');
    const seen = await start(path);
    expect(seen.isListed).toBe(false);
    expect(seen.trouble).toMatch(/does not exist/);
    expect(seen.batches).toEqual([]);
    await mkdir(path);
    await write('later/a.yaml', service('a'));
    await until(() => expect(seen.isListed).toBe(true));
    await until(() => expect(seen.state).toEqual({ 'later/a.yaml': ['a'] }));
  });

  test('at the start is one that cannot be read, if the log has objects of it', async () => {
    const path = join(folder, 'later');
    const seen = await start(path, watchFolders, times, knownToLog);
    await until(() => expect(seen.isListed).toBe(true));
    expect(seen.trouble).toMatch(/later does not exist; what it held stays$/);
    expect(seen.state).toEqual({ later: [expect.stringMatching(/does not exist/)] });
    await mkdir(join(folder, 'made'));
    await write('made/a.yaml', service('a'));
    await rename(join(folder, 'made'), path);
    await until(() => expect(seen.state).toEqual({ 'later/a.yaml': ['a'] }));
    expect(seen.trouble).toBeUndefined();
    // In one batch: until then it may have whatever the log has.
    expect(seen.batches).toHaveLength(2);
  });

  test.each([
    ['is waited for at the start', unknown, 1],
    ['is one that is away, where the log has objects of it', knownToLog, 2],
  ])('that cannot be looked at %s', async (_, known, batches) => {
    const path = join(folder, 'loop');
    await symlink(path, path);
    const seen = await start(path, watchFolders, { ...times, rescanMs: 60_000 }, known);
    await until(() => expect(seen.trouble).toMatch(/^ELOOP/));
    await until(() => expect(seen.isListed).toBe(known === knownToLog));
    await mkdir(join(folder, 'made'));
    await write('made/a.yaml', service('a'));
    await rm(path);
    await rename(join(folder, 'made'), path);
    await until(() => expect(seen.state).toEqual({ 'loop/a.yaml': ['a'] }));
    expect([seen.trouble, seen.batches.length]).toEqual([undefined, batches]);
  });
});

describe('a single file', () => {
  test('that is removed is a source that is not there, and one that is replaced is not', async () => {
    await write('a.yaml', service('a'));
    const path = join(folder, 'a.yaml');
    const seen = await start(path);
    await rm(path);
    await write('a.yaml', service('b'));
    await until(() => expect(seen.state).toEqual({ 'a.yaml': ['b'] }));
    expect([seen.troubles, seen.batches.length]).toEqual([0, 2]);
    await rm(path);
    await until(() => expect(seen.trouble).toMatch(/does not exist; what it held stays/));
    expect(seen.batches.at(-1)).toMatchObject({ suspect: `${path} does not exist` });
    await write('a.yaml', service('c'));
    await until(() => expect(seen.state).toEqual({ 'a.yaml': ['c'] }));
  });
});

describe('configured sources', () => {
  const make = (meshConfig: string | undefined, configDirs: readonly string[] = []) =>
    configuredSources({ configDirs, meshConfig, time: systemTime, watch: unwatched, times });

  test('are the directories and the MeshConfig file, each once', () => {
    const mesh = join(folder, 'mesh.yaml');
    const sources = make(mesh, [join(folder, 'c'), '/etc/x/', join(folder, 'c'), '/etc/x']);
    expect(sources.map(({ name }) => name)).toEqual([
      `mesh:${mesh}`,
      `files:${join(folder, 'c')}`,
      'files:/etc/x',
    ]);
  });

  test('that a MeshConfig file names are read once, however they are spelled', async () => {
    const mesh = join(folder, 'mesh.yaml');
    await mkdir(join(folder, 'a b'));
    await write('a b/a.yaml', service('a'));
    const address = `{ address: "fs://${folder}/a%20b" }, { address: "fs://${folder}/./a b/" }`;
    await writeFile(mesh, `# Comments.\nconfig_sources: [${address}]\n`);
    const [source] = make(mesh, [join(folder, 'a b')]);
    const [alone] = make(mesh);
    for (const [one, state] of [
      [source, { 'mesh.yaml': ['file'] }],
      [alone, { 'a b/a.yaml': ['a'], 'mesh.yaml': ['file'] }],
    ] as const) {
      const seen = new Seen();
      await one?.start(seen.sink, unknown);
      await one?.stop();
      expect(seen.state).toEqual(state);
      const batch = seen.batches.findLast(({ source: name }) => name.startsWith('mesh'));
      expect(batch?.updates[0]?.objects).toMatchObject([{ line: 2, raw: { kind: 'MeshConfig' } }]);
    }
  });

  test.each([
    ['is absent', undefined, /^--meshConfig: ".*\/mesh\.yaml": does not exist$/],
    ['names an API server', 'configSources: [{ address: "k8s://" }]', /expected a directory as fs/],
    ['names a server', 'configSources: [{ address: "xds://mcp:15010" }]', /"xds:\/\/mcp:15010"/],
    ['names no directory', 'configSources: [{ address: "fs://" }]', /expected a directory as fs/],
    ['names no path', 'configSources: [{ address: "fs:///a%2Fb" }]', /expected a directory as fs/],
    ['names nothing', 'configSources: [{}]', /address : expected a directory as fs/],
    ['is not complete', 'a: [', /mesh\.yaml": line 1: Flow sequence/],
    ['holds nothing', '# Comments.\n---\nnull\n', /mesh\.yaml": is empty/],
  ])('a MeshConfig file that %s is an error that says so', async (_, text, reason) => {
    const mesh = join(folder, 'mesh.yaml');
    if (text !== undefined) await writeFile(mesh, text);
    const [source] = make(mesh);
    const started = source?.start(new Seen().sink, unknown);
    await expect(started).rejects.toThrow(reason);
    await source?.stop();
  });
});
