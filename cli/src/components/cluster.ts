/**
 * The whole distributed Watershed on this machine: Kafka, Redis, and the three services as
 * processes of their own.
 */
import { join } from 'node:path';
import { makeDirectory } from '@watershed/runtime/data-dir.ts';
import { readOrCreateSealingKeys } from '@watershed/runtime/sealing.ts';
import type { Progress } from './cache.ts';
import { startKafka, type Doors, type Kafka, type KafkaOptions } from './kafka.ts';
import type { ClusterProcess } from './cluster-process.ts';
import { freePort, keptPorts, type PortOf } from './ports.ts';
import { startRedis, type Redis } from './redis.ts';
import { ServiceProcess, tiers, type Tier } from './service.ts';

export interface ClusterOptions {
  readonly configDir: string;
  /** Takes logs, the key, ports and all data (Redis has none); one that has them goes on with them. */
  readonly directory: string;
  /** Where Kafka and Redis are kept once fetched. */
  readonly cache: string;
  readonly progress: Progress;
  /** Default 1. */
  readonly brokers?: number;
  /** How Kafka is run. */
  readonly kafka?: Pick<KafkaOptions, 'fullJit' | 'heapMb'>;
  /** Default 2. */
  readonly translators?: number;
  /** Default 2. */
  readonly pushers?: number;
  /** Default 64. */
  readonly partitions?: number;
  /** More flags of a tier. */
  readonly args?: Readonly<Partial<Record<Tier, readonly string[]>>>;
  readonly environment?: NodeJS.ProcessEnv;
  /**
   * Between a tier and each broker: given the port that a broker listens on for that tier, the port
   * at which the tier is to find it. Default: nothing is between.
   */
  readonly between?: (tier: Tier, port: number) => Promise<number>;
}

export interface IngesterSource {
  readonly configDir: string;
  /** Default: that of the option. */
  readonly clusterId?: string;
}

export interface Cluster {
  readonly kafka: Kafka;
  readonly redis: Redis;
  readonly ingester: ServiceProcess;
  readonly translators: readonly ServiceProcess[];
  readonly pushers: readonly ServiceProcess[];
  readonly services: readonly ServiceProcess[];
  /** All of its processes: Kafka's and Redis too. */
  readonly processes: readonly ClusterProcess[];
  readonly directory: string;
  /** Of one tier, one more; it is started, and not ready yet. */
  add(tier: 'translator' | 'pusher'): Promise<ServiceProcess>;
  /** Of another cluster (istiod's cluster id). */
  addIngester(source: IngesterSource): Promise<ServiceProcess>;
  /** Stops one that was added, for good. */
  remove(service: ServiceProcess): Promise<void>;
  /** In order: pushers first, the log last. */
  stop(): Promise<void>;
}

/** Resolves when all of it is ready. What was started is stopped when something cannot be. */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const set = new ServiceSet(options);
  try {
    await set.start();
    return set;
  } catch (error) {
    await set.stop();
    throw error;
  }
}

class ServiceSet implements Cluster {
  readonly #options: ClusterOptions;
  readonly services: ServiceProcess[] = [];
  readonly #created = new Map<Tier, number>();
  #kafka: Kafka | undefined;
  #redis: Redis | undefined;
  #portOf: PortOf = freePort;

  constructor(options: ClusterOptions) {
    this.#options = options;
  }

  get directory(): string {
    return this.#options.directory;
  }

  get kafka(): Kafka {
    return started(this.#kafka);
  }

  get redis(): Redis {
    return started(this.#redis);
  }

  get ingester(): ServiceProcess {
    return started(this.#of('ingester')[0]);
  }

  get translators(): readonly ServiceProcess[] {
    return this.#of('translator');
  }

  get pushers(): readonly ServiceProcess[] {
    return this.#of('pusher');
  }

  get processes(): readonly ClusterProcess[] {
    return [...this.kafka.nodes, this.redis, ...this.services];
  }

  async start(): Promise<void> {
    const { cache, progress, brokers = 1, kafka, directory } = this.#options;
    const { translators = 2, pushers = 2 } = this.#options;
    await makeDirectory(directory);
    await readOrCreateSealingKeys(this.#keyFile);
    this.#portOf = await keptPorts(join(directory, 'ports'));
    progress(`Kafka: ${brokers === 1 ? 'one broker' : `${brokers} brokers`}`);
    // A group need not wait for more members: they are started by the same hand.
    const config = { 'group.initial.rebalance.delay.ms': '0' };
    const { between } = this.#options;
    const doors = between === undefined ? {} : { doors: doorsOf(between) };
    const shared = { cache, progress, logDirectory: directory, portOf: this.#portOf };
    this.#kafka = await startKafka({
      ...{ ...kafka, ...shared, nodes: brokers, config, ...doors },
      directory: join(directory, 'kafka'),
    });
    for (const [at, node] of this.#kafka.nodes.entries()) {
      progress(lineOf(node, this.#kafka.brokers[at] ?? ''));
    }
    this.#redis = await startRedis(shared);
    progress(lineOf(this.#redis, this.#redis.url));
    await this.#create('ingester');
    for (let at = 0; at < translators; at++) await this.#create('translator');
    for (let at = 0; at < pushers; at++) await this.#create('pusher');
    for (const service of this.services) service.start();
    await Promise.all(
      this.services.map(async (service) => {
        await service.whenReady();
        progress(describe(service));
      }),
    );
  }

  async add(tier: 'translator' | 'pusher'): Promise<ServiceProcess> {
    const service = await this.#create(tier);
    service.start();
    return service;
  }

  async addIngester(source: IngesterSource): Promise<ServiceProcess> {
    const service = await this.#create('ingester', source);
    service.start();
    return service;
  }

  async remove(service: ServiceProcess): Promise<void> {
    await service.stop();
    const at = this.services.indexOf(service);
    if (at >= 0) this.services.splice(at, 1);
  }

  async stop(): Promise<void> {
    for (const tier of ['pusher', 'translator', 'ingester'] as const) {
      await Promise.all(
        this.#of(tier).map((service) => {
          service.resume();
          return service.stop();
        }),
      );
    }
    await this.#redis?.stop();
    await this.#kafka?.stop();
  }

  get #keyFile(): string {
    return join(this.#options.directory, 'sealing.key');
  }

  #of(tier: Tier): readonly ServiceProcess[] {
    return this.services.filter((service) => service.tier === tier);
  }

  async #create(tier: Tier, source: IngesterSource = this.#options): Promise<ServiceProcess> {
    const { directory, environment } = this.#options;
    const number = (this.#created.get(tier) ?? 0) + 1;
    this.#created.set(tier, number);
    const name = tier === 'ingester' && number === 1 ? tier : `${tier}-${number}`;
    const service = await ServiceProcess.create({
      tier,
      name,
      args: this.#args(tier, name, source),
      logFile: join(directory, `${name}.log`),
      portOf: this.#portOf,
      ...(environment === undefined ? {} : { environment }),
    });
    this.services.push(service);
    return service;
  }

  #args(tier: Tier, name: string, source: IngesterSource): readonly string[] {
    const { directory, partitions = 64, args = {}, between } = this.#options;
    const brokers = between === undefined ? this.kafka.brokers : this.kafka.door(doorOf(tier));
    const shared = ['--kafkaBrokers', brokers.join(',')];
    shared.push('--partitions', String(partitions), ...(args[tier] ?? []));
    const data = ['--dataDir', join(directory, name), '--sealingKeyFile', this.#keyFile];
    const blobs = ['--redisUrl', this.redis.url];
    switch (tier) {
      case 'ingester':
        if (source.clusterId !== undefined) data.push('--clusterID', source.clusterId);
        return [...shared, ...data, '--configDir', source.configDir];
      case 'translator':
        return [...shared, ...blobs];
      case 'pusher':
        return [...shared, ...data, ...blobs];
    }
  }
}

/** Kafka's listeners have names in capitals. */
function doorOf(tier: Tier): string {
  return tier.toUpperCase();
}

function doorsOf(between: NonNullable<ClusterOptions['between']>): Doors {
  const tierOf = new Map(tiers.map((tier) => [doorOf(tier), tier]));
  return {
    names: [...tierOf.keys()],
    advertise: (door, port) => {
      const tier = tierOf.get(door);
      if (tier === undefined) throw new RangeError(`there is no tier of ${door}`);
      return between(tier, port);
    },
  };
}

function describe(service: ServiceProcess): string {
  const { grpc, monitoring } = service;
  const xds = grpc === undefined ? '' : `xDS ${grpc}, `;
  return lineOf(service, `${xds}monitoring ${monitoring}`);
}

/** For people: where it listens. */
function lineOf({ name, pid }: ClusterProcess, where: string): string {
  return `${name.padEnd(14)} ${where} (pid ${pid})`;
}

function started<T>(one: T | undefined): T {
  if (one === undefined) throw new Error('the cluster is not started');
  return one;
}
