import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { readFile } from 'node:fs/promises';
import { startChild, type Child, type Exit } from './child.ts';
import type { ClusterProcess } from './cluster-process.ts';
import { freePort, type PortOf } from './ports.ts';

export const tiers = ['ingester', 'translator', 'pusher'] as const;
export type Tier = (typeof tiers)[number];

export interface ServiceOptions {
  readonly tier: Tier;
  /** Unique in its set: `translator-1`. */
  readonly name: string;
  readonly args: readonly string[];
  /** Default: any that is free. */
  readonly portOf?: PortOf;
  readonly environment?: NodeJS.ProcessEnv;
  /** Takes its output; appended to. */
  readonly logFile: string;
}

const startTimeoutMs = 60_000;

/** One of Watershed's services, as a process. A restart comes back to the same ports. */
export class ServiceProcess implements ClusterProcess {
  readonly name: string;
  readonly tier: Tier;
  /** `host:port` of /ready, /metrics and /debug. */
  readonly monitoring: string;
  /** `host:port` of xDS; pushers only. */
  readonly grpc: string | undefined;
  readonly logFile: string;
  readonly #options: ServiceOptions;
  #child: Child | undefined;

  private constructor(options: ServiceOptions, monitoring: number, grpc: number | undefined) {
    this.#options = options;
    this.name = options.name;
    this.tier = options.tier;
    this.logFile = options.logFile;
    this.monitoring = `127.0.0.1:${monitoring}`;
    this.grpc = grpc === undefined ? undefined : `127.0.0.1:${grpc}`;
  }

  /** It is not started yet. */
  static async create(options: ServiceOptions): Promise<ServiceProcess> {
    const { tier, name, portOf = freePort } = options;
    const grpc = tier === 'pusher' ? await portOf(`${name} xDS`) : undefined;
    return new ServiceProcess(options, await portOf(`${name} monitoring`), grpc);
  }

  get pid(): number {
    return this.#child?.pid ?? -1;
  }

  get ended(): Promise<Exit> {
    return this.#child?.exited ?? Promise.reject(new Error(`${this.name} was never started`));
  }

  get running(): boolean {
    return this.#child !== undefined && this.#child.exit === undefined;
  }

  /** Begins to run; `whenReady` tells when it can do its work. */
  start(): void {
    const { tier, args, environment, logFile } = this.#options;
    const main = fileURLToPath(new URL(`../../../services/${tier}/src/main.ts`, import.meta.url));
    const grpc = this.grpc === undefined ? [] : ['--grpcAddr', this.grpc];
    this.#child = startChild({
      command: process.execPath,
      args: [main, '--monitoringAddr', this.monitoring, '--log_as_json=true', ...grpc, ...args],
      logFile,
      ...(environment === undefined ? {} : { environment }),
    });
  }

  /** @throws Error with the end of its log, when it ends or takes too long. */
  async whenReady(): Promise<void> {
    const deadline = performance.now() + startTimeoutMs;
    while (!(await this.isReady())) {
      if (this.running && performance.now() < deadline) {
        await sleep(50);
        continue;
      }
      const log = await readFile(this.logFile, 'utf8');
      throw new Error(`${this.name} is not ready; the end of its log:\n${log.slice(-4_000)}`);
    }
  }

  async isReady(): Promise<boolean> {
    try {
      const signal = AbortSignal.timeout(2_000);
      return (await fetch(`http://${this.monitoring}/ready`, { signal })).ok;
    } catch {
      return false;
    }
  }

  /** SIGKILL: as a crash. */
  async kill(): Promise<void> {
    this.#child?.signal('SIGKILL');
    await this.#child?.exited;
  }

  /** SIGSTOP: it holds on to all it has, and does nothing. */
  pause(): void {
    this.#child?.signal('SIGSTOP');
  }

  resume(): void {
    this.#child?.signal('SIGCONT');
  }

  /** As an operator ends it. */
  async stop(): Promise<void> {
    await this.#child?.stop(15_000);
  }
}
