import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ofDataDir, openDataDir } from '../src/data-dir.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'data-dir-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

test('a data directory is made with those above it, and may be there already', async () => {
  const dir = join(folder, 'a', 'b');
  await openDataDir(dir);
  await openDataDir(dir);
  expect(await readdir(dir)).toEqual([]);
});

test.each([
  { what: 'in a file system that takes none', path: () => '/proc/x' },
  { what: 'that is such a file system', path: () => '/proc' },
  { what: 'that is a file', path: () => join(folder, 'file') },
  { what: 'below a file', path: () => join(folder, 'file', 'sub', 'sub') },
  { what: 'that is a link to nothing', path: () => '/dev/fd/999999' },
])('a data directory $what is refused at once, by flag, value and reason', async ({ path }) => {
  await writeFile(join(folder, 'file'), '');
  const dir = path();
  await expect(openDataDir(dir)).rejects.toThrow(
    new RegExp(`^--dataDir: "${dir}": E[A-Z]+: .+ '/.+'$`, 'u'),
  );
});

test('what goes wrong in a data directory names the flag as well', async () => {
  await mkdir(join(folder, 'log'));
  const held = (): Promise<never> => Promise.reject(new Error('the log is held by process 7'));
  await expect(ofDataDir(folder, held)).rejects.toThrow(
    `--dataDir: ${JSON.stringify(folder)}: the log is held by process 7`,
  );
});
