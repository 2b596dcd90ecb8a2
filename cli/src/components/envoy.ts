import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run, startChild, type Child, type Exit } from './child.ts';
import { EnvoyAdmin } from './envoy-admin.ts';

export interface EnvoyOptions {
  /** See `fetchEnvoy`. */
  readonly binary: string;
  /** An object (of Bootstrap's JSON form), or the text of a YAML or JSON file. */
  readonly bootstrap: object | string;
  /** Where the bootstrap, the log and the admin address are written; made if absent, not removed. */
  readonly directory: string;
  readonly logLevel?: 'trace' | 'debug' | 'info' | 'warning' | 'error';
  /** `upstream:debug,config:trace` */
  readonly componentLogLevel?: string;
  readonly args?: readonly string[];
  /**
   * Whether xDS with a field that this Envoy does not know is refused (a NACK) instead of being
   * taken without it. Default true: what is generated must be understood whole.
   */
  readonly rejectUnknownFields?: boolean;
  /** How long until the admin port must answer. Default 20 s. */
  readonly startTimeoutMs?: number;
}

/** Envoy binds its admin port to one that is free and tells which: two of them never collide. */
const adminOverlay = JSON.stringify({
  admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
});

/**
 * Starts an Envoy on loopback and waits until its admin port answers (not until it is ready:
 * without a control plane it never is). Envoy asks the kernel to be killed when the _thread_ that
 * started it ends (PR_SET_PDEATHSIG): start it from the main thread, or from a worker that lives as
 * long.
 */
export async function startEnvoy(options: EnvoyOptions): Promise<Envoy> {
  await mkdir(options.directory, { recursive: true });
  const bootstrap = await writeBootstrap(options.directory, options.bootstrap);
  const addressFile = join(options.directory, 'admin-address');
  const logFile = join(options.directory, 'envoy.log');
  await writeFile(addressFile, '');
  await writeFile(logFile, '');
  const unknown = options.rejectUnknownFields === false ? [] : ['--reject-unknown-dynamic-fields'];
  const components = options.componentLogLevel;
  const child = startChild({
    command: options.binary,
    args: [
      ...['-c', bootstrap, '--config-yaml', adminOverlay, '--admin-address-path', addressFile],
      ...['--concurrency', '1', '--disable-hot-restart', '--log-level', options.logLevel ?? 'info'],
      ...(components === undefined ? [] : ['--component-log-level', components]),
      ...unknown,
      ...(options.args ?? []),
    ],
    logFile,
  });
  const timeoutMs = options.startTimeoutMs ?? 20_000;
  try {
    const port = await adminPortOf(child, addressFile, timeoutMs);
    return new Envoy(child, new EnvoyAdmin(port), logFile);
  } catch (error) {
    await child.stop(0);
    const tail = (await readFile(logFile, 'utf8')).slice(-4_000);
    throw new Error(`Envoy did not start; the end of ${logFile}:\n${tail}`, { cause: error });
  }
}

async function writeBootstrap(directory: string, bootstrap: object | string): Promise<string> {
  const text = typeof bootstrap === 'string' ? bootstrap : JSON.stringify(bootstrap, undefined, 2);
  // JSON is YAML, so one suffix serves both.
  const file = join(directory, 'bootstrap.yaml');
  await writeFile(file, text);
  return file;
}

async function adminPortOf(child: Child, file: string, timeoutMs: number): Promise<number> {
  const deadline = performance.now() + timeoutMs;
  while (child.exit === undefined && performance.now() < deadline) {
    const address = (await readFile(file, 'utf8')).trim();
    const port = Number(address.slice(address.lastIndexOf(':') + 1));
    if (address !== '' && port > 0) return port;
    await sleep(20);
  }
  throw new Error(child.exit === undefined ? `no admin port in ${timeoutMs} ms` : 'it exited');
}

/** A running Envoy. */
export class Envoy {
  readonly #child: Child;
  readonly admin: EnvoyAdmin;
  readonly logFile: string;

  constructor(child: Child, admin: EnvoyAdmin, logFile: string) {
    this.#child = child;
    this.admin = admin;
    this.logFile = logFile;
  }

  get adminPort(): number {
    return this.admin.port;
  }

  get pid(): number {
    return this.#child.pid;
  }

  get exited(): Promise<Exit> {
    return this.#child.exited;
  }

  /** Resolves when all that it waits for (clusters, listeners, secrets) has arrived. */
  async waitReady(timeoutMs = 20_000): Promise<void> {
    await this.waitFor('to be ready', () => this.admin.isReady(), timeoutMs);
  }

  /** Polls until `condition` holds; fails with the end of the log after `timeoutMs`. */
  async waitFor(
    what: string,
    condition: () => Promise<boolean> | boolean,
    timeoutMs = 20_000,
  ): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!(await condition())) {
      const exit = this.#child.exit;
      if (exit !== undefined || performance.now() > deadline) {
        const tail = (await readFile(this.logFile, 'utf8')).slice(-4_000);
        const why = exit === undefined ? `in ${timeoutMs} ms` : 'before it exited';
        throw new Error(`waited for Envoy ${what}, not ${why}; the end of its log:\n${tail}`);
      }
      await sleep(20);
    }
  }

  /**
   * Lines of the log at level warning or above: refused configuration, deprecated fields and the
   * like.
   */
  async warnings(): Promise<readonly string[]> {
    const text = await readFile(this.logFile, 'utf8');
    return text
      .split('\n')
      .filter((line) => /^\[[^\]]+\]\[\d+\]\[(warning|error|critical)\]/u.test(line));
  }

  /** As an operator stops it: it ends its connections. Killed after `graceMs`. */
  async stop(graceMs = 5_000): Promise<void> {
    await this.#child.stop(graceMs);
  }

  /** As a crash. */
  async kill(): Promise<void> {
    this.#child.signal('SIGKILL');
    await this.exited;
  }
}

export interface Validation {
  readonly valid: boolean;
  /** What Envoy printed. */
  readonly output: string;
}

/** Lets Envoy read a bootstrap and everything static in it, without running it (about 0.1 s). */
export async function validateEnvoy(
  options: Pick<EnvoyOptions, 'binary' | 'bootstrap' | 'directory'>,
): Promise<Validation> {
  await mkdir(options.directory, { recursive: true });
  const file = await writeBootstrap(options.directory, options.bootstrap);
  const args = [
    '--mode',
    'validate',
    '-c',
    file,
    '--disable-hot-restart',
    '--log-level',
    'warning',
  ];
  const result = await run(options.binary, args, { timeoutMs: 30_000 });
  return { valid: result.status === 0, output: `${result.stdout}${result.stderr}` };
}
