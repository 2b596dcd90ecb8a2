import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startChild, type Child } from 'xdsctl/components/child.ts';
import { until } from './wait.ts';

const main = fileURLToPath(new URL('../../../standalone/src/main.ts', import.meta.url));
const startMs = 60_000;

export interface ControlPlaneOptions {
  readonly configDir: string;
  /** More flags. */
  readonly args?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

interface Addresses {
  readonly grpc: string;
  readonly monitoring: string;
}

/** The real process, as a user starts it; a restart comes back to the same addresses and data. */
export class ControlPlane {
  readonly #options: ControlPlaneOptions;
  readonly #directory: string;
  #addresses: Addresses = { grpc: '127.0.0.1:0', monitoring: '127.0.0.1:0' };
  #child: Child | undefined;
  #starts = 0;

  private constructor(options: ControlPlaneOptions, directory: string) {
    this.#options = options;
    this.#directory = directory;
  }

  static async start(options: ControlPlaneOptions): Promise<ControlPlane> {
    const directory = await mkdtemp(join(tmpdir(), 'watershed-plane-'));
    const plane = new ControlPlane(options, directory);
    await plane.start();
    return plane;
  }

  /** Where proxies connect to. */
  get xds(): { readonly host: string; readonly port: number } {
    return { host: '127.0.0.1', port: Number(this.#addresses.grpc.split(':').at(-1)) };
  }

  get monitoring(): string {
    return this.#addresses.monitoring;
  }

  get dataDir(): string {
    return join(this.#directory, 'data');
  }

  /** Resolves when it is ready. */
  async start(): Promise<void> {
    this.#starts += 1;
    const { configDir, args = [], environment = {} } = this.#options;
    const { grpc, monitoring } = this.#addresses;
    const child = startChild({
      command: process.execPath,
      args: [
        ...[main, '--configDir', configDir, '--dataDir', this.dataDir],
        ...['--grpcAddr', grpc, '--monitoringAddr', monitoring, '--log_as_json=true', ...args],
      ],
      logFile: this.#logFile,
      // Every hit of the cache is generated again and compared.
      environment: { ...process.env, WATERSHED_ASSERT_EVERY: '1', ...environment },
    });
    this.#child = child;
    this.#addresses = await until(
      'the control plane is ready',
      async () => {
        const log = await readFile(this.#logFile, 'utf8');
        if (child.exit !== undefined) throw new Error(`it ended:\n${log.slice(-4_000)}`);
        return readyLine(log);
      },
      startMs,
    );
  }

  /** As a crash. */
  async kill(): Promise<void> {
    this.#child?.signal('SIGKILL');
    await this.#child?.exited;
  }

  /** As an operator stops it. */
  async stop(): Promise<void> {
    await this.#child?.stop(15_000);
  }

  /** Stops it and removes its data. */
  async delete(): Promise<void> {
    await this.stop();
    await rm(this.#directory, { recursive: true, force: true });
  }

  /** What it logged since its last start. */
  async log(): Promise<string> {
    return await readFile(this.#logFile, 'utf8');
  }

  async text(path: string): Promise<string> {
    const response = await fetch(`http://${this.monitoring}${path}`);
    const body = await response.text();
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${body}`);
    return body;
  }

  async json(path: string): Promise<unknown> {
    return JSON.parse(await this.text(path)) as unknown;
  }

  async metrics(): Promise<MetricValues> {
    return new MetricValues(await this.text('/metrics'));
  }

  get #logFile(): string {
    return join(this.#directory, `watershed-${this.#starts}.log`);
  }
}

/** The line that says that it is ready, and where it listens. */
function readyLine(log: string): Addresses | undefined {
  for (const line of log.split('\n')) {
    if (!line.includes('"Watershed is ready"')) continue;
    const grpc = /"grpc":"([^"]+)"/u.exec(line)?.[1];
    const monitoring = /"monitoring":"([^"]+)"/u.exec(line)?.[1];
    if (grpc !== undefined && monitoring !== undefined) return { grpc, monitoring };
  }
  return undefined;
}

/** One scrape of /metrics. */
export class MetricValues {
  readonly #series = new Map<string, number>();

  constructor(text: string) {
    for (const line of text.split('\n')) {
      const space = line.lastIndexOf(' ');
      if (line.startsWith('#') || space <= 0) continue;
      this.#series.set(line.slice(0, space), Number(line.slice(space + 1)));
    }
  }

  /** The sum over all series of a metric that have these labels. */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number {
    let sum = 0;
    for (const [series, value] of this.#series) {
      if (series !== name && !series.startsWith(`${name}{`)) continue;
      const has = Object.entries(labels).every(([key, label]) =>
        series.includes(`${key}="${label}"`),
      );
      if (has) sum += value;
    }
    return sum;
  }
}
