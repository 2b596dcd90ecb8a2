import { mkdir, mkdtemp, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describeError } from './errors.ts';
import { OptionsError } from './options.ts';

/**
 * Makes what `--dataDir` names where it is absent, and sees that things can be kept in it.
 *
 * @throws OptionsError that names flag, directory and reason.
 */
export async function openDataDir(dir: string): Promise<void> {
  await ofDataDir(dir, async () => {
    await makeDirectory(dir);
    // Rights alone do not tell: a file system may be for reading, or take no directories.
    await rmdir(await mkdtemp(join(dir, 'trial-')));
  });
}

/** What goes wrong with what is in there (another process holds it) names the flag as well. */
export async function ofDataDir<T>(dir: string, open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (error) {
    throw new OptionsError([`--dataDir: ${JSON.stringify(dir)}: ${describeError(error)}`]);
  }
}

/**
 * With those above it, for this user alone. Not by node's `recursive`, which tries for ever where a
 * file system that takes no directories says ENOENT (/proc).
 */
export async function makeDirectory(path: string): Promise<void> {
  const make = (): Promise<unknown> => mkdir(path, { mode: 0o700 });
  try {
    await make();
  } catch (error) {
    const code = codeOf(error);
    if (code === 'EEXIST') return;
    const above = dirname(path);
    if (code !== 'ENOENT' || above === path) throw error;
    await makeDirectory(above);
    await make().catch(unlessExists);
  }
}

/** For what may be made by somebody else meanwhile. */
export function unlessExists(error: unknown): void {
  if (codeOf(error) !== 'EEXIST') throw error;
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
