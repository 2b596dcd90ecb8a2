import { readdir, rm } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fetchOnce, type Progress } from './cache.ts';
import { run, startChild, type Child } from './child.ts';
import { scratchDirectory } from './janitor.ts';
import type { ClusterProcess } from './cluster-process.ts';
import { freePort, type PortOf } from './ports.ts';

const fetchTimeoutMs = 300_000;
const startTimeoutMs = 30_000;

export interface RedisOptions {
  /** Where it is kept once fetched. */
  readonly cache: string;
  readonly progress: Progress;
  /** Takes what it says; appended to. Default: a temporary one. */
  readonly logDirectory?: string;
  /** Default: any that is free. */
  readonly portOf?: PortOf;
  /** More of its command line, such as `--maxmemory 1mb`. */
  readonly args?: readonly string[];
}

export interface Redis extends ClusterProcess, AsyncDisposable {
  readonly url: string;
  /** SIGKILL: all that it held is gone. */
  kill(): Promise<void>;
  /** On the same port, empty. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * A real Redis on loopback, that keeps nothing on disk: the one that is installed, else Debian's,
 * unpacked into the cache.
 */
export async function startRedis(options: RedisOptions): Promise<Redis> {
  const { args: more = [], portOf = freePort } = options;
  const [command, ...first] = await redisServer(options);
  const directory = await scratchDirectory('watershed-redis-');
  const logFile = join(options.logDirectory ?? directory, 'redis.log');
  const port = await portOf('redis');
  let child: Child;
  const start = async (): Promise<void> => {
    const args = [...first, '--port', String(port), '--bind', '127.0.0.1', '--save', '', ...more];
    child = startChild({ command, args, logFile, cwd: directory });
    const deadline = Date.now() + startTimeoutMs;
    while (!(await answers(port))) {
      if (child.exit !== undefined || Date.now() > deadline) throw new Error('Redis did not start');
      await sleep(20);
    }
  };
  const kill = async (): Promise<void> => {
    child.signal('SIGKILL');
    await child.exited;
  };
  const stop = async (): Promise<void> => {
    await kill();
    await rm(directory, { recursive: true, force: true });
  };
  await start();
  return {
    name: 'redis',
    url: `redis://127.0.0.1:${port}`,
    logFile,
    get pid() {
      return child.pid;
    },
    get ended() {
      return child.exited;
    },
    kill,
    start,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** The command and its first arguments. */
async function redisServer({
  cache,
  progress,
}: RedisOptions): Promise<readonly [string, ...string[]]> {
  const found = await run('sh', ['-c', 'command -v redis-server'], { timeoutMs: 5_000 });
  if (found.status === 0) return [found.stdout.trim()];
  const unpacked = await fetchOnce(
    cache,
    { name: 'redis-debian', make: (directory) => download(directory, progress) },
    progress,
  );
  const libraries = await readdir(join(unpacked, 'usr/lib'));
  const path = libraries.map((name) => join(unpacked, 'usr/lib', name)).join(':');
  return ['env', `LD_LIBRARY_PATH=${path}`, join(unpacked, 'redis-server')];
}

/** Debian's packages need no installation to run, if their libraries are found. */
async function download(directory: string, progress: Progress): Promise<void> {
  progress('fetching Redis (Debian, 2 MB, once per machine)');
  const script = `
    set -e
    apt-get download -qq redis-tools liblzf1 libjemalloc2
    for file in *.deb; do dpkg-deb -x "$file" .; rm "$file"; done
    # One program, which is told by its name what it is to be.
    ln -s usr/bin/redis-check-rdb redis-server`;
  const result = await run('sh', ['-c', script], { cwd: directory, timeoutMs: fetchTimeoutMs });
  if (result.status === 0) return;
  throw new Error(`redis-server is needed (apt-get install redis-server): ${result.stderr}`);
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ port, host: '127.0.0.1' });
    socket.once('connect', () => socket.write('PING\r\n'));
    socket.once('data', (data) => {
      socket.destroy();
      resolve(data.toString().startsWith('+PONG'));
    });
    socket.once('error', () => resolve(false));
  });
}
