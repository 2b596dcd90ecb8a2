/**
 * Real workloads that speak gRPC without a proxy, each a process of another implementation: they
 * make unary calls and serve them, as they are told by lines of JSON on standard input.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fetchOnce } from 'xdsctl/components/cache.ts';
import { run } from 'xdsctl/components/child.ts';
import { testCache, testProgress } from '../cache.ts';

/** grpc-go 1.85, Python's grpcio (the core of C++), and grpc-js. */
export const languages = ['go', 'python', 'node'] as const;
export type Language = (typeof languages)[number];

export interface Calls {
  readonly id: number;
  readonly op: 'calls';
  /** `xds:///host:port` */
  readonly target: string;
  readonly method: string;
  readonly count: number;
  /** As many calls are open at once. */
  readonly parallel: number;
  readonly timeoutMs: number;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface Serve {
  readonly id: number;
  readonly op: 'serve';
  /** `host:port`, as it is part of the name of the listener that it asks for. */
  readonly address: string;
  readonly name: string;
}

/** `stop` ends all calls that are being made; `go` lets others be made again. */
export type Order = Calls | Serve | { readonly id: number; readonly op: 'stop' | 'go' };

export interface Report {
  readonly id: number;
  /** By number of the status. */
  readonly codes?: Readonly<Record<string, number>>;
  /** Who answered, of calls that succeeded. */
  readonly servers?: Readonly<Record<string, number>>;
  /** Of the first few that failed. */
  readonly messages?: readonly string[];
  readonly maxMs?: number;
  readonly error?: string;
}

const here = import.meta.dirname;
const grpcioVersion = '1.85.3';
const buildTimeoutMs = 600_000;
const reportTimeoutMs = 60_000;

async function commandOf(language: Language): Promise<readonly [string, ...string[]]> {
  switch (language) {
    case 'go':
      return [join(await goPeer(), 'peer')];
    case 'python': {
      const name = `grpcio-${grpcioVersion}`;
      const venv = await fetchOnce(testCache, { name, make: makeVenv }, testProgress);
      // A venv does not move; its packages do.
      return ['python3', '-c', pythonStart, join(venv, 'packages'), join(here, 'peer.py')];
    }
    case 'node':
      return [process.execPath, join(here, 'node-peer.ts')];
  }
}

const pythonStart = [
  'import sys, runpy',
  'sys.path.insert(0, sys.argv[1])',
  'runpy.run_path(sys.argv[2], run_name="__main__")',
].join('; ');

async function makeVenv(directory: string): Promise<void> {
  testProgress(`fetching grpcio ${grpcioVersion} (PyPI, once per machine)`);
  await must('python3', [
    ...['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--only-binary=:all:'],
    ...['--target', join(directory, 'packages'), `grpcio==${grpcioVersion}`],
  ]);
}

/** Built once for each content of its source. */
async function goPeer(): Promise<string> {
  const files = ['go.mod', 'go.sum', 'main.go'];
  const hash = createHash('sha256');
  for (const file of files) hash.update(await readFile(join(here, 'go', file)));
  const make = async (directory: string): Promise<void> => {
    testProgress('building a client of grpc-go (Go module proxy, a minute, once per machine)');
    for (const file of files) await copyFile(join(here, 'go', file), join(directory, file));
    await must('go', ['build', '-o', 'peer', '.'], directory);
  };
  const name = `grpc-go-peer-${hash.digest('hex').slice(0, 16)}`;
  return fetchOnce(testCache, { name, make }, testProgress);
}

async function must(command: string, args: readonly string[], cwd?: string): Promise<void> {
  const where = cwd === undefined ? {} : { cwd };
  const result = await run(command, args, { timeoutMs: buildTimeoutMs, ...where });
  if (result.status === 0) return;
  throw new Error(
    `${command} ${args.slice(0, 3).join(' ')} failed: ${result.stderr.slice(-2_000)}`,
  );
}

/** A running workload. */
export class Peer {
  readonly language: Language;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #directory: string;
  readonly #waiting = new Map<number, (report: Report) => void>();
  #id = 0;

  private constructor(
    language: Language,
    child: ChildProcessWithoutNullStreams,
    directory: string,
  ) {
    this.language = language;
    this.#child = child;
    this.#directory = directory;
    child.stderr.pipe(createWriteStream(this.#logFile));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const report = JSON.parse(line) as Report;
      this.#waiting.get(report.id)?.(report);
      this.#waiting.delete(report.id);
    });
    child.once('exit', () => {
      for (const [id, settle] of this.#waiting) settle({ id, error: 'it exited' });
      this.#waiting.clear();
    });
  }

  /** @param bootstrap what `xdsctl bootstrap grpc` prints */
  static async start(language: Language, bootstrap: string): Promise<Peer> {
    const [command, ...args] = await commandOf(language);
    const directory = await mkdtemp(join(tmpdir(), 'watershed-peer-'));
    const file = join(directory, 'bootstrap.json');
    await writeFile(file, bootstrap);
    const env = { ...process.env, GRPC_XDS_BOOTSTRAP: file };
    return new Peer(language, spawn(command, args, { env, stdio: 'pipe' }), directory);
  }

  get #logFile(): string {
    return join(this.#directory, 'log');
  }

  async calls(options: Partial<Calls> & Pick<Calls, 'target'>): Promise<Required<Report>> {
    const report = await this.#order({
      op: 'calls',
      ...{ method: '/watershed.test.Echo/Call', count: 1, parallel: 1, timeoutMs: 10_000 },
      ...{ metadata: {}, ...options },
    });
    const { codes = {}, servers = {}, messages = [], maxMs = 0, id } = report;
    return { id, codes, servers, messages, maxMs, error: '' };
  }

  /** Resolves when it asks for its listener; it serves when it has it. */
  async serve(address: string, name: string): Promise<void> {
    await this.#order({ op: 'serve', address, name });
  }

  stopCalls(): void {
    this.#write({ id: 0, op: 'stop' });
  }

  letCalls(): void {
    this.#write({ id: 0, op: 'go' });
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = new Promise((resolve) => this.#child.once('exit', resolve));
      this.#child.kill('SIGKILL');
      await exited;
    }
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #order(order: Omit<Calls, 'id'> | Omit<Serve, 'id'>): Promise<Report> {
    const id = (this.#id += 1);
    const report = await new Promise<Report>((resolve) => {
      const late = setTimeout(() => resolve({ id, error: 'no report' }), reportTimeoutMs);
      this.#waiting.set(id, (report) => {
        clearTimeout(late);
        resolve(report);
      });
      this.#write({ ...order, id });
    });
    if (report.error === undefined) return report;
    const log = (await readFile(this.#logFile, 'utf8')).slice(-2_000);
    throw new Error(`${this.language}: ${report.error}\n${log}`);
  }

  #write(order: Order): void {
    this.#child.stdin.write(`${JSON.stringify(order)}\n`);
  }
}
