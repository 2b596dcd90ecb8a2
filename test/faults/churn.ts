/**
 * What users do all the time: workloads move, services come and go, routes and rules change. It
 * knows at any moment what the configuration says, which is what all must come to in the end.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConfigDir } from '../e2e/harness/config-dir.ts';
import { istio, service } from '../e2e/harness/objects.ts';
import type { Random } from './random.ts';

export const namespace = 'edge';

/** Services that stay; the workloads of each file's move together. */
const files = 8;
const servicesPerFile = 30;
export const stayingServices = files * servicesPerFile;
/** Services of which one comes and one goes at each turn. */
const passing = 20;
/** A turn moves the workloads of two files: 60 objects, and 4 of configuration. */
const turnMs = 200;
const filesPerTurn = 2;

export interface ChurnOptions {
  readonly config: ConfigDir;
  readonly random: Random;
  /** Writes the route that the data plane follows. */
  readonly route: (revision: number) => Promise<void>;
}

export class Churn {
  readonly #options: ChurnOptions;
  /** Where each service's workload is. */
  readonly #ports = new Map<string, number>();
  #revision = 0;
  #passed = 0;
  #turn = 0;
  #written = 0;
  #stopped = true;
  #running: Promise<void> = Promise.resolve();

  constructor(options: ChurnOptions) {
    this.#options = options;
  }

  /** Objects that were written and differ from what they were. */
  get written(): number {
    return this.#written;
  }

  get revision(): number {
    return this.#revision;
  }

  /** Service → port of its workload, as it is to be. */
  get expected(): ReadonlyMap<string, number> {
    return this.#ports;
  }

  /** All files, once. */
  async begin(): Promise<void> {
    for (let at = 0; at < passing; at++) this.#pass();
    for (let file = 0; file < files; file++) {
      const objects = this.#namesOf(file).flatMap((name) => {
        return service({ name, namespace, port: 80, clusterIP: addressOf(name), workloads: [] });
      });
      await this.#options.config.write(`services-${file}`, ...objects);
      await this.#move(file);
    }
    await this.#configure();
  }

  start(): void {
    this.#stopped = false;
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const dueAt = performance.now() + turnMs;
      for (let at = 0; at < filesPerTurn; at++) {
        await this.#move((this.#turn * filesPerTurn + at) % files);
      }
      await this.#configure();
      this.#turn += 1;
      await sleep(Math.max(1, dueAt - performance.now()));
    }
  }

  #namesOf(file: number): readonly string[] {
    return Array.from({ length: servicesPerFile }, (_, at) => `s${file * servicesPerFile + at}`);
  }

  async #move(file: number): Promise<void> {
    const objects = this.#namesOf(file).flatMap((name) => {
      const port = this.#newPort(this.#ports.get(name));
      this.#ports.set(name, port);
      return service({ name, namespace, port: 80, workloads: [{ port }] }).slice(1);
    });
    await this.#options.config.write(`workloads-${file}`, ...objects);
    this.#written += objects.length;
  }

  /** One service comes and one goes; a route and a rule change. */
  async #configure(): Promise<void> {
    const { config, route } = this.#options;
    this.#pass();
    const names = [...this.#ports.keys()].filter((name) => name.startsWith('p'));
    const objects = names.flatMap((name) => {
      const workloads = [{ port: this.#ports.get(name) ?? 0 }];
      return service({ name, namespace, port: 80, clusterIP: addressOf(name), workloads });
    });
    await config.write('passing', ...objects);
    this.#revision += 1;
    const trafficPolicy = { connectionPool: { tcp: { maxConnections: 100 + this.#revision } } };
    await config.write(
      'rule',
      istio('DestinationRule', namespace, 'rule', { host: 's0', trafficPolicy }),
    );
    await route(this.#revision);
    // Two services with a workload each, a rule, a route.
    this.#written += 6;
  }

  /** The name of one that is gone is not used again: should it come back, it is seen. */
  #pass(): void {
    this.#ports.set(`p${this.#passed}`, this.#newPort(undefined));
    this.#ports.delete(`p${this.#passed - passing}`);
    this.#passed += 1;
  }

  #newPort(before: number | undefined): number {
    const port = 20_000 + this.#options.random.below(20_000);
    return port === before ? port + 1 : port;
  }
}

/** One of its own for each service. */
function addressOf(name: string): string {
  const number = Number(name.slice(1)) % 60_000;
  const net = name.startsWith('s') ? 1 : 2;
  return `10.${net}.${Math.floor(number / 250)}.${1 + (number % 250)}`;
}
