/** All tiers in one process, on a log, blobs, a network and clocks that are made of numbers. */
import { hash } from 'node:crypto';
import { topicSpecs } from '@watershed/log/topics.ts';
import type { LogRecord } from '@watershed/log/port.ts';
import { XdsRecord } from '@watershed/model/gen/record.ts';
import { topics } from '@watershed/model/keys.ts';
import type { Part } from '@watershed/runtime/lifecycle.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import { SimBlobs } from './blobs.ts';
import { clusters, tenants, type Catalog, type ClusterName } from './catalog.ts';
import { Client, order, type Applied } from './client.ts';
import { Faults } from './faults.ts';
import { SimGroup } from './group.ts';
import { Life } from './life.ts';
import { SimLog } from './log/log.ts';
import { SimStore, type SimPartition } from './log/store.ts';
import { SimNetwork } from './network.ts';
import { Oracle } from './oracle.ts';
import { previousSchema } from './previous.ts';
import { create, type Tier } from './processes.ts';
import type { Random } from './random.ts';

/** A process that is started again when it ends. */
export interface Process {
  readonly name: string;
  readonly tier: Tier;
  readonly cluster: ClusterName;
  life: Life;
  part: Part | undefined;
}

export interface WorldOptions {
  readonly random: Random;
  readonly catalog: Catalog;
  /** Absent: nothing fails. */
  readonly faults?: Faults;
  /** Names of processes of the previous schema. */
  readonly previous?: readonly string[];
  /** See `Surroundings`. */
  readonly isPatient: boolean;
  /** Told of all that happens, in order. */
  readonly trace: (line: string) => void;
  /** Default 3, which share 4 partitions. */
  readonly translators?: number;
  /** Told of what a client has applied. */
  readonly applied?: (client: Client, typeUrl: string, changes: readonly Applied[]) => void;
}

const tombstoneMs = 20_000;

export class World {
  readonly time = new VirtualTime();
  readonly store = new SimStore();
  readonly blobs = new SimBlobs(this.time);
  readonly group: SimGroup;
  readonly faults: Faults;
  readonly network: SimNetwork;
  readonly oracle: Oracle;
  readonly processes: Process[] = [];
  readonly clients: readonly Client[];
  readonly #options: WorldOptions;
  readonly #partitions: number;
  readonly #random: Random;
  /** What went wrong where nobody awaits it. */
  #failure: Error | undefined;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.#partitions = Math.max(4, options.translators ?? 0);
    this.#random = options.random;
    this.group = new SimGroup(this.#partitions);
    this.faults = options.faults ?? new Faults(options.random.fork(), false);
    const { faults } = this;
    this.network = new SimNetwork(this.time, faults.calls());
    this.oracle = new Oracle({ ...options, blobs: this.blobs, count: (what) => faults.hit(what) });
    this.store.ensure(
      topicSpecs({ shards: this.#partitions }).map((spec) =>
        spec.retention.kind === 'compact'
          ? { ...spec, retention: { kind: 'compact', tombstoneMs } as const }
          : spec,
      ),
    );
    this.store.onAppend = (partition, record) => {
      this.trace(`append ${describeAppend(partition, record)}`);
      this.oracle.appended(partition, record);
    };
    this.clients = tenants.flatMap((tenant) =>
      (['delta', 'sotw'] as const).map((mode) => this.#client(tenant, mode)),
    );
  }

  trace(line: string): void {
    this.#options.trace(`${this.time.monotonic().toFixed(3)} ${line}`);
  }

  start(): void {
    for (const cluster of clusters) this.#process('ingester', `ingester-${cluster}`, cluster);
    const { translators = 3 } = this.#options;
    for (let at = 0; at < translators; at++) this.#process('translator', `translator-${at}`);
    for (const at of [0, 1]) this.#process('pusher', `pusher-${at}`);
    for (const client of this.clients) client.connect();
  }

  /** Lets time pass. Throws what was violated meanwhile. */
  async advance(durationMs: number): Promise<void> {
    await this.time.advance(durationMs);
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** What a client holds, as text: the same texts, the same bytes. */
  stateOf(client: Client): string {
    return order
      .flatMap((typeUrl) =>
        [...(client.held.get(typeUrl) ?? [])]
          .map(([name, { bytes }]) => `${typeUrl} ${name} ${hash('sha1', bytes)}`)
          .sort(),
      )
      .join('\n');
  }

  fail(error: unknown): void {
    this.#failure ??= error instanceof Error ? error : new Error(textOf(error));
  }

  /** Ends a process at whatever await it is, and starts it again later. */
  crash(process: Process, why: string): void {
    if (process.life.over) return;
    this.trace(`${process.name} ends: ${why}`);
    process.life.end();
    if (process.tier === 'translator') {
      // A group finds out who is dead.
      this.time.after(this.faults.delayMs(500, 5_000), () => this.group.rebalance(() => 0));
    }
    this.time.after(this.faults.delayMs(50, 5_000), () => this.#run(process));
  }

  /** Ends a process as SIGTERM does. */
  stop(process: Process): void {
    const { life, part } = process;
    if (life.over || part?.stop === undefined) return;
    this.trace(`${process.name} stops`);
    const given = new AbortController();
    life.time.after(5_000, () => given.abort());
    life.time.after(10_000, () => this.crash(process, 'it did not stop'));
    void part.stop(given.signal).then(
      () => this.crash(process, 'it has stopped'),
      (error: unknown) => this.fail(error),
    );
  }

  #process(tier: Tier, name: string, cluster: ClusterName = 'one'): void {
    const process = { name, tier, cluster, life: new Life(name, this.time), part: undefined };
    this.processes.push(process);
    this.#run(process);
  }

  #run(process: Process): void {
    const { name, tier, cluster } = process;
    const life = new Life(name, this.time);
    const { store, time, faults, blobs, group, network } = this;
    const { previous = [] } = this.#options;
    const log = new SimLog({ store, time, network: faults.log(name) });
    life.atEnd(() => log.kill((waiting) => this.#random.below(waiting + 1)));
    const end = (error: unknown): void => {
      this.time.after(0, () => {
        if (process.life === life) this.crash(process, textOf(error));
      });
    };
    const part = create[tier]({
      life,
      cluster,
      partitions: this.#partitions,
      log: previous.includes(name) ? previousSchema(log) : log,
      blobs: blobs.connect(life, faults.blobs(name)),
      logger: this.#logger(life),
      random: this.#random.fork(),
      catalog: this.#options.catalog,
      group,
      network,
      isPatient: this.#options.isPatient,
      onFatal: end,
    });
    Object.assign(process, { life, part });
    this.trace(`${name} starts${previous.includes(name) ? ', of the previous schema' : ''}`);
    void part.start?.().catch(end);
  }

  #client(tenant: (typeof tenants)[number], mode: 'delta' | 'sotw'): Client {
    const { time, network, faults } = this;
    const random = this.#random.fork();
    return new Client({
      name: `${mode}-${tenant}`,
      tenant,
      mode,
      time,
      network,
      choose: () => `pusher-${random.below(2)}`,
      thinkMs: () => faults.thinkMs(),
      onApplied: (client, typeUrl, changes) => {
        const names = changes.map(({ name, resource }) =>
          resource === undefined
            ? `-${name}`
            : `${name}=${hash('sha1', resource.bytes).slice(0, 8)}`,
        );
        const type = typeUrl.slice(typeUrl.lastIndexOf('.') + 1);
        this.trace(`${client.options.name} at ${client.server} ${type} ${names.join(' ')}`);
        try {
          this.oracle.applied(client, typeUrl, changes);
          this.#options.applied?.(client, typeUrl, changes);
        } catch (error) {
          this.fail(error);
        }
      },
    });
  }

  #logger(life: Life): Logger {
    const say =
      (level: string) => (message: string, fields?: Readonly<Record<string, unknown>>) => {
        if (life.over) return;
        const error = fields?.['error'];
        this.trace(
          `${life.name} ${level}: ${message}${error === undefined ? '' : ` (${textOf(error)})`}`,
        );
      };
    const quiet = (): void => undefined;
    const [info, warn, error] = ['info', 'warn', 'error'].map(say);
    const logger: Logger = {
      debug: quiet,
      info: info ?? quiet,
      warn: warn ?? quiet,
      error: error ?? quiet,
      fatal: error ?? quiet,
      enabled: () => false,
      with: () => logger,
    };
    return logger;
  }
}

function describeAppend({ topic, index }: SimPartition, record: LogRecord): string {
  const { key, value, offset, headers } = record;
  const { name } = topic.spec;
  const bytes = value === undefined ? '-' : hash('sha1', value).slice(0, 8);
  const said = name === topics.xds && value !== undefined ? XdsRecord.decode(value) : undefined;
  const mark = said?.record?.$case === 'watermark' ? said.record.value : said;
  const of = mark === undefined || key.startsWith('!') ? '' : ` of ${mark.epoch}`;
  return `${name}/${index}@${offset} ${key} ${bytes}${of} by ${headers['epoch'] ?? 'nobody'}`;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
