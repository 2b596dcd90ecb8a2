import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fetchOnce, type Progress } from './cache.ts';
import { run, startChild, type Child, type Exit } from './child.ts';
import { scratchDirectory } from './janitor.ts';
import type { ClusterProcess } from './cluster-process.ts';
import { freePort, type PortOf } from './ports.ts';

const kafkaVersion = '4.3.1';
/** The published broker has no binding for its logging, and is silent without one. */
const slf4jVersion = '1.7.36';
const fetchTimeoutMs = 300_000;
const startTimeoutMs = 90_000;
/** Of a node that hands over what it has. */
const shutDownTimeoutMs = 20_000;
/** Any 16 bytes, as base64 for URLs. */
const clusterId = 'MkU3OEVBNTcwNTJENDM2Qg';

export interface KafkaOptions {
  /** Where it is kept once fetched. */
  readonly cache: string;
  readonly progress: Progress;
  /** Takes their data, and may have it from before. Default: a temporary one. */
  readonly directory?: string;
  /** Takes what nodes say; appended to. Default: that of the data. */
  readonly logDirectory?: string;
  /** Default: any that is free. */
  readonly portOf?: PortOf;
  /** Brokers that are controllers as well. Default 1. */
  readonly nodes?: number;
  /** More lines of server.properties. */
  readonly config?: Readonly<Record<string, string>>;
  readonly heapMb?: number;
  /**
   * The JVM's second compiler as well: starts slower and runs faster. For benchmarks. Default
   * false.
   */
  readonly fullJit?: boolean;
  /** More arguments of the tool that formats the storage: `--add-scram …`. */
  readonly formatArgs?: readonly string[];
  /** Further listeners, each for some clients only. */
  readonly doors?: Doors;
}

export interface Doors {
  readonly names: readonly string[];
  /** The port at which clients of a door are told to find a node that listens on `port` for it. */
  advertise(door: string, port: number): Promise<number>;
}

export interface Kafka extends AsyncDisposable {
  /** `host:port` of each node. */
  readonly brokers: readonly string[];
  /** As processes that may end, and be started again on what they had. */
  readonly nodes: readonly ClusterProcess[];
  /** The same for the clients of a door. */
  door(name: string): readonly string[];
  /** SIGKILL. Nodes count from 0. */
  kill(node: number): Promise<void>;
  /** SIGSTOP, until it is resumed. */
  pause(node: number): void;
  resume(node: number): void;
  /** SIGTERM: the node hands its partitions over first. It is killed if that takes 20 s. */
  shutDown(node: number): Promise<void>;
  /** Starts a node again that was killed or shut down, on what it had. */
  restart(node: number): Promise<void>;
  /** The process that runs a node. */
  pid(node: number): number;
  /** What a node keeps. */
  dataDirectory(node: number): string;
  /** User and system CPU seconds of all nodes that run. */
  cpuSeconds(): Promise<number>;
  /** Ends all nodes; what is temporary goes. */
  stop(): Promise<void>;
}

/**
 * A real Kafka on loopback with data of its own; fetched from Maven Central with `mvn` on first
 * use.
 */
export async function startKafka(options: KafkaOptions): Promise<Kafka> {
  const jars = await fetchOnce(
    options.cache,
    {
      name: `kafka-${kafkaVersion}`,
      make: (directory) => download(directory, options.progress),
    },
    options.progress,
  );
  const directory = options.directory ?? (await scratchDirectory('watershed-kafka-'));
  const { logDirectory = directory, portOf = freePort } = options;
  const count = options.nodes ?? 1;
  await checkNodes(directory, count);
  const ports: number[] = [];
  for (let index = 0; index < count; index++) {
    ports.push(await portOf(`kafka-${index}`), await portOf(`kafka-${index} controller`));
  }
  const nodes: Node[] = [];
  for (let index = 0; index < count; index++) {
    const doors = await openDoors(options.doors);
    const setup = { index, jars, ports, doors, options, logDirectory };
    nodes.push(new Node(setup, join(directory, `node-${index}`)));
  }
  const at = (index: number): Node => {
    const node = nodes[index];
    if (node === undefined) throw new RangeError(`there is no node ${index}`);
    return node;
  };
  const stop = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.kill()));
    if (options.directory === undefined) await rm(directory, { recursive: true, force: true });
  };
  try {
    await Promise.all(nodes.map((node) => node.start()));
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    brokers: nodes.map(({ address }) => address),
    door: (name) => nodes.map((node) => node.doorAddress(name)),
    nodes,
    kill: (node) => at(node).kill(),
    pause: (node) => at(node).signal('SIGSTOP'),
    resume: (node) => at(node).signal('SIGCONT'),
    shutDown: (node) => at(node).shutDown(),
    restart: (node) => at(node).start(),
    pid: (node) => at(node).pid,
    dataDirectory: (node) => at(node).dataDirectory,
    cpuSeconds: async () => {
      const each = await Promise.all(nodes.map((node) => node.cpuSeconds()));
      return each.reduce((sum, seconds) => sum + seconds, 0);
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** Who votes in a quorum is in what each node has. */
async function checkNodes(directory: string, count: number): Promise<void> {
  const names = await readdir(directory).catch(() => []);
  const before = names.filter((name) => name.startsWith('node-')).length;
  if (before === 0 || before === count) return;
  throw new Error(`${directory} has the data of ${before} brokers, and ${count} are asked for`);
}

const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>watershed</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>${kafkaVersion}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>${slf4jVersion}</version>
    </dependency>
  </dependencies>
</project>
`;

async function download(directory: string, progress: Progress): Promise<void> {
  progress(`fetching Kafka ${kafkaVersion} (Maven Central, 54 MB, once per machine)`);
  const file = join(directory, 'pom.xml');
  await writeFile(file, pom);
  const goal = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies';
  const args = ['-q', '-B', '-f', file, goal];
  args.push('-DincludeScope=runtime', `-DoutputDirectory=${directory}`);
  let result;
  try {
    result = await run('mvn', args, { timeoutMs: fetchTimeoutMs });
  } catch (error) {
    throw new Error('mvn (Maven, with a Java of 17 or later) is needed to fetch Kafka', {
      cause: error,
    });
  }
  if (result.status !== 0) {
    throw new Error(`mvn failed: ${(result.stdout + result.stderr).trim().slice(-2_000)}`);
  }
  progress(`Kafka ${kafkaVersion} is at hand`);
}

interface Door {
  readonly name: string;
  readonly port: number;
  readonly advertised: number;
}

async function openDoors(doors: Doors | undefined): Promise<readonly Door[]> {
  const opened: Door[] = [];
  for (const name of doors?.names ?? []) {
    const port = await freePort();
    opened.push({ name, port, advertised: (await doors?.advertise(name, port)) ?? port });
  }
  return opened;
}

interface NodeSetup {
  readonly index: number;
  readonly jars: string;
  /** Of all nodes: listener, controller. */
  readonly ports: readonly number[];
  readonly doors: readonly Door[];
  readonly options: KafkaOptions;
  readonly logDirectory: string;
}

class Node implements ClusterProcess {
  readonly name: string;
  readonly logFile: string;
  readonly address: string;
  readonly #index: number;
  readonly #jars: string;
  readonly #directory: string;
  readonly #ports: readonly number[];
  readonly #doors: readonly Door[];
  readonly #options: KafkaOptions;
  #child: Child | undefined;
  #isSetUp = false;

  constructor(setup: NodeSetup, directory: string) {
    const { index, jars, ports, doors, options } = setup;
    this.#index = index;
    this.#jars = jars;
    this.#directory = directory;
    this.#ports = ports;
    this.#doors = doors;
    this.#options = options;
    this.name = `kafka-${index}`;
    this.logFile = join(setup.logDirectory, `${this.name}.log`);
    this.address = `127.0.0.1:${ports[index * 2]}`;
  }

  get dataDirectory(): string {
    return join(this.#directory, 'data');
  }

  doorAddress(name: string): string {
    const door = this.#doors.find((one) => one.name === name);
    if (door === undefined) throw new RangeError(`there is no door ${name}`);
    return `127.0.0.1:${door.advertised}`;
  }

  get pid(): number {
    return this.#child?.pid ?? -1;
  }

  get ended(): Promise<Exit> {
    return this.#child?.exited ?? Promise.reject(new Error(`${this.name} was never started`));
  }

  async start(): Promise<void> {
    await this.#child?.exited;
    const properties = join(this.#directory, 'server.properties');
    if (!this.#isSetUp) await this.#setUp(properties);
    this.#isSetUp = true;
    const before = await stat(this.logFile).catch(() => undefined);
    this.#child = startChild({
      command: 'java',
      args: [...this.#jvm(this.#options.heapMb ?? 384), 'kafka.Kafka', properties],
      logFile: this.logFile,
    });
    await this.#untilStarted(this.#child, before?.size ?? 0);
  }

  async #setUp(properties: string): Promise<void> {
    await mkdir(this.#directory, { recursive: true });
    await writeFile(properties, this.#properties());
    // It is the last that the tool writes, which is a JVM of its own: 1.5 s.
    if (existsSync(join(this.dataDirectory, 'meta.properties'))) return;
    const format = ['kafka.tools.StorageTool', 'format', '-t', clusterId, '-c', properties];
    format.push(...(this.#options.formatArgs ?? []));
    const result = await run('java', [...this.#jvm(128), ...format], { timeoutMs: startTimeoutMs });
    if (result.status === 0) return;
    throw new Error(`Kafka's storage tool failed: ${result.stdout}${result.stderr}`);
  }

  /** @param from where in the log its words begin */
  async #untilStarted(child: Child, from: number): Promise<void> {
    const deadline = Date.now() + startTimeoutMs;
    for (;;) {
      const said = (await readFile(this.logFile)).toString('utf8', from);
      if (said.includes('Kafka Server started')) return;
      if (child.exit !== undefined || Date.now() > deadline) {
        throw new Error(`${this.name} did not start: ${said.slice(-4_000)}`);
      }
      await sleep(50);
    }
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.signal(name);
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.#child?.exited;
  }

  /** The last of a quorum that ends may ask the others for five minutes whether it may. */
  async shutDown(): Promise<void> {
    await this.#child?.stop(shutDownTimeoutMs);
  }

  async cpuSeconds(): Promise<number> {
    if (this.#child === undefined || this.#child.exit !== undefined) return 0;
    const stat = await readFile(`/proc/${this.pid}/stat`, 'utf8');
    // After the command's name, which is in parentheses: utime and stime, in ticks of 10 ms.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }

  #jvm(heapMb: number): readonly string[] {
    const flags = [`-Xmx${heapMb}m`, '-XX:+UseSerialGC', '-Xshare:auto'];
    if (this.#options.fullJit !== true) flags.push('-XX:TieredStopAtLevel=1');
    flags.push('-Djava.net.preferIPv4Stack=true', '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn');
    flags.push('-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info');
    return [...flags, '-cp', `${this.#jars}/*`];
  }

  #properties(): string {
    const nodes = this.#options.nodes ?? 1;
    const controller = (index: number): string => `127.0.0.1:${this.#ports[index * 2 + 1]}`;
    const voters = Array.from({ length: nodes }, (_, index) => `${index}@${controller(index)}`);
    const replicas = String(Math.min(3, nodes));
    const doors = this.#doors.map(({ name, port }) => `${name}://127.0.0.1:${port}`);
    const told = this.#doors.map(({ name, advertised }) => `${name}://127.0.0.1:${advertised}`);
    const own = `PLAINTEXT://${this.address}`;
    const names = ['PLAINTEXT', 'CONTROLLER', ...this.#doors.map(({ name }) => name)];
    const lines: Record<string, string> = {
      'process.roles': 'broker,controller',
      'node.id': String(this.#index),
      'controller.quorum.voters': voters.join(','),
      listeners: [own, `CONTROLLER://${controller(this.#index)}`, ...doors].join(','),
      'advertised.listeners': [own, ...told].join(','),
      'listener.security.protocol.map': names.map((name) => `${name}:PLAINTEXT`).join(','),
      'controller.listener.names': 'CONTROLLER',
      'inter.broker.listener.name': 'PLAINTEXT',
      'log.dirs': this.dataDirectory,
      'num.network.threads': '2',
      'num.io.threads': '4',
      'auto.create.topics.enable': 'false',
      'default.replication.factor': replicas,
      'min.insync.replicas': nodes >= 3 ? '2' : '1',
      'offsets.topic.replication.factor': replicas,
      'offsets.topic.num.partitions': '1',
      'transaction.state.log.replication.factor': replicas,
      'transaction.state.log.min.isr': '1',
      'transaction.state.log.num.partitions': '1',
      'broker.session.timeout.ms': '6000',
      'broker.heartbeat.interval.ms': '1000',
      'controller.quorum.election.timeout.ms': '1000',
      'controller.quorum.fetch.timeout.ms': '2000',
      'log.cleaner.dedupe.buffer.size': '33554432',
      ...this.#options.config,
    };
    return Object.entries(lines)
      .map(([name, value]) => `${name}=${value}\n`)
      .join('');
  }
}
