/**
 * The distributed set with all that is connected to it: churn on the one side; two Envoys that
 * carry requests, and simulated clients, on the other.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startCluster, type Cluster } from 'xdsctl/components/cluster.ts';
import { scratchDirectory } from 'xdsctl/components/janitor.ts';
import { freePort } from 'xdsctl/components/ports.ts';
import type { ServiceProcess, Tier } from 'xdsctl/components/service.ts';
import { startBackend, type Backend } from '../components/backends.ts';
import { testCache } from '../components/cache.ts';
import { ask } from '../components/clients.ts';
import type { TestEnvoy } from '../components/envoy.ts';
import { ConfigDir } from '../e2e/harness/config-dir.ts';
import { Load } from '../e2e/harness/load.ts';
import { httpGateway, istio, service } from '../e2e/harness/objects.ts';
import { protocols, rejections, startProxy } from '../e2e/harness/proxy.ts';
import { until } from '../e2e/harness/wait.ts';
import { Churn, namespace, stayingServices } from './churn.ts';
import { SteadyClient, serviceOf, wrong } from './clients.ts';
import { startLink, type Link } from './link.ts';
import { eventsOn, readLog } from './log-state.ts';
import { Random } from './random.ts';

const authority = 'shop.test';
/** The data plane's own. */
const besides: ReadonlySet<string> = new Set(['shop']);
/** How long a supervisor waits until it starts a process again. */
const restartMs = 500;
/** Whoever has not converged by then is told of, and again after twice as long, and so on. */
const slowMs = 5_000;

export interface BedOptions {
  readonly seed: number;
  readonly progress: (line: string) => void;
  /** Default 3. */
  readonly brokers?: number;
  /** Default 16. */
  readonly partitions?: number;
  /** The processes' logs, and what else they have, stay on the disk. */
  readonly keep?: boolean;
}

interface Proxy {
  readonly running: TestEnvoy;
  /** Of its gateway. */
  readonly port: number;
}

export class Bed {
  readonly cluster: Cluster;
  readonly churn: Churn;
  readonly random: Random;
  readonly brokers: number;
  readonly #options: BedOptions;
  readonly #config: ConfigDir;
  readonly #links: ReadonlyMap<Tier, readonly Link[]>;
  readonly #backends: readonly Backend[];
  readonly #proxies: Proxy[] = [];
  readonly #clients: SteadyClient[] = [];
  /** Processes that are not started again for now. */
  readonly #down = new Set<ServiceProcess>();
  #restarts = 0;
  #stopped = false;

  private constructor(parts: {
    options: BedOptions;
    cluster: Cluster;
    churn: Churn;
    random: Random;
    config: ConfigDir;
    links: ReadonlyMap<Tier, readonly Link[]>;
    backends: readonly Backend[];
  }) {
    this.#options = parts.options;
    this.cluster = parts.cluster;
    this.churn = parts.churn;
    this.random = parts.random;
    this.brokers = parts.options.brokers ?? 3;
    this.#config = parts.config;
    this.#links = parts.links;
    this.#backends = parts.backends;
  }

  /** Resolves when everything is connected, and holds what it is to hold. */
  static async start(options: BedOptions): Promise<Bed> {
    const random = new Random(options.seed);
    const config = await ConfigDir.create();
    const backends = [await startBackend({ name: 'a' }), await startBackend({ name: 'b' })];
    const ports = [await freePort(), await freePort()];
    for (const [at, port] of ports.entries()) {
      const gateway = httpGateway(namespace, `edge-${at}`, { edge: String(at) }, port);
      await config.write(`gateway-${at}`, gateway);
    }
    const route = (revision: number): Promise<void> => writeShop(config, backends, revision);
    const churn = new Churn({ config, random, route });
    await churn.begin();
    const links = new Map<Tier, Link[]>();
    const { brokers = 3, partitions = 16, progress } = options;
    const cluster = await startCluster({
      ...{ configDir: config.path, cache: testCache, progress, brokers, partitions },
      directory: await directoryOf(options),
      between: async (tier, port) => {
        const link = await startLink(port);
        links.set(tier, [...(links.get(tier) ?? []), link]);
        return link.port;
      },
    });
    const bed = new Bed({ options, cluster, churn, random, config, links, backends });
    try {
      await bed.#connect(ports);
      return bed;
    } catch (error) {
      await bed.stop();
      throw error;
    }
  }

  async #connect(ports: readonly number[]): Promise<void> {
    for (const one of this.cluster.services) void this.#supervise(one);
    for (const [at, port] of ports.entries()) {
      const running = await startProxy({
        ...{ type: 'router', workload: `gateway-${at}.${namespace}`, labels: { edge: `${at}` } },
        protocol: protocols[at % 2] ?? 'delta',
        xds: { host: '127.0.0.1', port: this.#pusherPorts()[at] ?? 0 },
      });
      this.#proxies.push({ running, port });
    }
    for (const first of [0, 1]) {
      for (const protocol of protocols) {
        const client = this.client(`steady-${first}`, protocol, first);
        this.#clients.push(client);
      }
    }
    await this.converged(60_000);
  }

  /** A new one, connected; of all pushers, or of one. */
  client(
    name: string,
    protocol: (typeof protocols)[number],
    first: number,
    ports: () => readonly number[] = () => this.#pusherPorts(),
  ): SteadyClient {
    const client = new SteadyClient({ name, protocol, first, ports });
    client.connect();
    return client;
  }

  #pusherPorts(): readonly number[] {
    return this.cluster.pushers.map(portOf);
  }

  /** As whoever runs services does: what has ended is started again. */
  async #supervise(one: ServiceProcess): Promise<void> {
    for (;;) {
      await one.ended;
      await sleep(restartMs);
      while (this.#down.has(one)) await sleep(50);
      if (this.#stopped || !this.cluster.services.includes(one)) return;
      this.#restarts += 1;
      one.start();
    }
  }

  get restarts(): number {
    return this.#restarts;
  }

  /** Until `up`, it is not started again. */
  async down(one: ServiceProcess): Promise<void> {
    this.#down.add(one);
    await one.kill();
  }

  up(one: ServiceProcess): void {
    this.#down.delete(one);
  }

  async add(tier: 'translator' | 'pusher'): Promise<ServiceProcess> {
    const added = await this.cluster.add(tier);
    void this.#supervise(added);
    return added;
  }

  links(tier: Tier): readonly Link[] {
    return this.#links.get(tier) ?? [];
  }

  loads(): readonly Load[] {
    return this.#proxies.map(({ port }) => new Load({ port, authority, workers: 2, pauseMs: 20 }));
  }

  /** Resolves when everybody holds what the configuration says. */
  async converged(timeoutMs: number): Promise<void> {
    const state = { last: [] as readonly string[] };
    const startedMs = performance.now();
    let tellAfterMs = slowMs;
    try {
      await until(
        'all have converged',
        async () => {
          state.last = await this.#behind();
          const waitedMs = performance.now() - startedMs;
          if (state.last.length > 0 && waitedMs > tellAfterMs) {
            tellAfterMs *= 2;
            this.#options.progress(`    late: ${state.last.join('; ')}`);
            await this.#tellWaiting();
          }
          return state.last.length === 0;
        },
        timeoutMs,
      );
    } catch (error) {
      throw new Error(`not converged: ${state.last.join('; ')}`, { cause: error });
    }
  }

  /** What processes that are not ready wait for. */
  async #tellWaiting(): Promise<void> {
    for (const { name, monitoring } of this.cluster.services) {
      const said = await fetch(`http://${monitoring}/ready`).then(
        (response) => response.text(),
        () => 'it does not answer',
      );
      if (!said.startsWith('ready')) this.#options.progress(`    ${name}: ${said.trim()}`);
    }
  }

  /** Whoever does not hold what the configuration says. */
  async #behind(): Promise<readonly string[]> {
    const { expected, revision } = this.churn;
    const behind: string[] = [];
    for (const client of this.#clients) {
      const found = wrong(expected, client.held(), besides);
      if (found.length > 0) behind.push(`${client.name}: ${found.join(', ')}`);
    }
    if (behind.length > 0) return behind;
    for (const [at, { running, port }] of this.#proxies.entries()) {
      const held = endpointsOf(await running.envoy.admin.clusters());
      const found = [...wrong(expected, held, besides)];
      const { headers } = await ask({ port, authority });
      if (headers['x-revision'] !== String(revision)) found.push('an old route');
      if (found.length > 0) behind.push(`Envoy ${at}: ${found.join(', ')}`);
    }
    return behind;
  }

  /** When nothing changes any more: what is wrong with the log, and with clients beside new ones. */
  async audit(): Promise<readonly string[]> {
    const { expected } = this.churn;
    const log = await readLog(this.cluster.kafka.brokers, this.#options.partitions ?? 16);
    const problems = wrong(expected, log.endpoints, besides).map((text) => `log: ${text}`);
    const known = new Map([...log.services].map((name) => [name, [expected.get(name) ?? 0]]));
    problems.push(...wrong(expected, known, besides).map((text) => `log: services ${text}`));
    const pusher = await this.add('pusher');
    try {
      await pusher.whenReady();
      for (const protocol of protocols) problems.push(...(await this.#compare(pusher, protocol)));
    } finally {
      await this.cluster.remove(pusher);
    }
    for (const { running } of this.#proxies) {
      const count = await rejections(running);
      if (count > 0) problems.push(`Envoy rejected ${count} updates`);
    }
    return problems;
  }

  /** With a client that was never connected, of a pusher that never was there. */
  async #compare(
    pusher: ServiceProcess,
    protocol: (typeof protocols)[number],
  ): Promise<readonly string[]> {
    const fresh = this.client('fresh', protocol, 0, () => [portOf(pusher)]);
    const wait = { last: [] as readonly string[] };
    const same = await until(
      'a new client holds the same',
      () => {
        wait.last = this.#clients.flatMap((client) => {
          const found = client.differences(fresh);
          if (found.length === 0) return [];
          return [`${client.name} and a new client differ in ${found.length}: ${found[0]}`];
        });
        return wait.last.length === 0;
      },
      20_000,
    ).catch(() => false);
    fresh.stop();
    return same ? [] : wait.last;
  }

  /** What all simulated clients hold, in a text. */
  heldByAll(): string {
    return JSON.stringify(this.#clients.map((client) => [...client.held()]));
  }

  /** Whoever has fewer services has not all. */
  get fewest(): number {
    return stayingServices;
  }

  events(): Promise<number> {
    return eventsOn(this.cluster.kafka.brokers, this.#options.partitions ?? 16);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.churn.stop();
    for (const client of this.#clients) client.stop();
    for (const { running } of this.#proxies) await running.stop();
    for (const link of [...this.#links.values()].flat()) link.mend();
    await this.cluster.stop();
    for (const link of [...this.#links.values()].flat()) await link.stop();
    for (const backend of this.#backends) await backend.stop();
    await this.#config.delete();
    const { directory } = this.cluster;
    if (this.#options.keep === true) this.#options.progress(`the logs are in ${directory}`);
    else await rm(directory, { recursive: true, force: true });
  }
}

/** Where logs are to stay, whatever happens, nobody may remove it. */
async function directoryOf({ keep }: BedOptions): Promise<string> {
  const prefix = 'watershed-faults-';
  return keep === true ? await mkdtemp(join(tmpdir(), prefix)) : await scratchDirectory(prefix);
}

export function portOf({ grpc }: ServiceProcess): number {
  return Number(grpc?.split(':').at(-1));
}

/** The service that carries requests: its workloads come and go, and one is always there. */
async function writeShop(
  config: ConfigDir,
  backends: readonly Backend[],
  revision: number,
): Promise<void> {
  const there = backends.filter((_, at) => revision % 3 === 2 || revision % 3 === at);
  const workloads = there.map(({ port }) => ({ port }));
  const clusterIP = '10.3.0.1';
  const shop = service({ name: 'shop', namespace, port: 80, clusterIP, workloads });
  const headers = { response: { set: { 'x-revision': String(revision) } } };
  const spec = {
    hosts: [authority],
    gateways: ['edge-0', 'edge-1'],
    http: [{ route: [{ destination: { host: 'shop' }, headers }] }],
  };
  await config.write('shop', ...shop, istio('VirtualService', namespace, 'shop', spec));
}

/** Service → ports of its hosts, as Envoy's admin lists them. */
function endpointsOf(clusters: string): ReadonlyMap<string, readonly number[]> {
  const found = new Map<string, readonly number[]>();
  for (const line of clusters.split('\n')) {
    const [cluster = '', host = '', fact = ''] = line.split('::');
    const name = serviceOf(cluster);
    if (name === undefined) continue;
    const ports = found.get(name) ?? [];
    if (fact === 'cx_active') found.set(name, [...ports, Number(host.split(':').at(-1))]);
    else if (!found.has(name)) found.set(name, ports);
  }
  return found;
}
