/**
 * Services of a compose file as processes of this machine: what containers would give them is put
 * in place.
 */
import { mkdir, readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run, startChild, type Child } from 'xdsctl/components/child.ts';
import { freePort } from 'xdsctl/components/ports.ts';
import type { ComposeFile, ComposeService } from '../components/compose.ts';
import { until } from '../e2e/harness/wait.ts';

/** What the image calls it. */
const imageNode = '/nodejs/bin/node';
const runTimeoutMs = 60_000;
const healthyTimeoutMs = 60_000;
const betweenChecksMs = 250;

export interface ComposeRunOptions {
  readonly file: ComposeFile;
  /** Where the image's files are: the services' working directory. */
  readonly app: string;
  /** Takes logs, volumes and what else is mounted. */
  readonly directory: string;
  /** `host:port` inside → `host:port` here. */
  readonly network: ReadonlyMap<string, string>;
  /** Other sources of bind mounts, by their targets. */
  readonly binds: ReadonlyMap<string, string>;
  /** Variables beside the file's. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** One container, so to speak. */
export interface Replica {
  readonly service: string;
  /** By the port inside. */
  readonly ports: ReadonlyMap<number, number>;
  readonly logFile: string;
}

export class ComposeRun {
  readonly #options: ComposeRunOptions;
  readonly #children: Child[] = [];
  readonly replicas: Replica[] = [];

  constructor(options: ComposeRunOptions) {
    this.#options = options;
  }

  of(service: string): readonly Replica[] {
    return this.replicas.filter((replica) => replica.service === service);
  }

  /** Runs it to its end; its output. */
  async runOnce(name: string): Promise<string> {
    const service = this.#service(name);
    const { environment } = await this.#placed(name, service, 1);
    const args = service.command ?? [];
    const options = { cwd: this.#options.app, environment, timeoutMs: runTimeoutMs };
    const { status, stdout, stderr } = await run(process.execPath, args, options);
    if (status !== 0) throw new Error(`${name} ended with ${status}: ${stdout}${stderr}`);
    return stdout + stderr;
  }

  /** All replicas; resolves when each one's own health check succeeds. */
  async start(name: string): Promise<void> {
    const service = this.#service(name);
    const count = service.deploy?.replicas ?? 1;
    const replicas = Array.from({ length: count }, (_, at) => at + 1);
    await Promise.all(replicas.map((at) => this.#startReplica(name, service, at)));
  }

  async #startReplica(name: string, service: ComposeService, at: number): Promise<void> {
    const { environment, ports } = await this.#placed(name, service, at);
    const logFile = join(this.#options.directory, `${name}-${at}.log`);
    const child = startChild({
      command: process.execPath,
      args: service.command ?? [],
      cwd: this.#options.app,
      environment,
      logFile,
    });
    this.#children.push(child);
    this.replicas.push({ service: name, ports, logFile });
    const test = service.healthcheck?.test ?? [];
    try {
      await until(`${name}-${at} is healthy`, () => this.#healthy(test, ports), healthyTimeoutMs);
    } catch (error) {
      throw new Error((await readFile(logFile, 'utf8')).slice(-4_000), { cause: error });
    }
  }

  async #healthy(test: readonly string[], ports: Replica['ports']): Promise<boolean> {
    const [kind, command, ...args] = test;
    if (kind !== 'CMD' || command !== imageNode) throw new Error('no health check of the image');
    const here = args.map((arg) =>
      arg.replaceAll(/127\.0\.0\.1:(\d+)/gu, (_, port) => `127.0.0.1:${ports.get(Number(port))}`),
    );
    const { status } = await run(process.execPath, here, { timeoutMs: 10_000 });
    if (status !== 0) await sleep(betweenChecksMs);
    return status === 0;
  }

  /** Its environment with hosts, ports and mounts as they are here. */
  async #placed(
    name: string,
    service: ComposeService,
    at: number,
  ): Promise<{ environment: NodeJS.ProcessEnv; ports: Map<number, number> }> {
    const mounts = await this.#mounts(name, service, at);
    const ports = new Map<number, number>();
    const environment: NodeJS.ProcessEnv = {
      NODE_ENV: 'production',
      ...this.#options.environment,
    };
    for (const [variable, value] of Object.entries(service.environment ?? {})) {
      environment[variable] = await this.#here(value, mounts, ports);
    }
    return { environment, ports };
  }

  async #here(
    value: string,
    mounts: ReadonlyMap<string, string>,
    ports: Map<number, number>,
  ): Promise<string> {
    const listen = /^:(\d+)$/u.exec(value)?.[1];
    if (listen !== undefined) {
      const port = await freePort();
      ports.set(Number(listen), port);
      return `127.0.0.1:${port}`;
    }
    for (const [target, source] of mounts) {
      if (value === target || value.startsWith(`${target}/`)) {
        return source + value.slice(target.length);
      }
    }
    if (value.startsWith('/')) throw new Error(`nothing is mounted at ${value}`);
    return value.replaceAll(/[a-z][a-z\d.-]*:\d+/gu, (address) => {
      const here = this.#options.network.get(address);
      if (here === undefined) throw new Error(`nobody is called ${address}`);
      return here;
    });
  }

  async #mounts(
    name: string,
    service: ComposeService,
    at: number,
  ): Promise<ReadonlyMap<string, string>> {
    const { directory, binds } = this.#options;
    const mounts = new Map<string, string>();
    for (const { type, source, target } of service.volumes ?? []) {
      const place = type === 'volume' ? join(directory, 'volumes', source) : source;
      if (type === 'volume') await mkdir(place, { recursive: true });
      mounts.set(target, binds.get(target) ?? place);
    }
    for (const mount of service.tmpfs ?? []) {
      const target = mount.split(':')[0] ?? '';
      const place = join(directory, 'tmpfs', `${name}-${at}`, target);
      await mkdir(place, { recursive: true });
      mounts.set(target, place);
    }
    return mounts;
  }

  #service(name: string): ComposeService {
    const service = this.#options.file.services[name];
    if (service === undefined) throw new Error(`there is no service ${name}`);
    return service;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#children.map((child) => child.stop(15_000)));
  }
}

/** Whether something listens on that port of loopback. */
export function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
