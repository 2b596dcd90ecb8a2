import { mkdir, mkdtemp, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Where programs that are fetched (Envoy, and what the tests need) are kept, so that each is
 * fetched once per machine: `$WATERSHED_CACHE`, else `$XDG_CACHE_HOME/watershed`, else
 * `~/.cache/watershed`.
 */
export function cacheDirectory(environment: Readonly<Record<string, string | undefined>>): string {
  const own = environment['WATERSHED_CACHE'];
  if (own !== undefined && own !== '') return own;
  const shared = environment['XDG_CACHE_HOME'];
  const base = shared !== undefined && shared !== '' ? shared : join(homedir(), '.cache');
  return join(base, 'watershed');
}

/** A line for people who wait. */
export type Progress = (line: string) => void;

export interface CacheEntry {
  /**
   * A file name that says what it is and which version: `envoy-1.40.0`. Never reused for other
   * content.
   */
  readonly name: string;
  /** Fills an empty directory. Called by one process at a time. */
  readonly make: (directory: string) => Promise<void>;
}

const pollMs = 200;
const heartbeatMs = 2_000;
const staleMs = 20_000;

/**
 * The directory of `entry`, made on first use. It appears whole or not at all (it is filled
 * elsewhere and renamed), so the lock only saves work: if its holder died, another process makes
 * the entry again.
 */
export async function fetchOnce(
  cache: string,
  entry: CacheEntry,
  progress: Progress,
): Promise<string> {
  const target = join(cache, entry.name);
  await mkdir(cache, { recursive: true });
  const lock = `${target}.lock`;
  let told = false;
  while (!(await exists(target))) {
    if (await take(lock)) {
      const release = keep(lock);
      try {
        if (!(await exists(target))) await fill(cache, target, entry);
      } finally {
        await release();
      }
    } else {
      if (!told) progress(`waiting for another process that makes ${entry.name}`);
      told = true;
      await sleep(pollMs);
    }
  }
  return target;
}

async function fill(cache: string, target: string, entry: CacheEntry): Promise<void> {
  const directory = await mkdtemp(join(cache, `.making-${entry.name}-`));
  try {
    await entry.make(directory);
    await rename(directory, target);
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    // Somebody whose lock was thought dead may have been first: its result is as good.
    if (!(await exists(target))) throw error;
  }
}

async function take(lock: string): Promise<boolean> {
  try {
    await writeFile(lock, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error;
  }
  if (await isStale(lock)) await rm(lock, { force: true });
  return false;
}

/**
 * Touches the lock while the work goes on, so that age tells a dead holder, on shared disks as
 * well.
 */
function keep(lock: string): () => Promise<void> {
  const heartbeat = setInterval(() => {
    const now = new Date();
    // A lock that was taken away does no harm: see `fetchOnce`.
    utimes(lock, now, now).catch(() => undefined);
  }, heartbeatMs);
  heartbeat.unref();
  return async () => {
    clearInterval(heartbeat);
    await rm(lock, { force: true });
  };
}

async function isStale(lock: string): Promise<boolean> {
  try {
    const { mtimeMs } = await stat(lock);
    if (Date.now() - mtimeMs > staleMs) return true;
    const holder = Number(await readFile(lock, 'utf8'));
    return Number.isInteger(holder) && holder > 0 && !isAlive(holder);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return false;
    throw error;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !isCode(error, 'ESRCH');
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (isCode(error, 'ENOENT')) return false;
    throw error;
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
