import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startWatershed, type Watershed } from 'xdsctl/components/watershed.ts';

export interface ControlPlaneOptions {
  readonly configDir: string;
  /** More flags. */
  readonly args?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

/** The real process, as a user starts it; a restart comes back to the same addresses and data. */
export class ControlPlane {
  readonly #options: ControlPlaneOptions;
  readonly #directory: string;
  #process: Watershed | undefined;
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
    return { host: '127.0.0.1', port: Number(this.#process?.grpc.split(':').at(-1)) };
  }

  /** The same over TLS. */
  get secureXds(): { readonly host: string; readonly port: number } {
    return { host: '127.0.0.1', port: Number(this.#process?.secureGrpc?.split(':').at(-1)) };
  }

  get monitoring(): string {
    return this.#process?.monitoring ?? '';
  }

  get dataDir(): string {
    return join(this.#directory, 'data');
  }

  /** Resolves when it is ready. */
  async start(): Promise<void> {
    this.#starts += 1;
    const { configDir, args = [], environment = {} } = this.#options;
    this.#process = await startWatershed({
      configDir,
      dataDir: this.dataDir,
      logFile: this.#logFile,
      args,
      // Every hit of the cache is generated again and compared.
      environment: { ...process.env, WATERSHED_ASSERT_EVERY: '1', ...environment },
      ...(this.#process === undefined
        ? {}
        : { grpc: this.#process.grpc, monitoring: this.#process.monitoring }),
    });
  }

  /** As a crash. */
  async kill(): Promise<void> {
    this.#process?.child.signal('SIGKILL');
    await this.#process?.child.exited;
  }

  /** SIGSTOP: its connections stay, and nothing is answered. */
  pause(): void {
    this.#process?.child.signal('SIGSTOP');
  }

  resume(): void {
    this.#process?.child.signal('SIGCONT');
  }

  /** As an operator stops it. */
  async stop(): Promise<void> {
    await this.#process?.child.stop(15_000);
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

/** Scrapes of /metrics, of one process or of several: equal series are added up. */
export class MetricValues {
  readonly #series = new Map<string, number>();

  constructor(text: string) {
    for (const line of text.split('\n')) {
      const space = line.lastIndexOf(' ');
      if (line.startsWith('#') || space <= 0) continue;
      const series = line.slice(0, space);
      this.#series.set(series, (this.#series.get(series) ?? 0) + Number(line.slice(space + 1)));
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
