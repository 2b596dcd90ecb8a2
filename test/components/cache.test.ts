import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { cacheDirectory, fetchOnce } from 'xdsctl/components/cache.ts';

let cache = '';

beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), 'watershed-cache-'));
});

afterEach(async () => {
  await rm(cache, { recursive: true, force: true });
});

const quiet = (): void => undefined;

const module = join(import.meta.dirname, '../../cli/src/components/cache.ts');

/** Another process that makes the same entry, slowly, and counts how often it was made. */
function makeElsewhere(count: string): Promise<number | null> {
  const source = `
    import { appendFile, writeFile } from 'node:fs/promises';
    import { join } from 'node:path';
    import { fetchOnce } from ${JSON.stringify(module)};
    await fetchOnce(${JSON.stringify(cache)}, {
      name: 'thing-1',
      make: async (directory) => {
        await appendFile(${JSON.stringify(count)}, 'x');
        await new Promise((resolve) => setTimeout(resolve, 300));
        await writeFile(join(directory, 'content'), 'whole');
      },
    }, () => undefined);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
    stdio: 'inherit',
  });
  return new Promise((resolve) => {
    child.once('exit', resolve);
  });
}

test('processes that need the same thing at once make it once', async () => {
  const count = join(cache, 'count');
  await writeFile(count, '');
  const statuses = await Promise.all(Array.from({ length: 5 }, () => makeElsewhere(count)));
  expect(statuses).toEqual([0, 0, 0, 0, 0]);
  expect(await readFile(count, 'utf8')).toBe('x');
  expect(await readFile(join(cache, 'thing-1', 'content'), 'utf8')).toBe('whole');
  expect(await readdir(cache)).toEqual(['count', 'thing-1']);
});

test('what failed half-way is not there, and is made again', async () => {
  const broken = {
    name: 'thing-2',
    make: async (directory: string) => {
      await writeFile(join(directory, 'half'), '');
      throw new Error('no network');
    },
  };
  await expect(fetchOnce(cache, broken, quiet)).rejects.toThrow('no network');
  expect(await readdir(cache)).toEqual([]);
  const works = {
    name: 'thing-2',
    make: (directory: string) => writeFile(join(directory, 'a'), ''),
  };
  const directory = await fetchOnce(cache, works, quiet);
  expect(await readdir(directory)).toEqual(['a']);
});

test('a lock whose holder is dead, or has been silent for long, is taken over', async () => {
  const entry = { name: 'thing-3', make: () => Promise.resolve() };
  const lock = join(cache, 'thing-3.lock');
  const ended = spawn(process.execPath, ['-e', '']);
  await new Promise((resolve) => {
    ended.once('exit', resolve);
  });
  await writeFile(lock, String(ended.pid));
  await fetchOnce(cache, entry, quiet);

  const old = new Date(Date.now() - 60_000);
  const other = { ...entry, name: 'thing-4' };
  await writeFile(join(cache, 'thing-4.lock'), String(process.pid));
  await utimes(join(cache, 'thing-4.lock'), old, old);
  await fetchOnce(cache, other, quiet);
  expect(await readdir(cache)).toEqual(['thing-3', 'thing-4']);
});

test('the cache is where the environment says, or beside the other caches of the user', () => {
  expect(cacheDirectory({ WATERSHED_CACHE: '/a', XDG_CACHE_HOME: '/b' })).toBe('/a');
  expect(cacheDirectory({ WATERSHED_CACHE: '', XDG_CACHE_HOME: '/b' })).toBe('/b/watershed');
  expect(cacheDirectory({})).toMatch(/\/\.cache\/watershed$/u);
});
