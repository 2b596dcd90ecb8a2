import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startCluster, type Cluster } from 'xdsctl/components/cluster.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { testCache, testProgress } from '../components/cache.ts';
import { AdsClient, cluster as clusterType, type Response } from './harness/ads.ts';
import { ConfigDir } from './harness/config-dir.ts';
import { service } from './harness/objects.ts';
import { nodeId } from './harness/proxy.ts';
import { until } from './harness/wait.ts';

const namespaces = 10;
const count = 240;
const mean = count / 3;
const perSecond = 20;

let configDir: ConfigDir;
let directory: string;
let cluster: Cluster;
const proxies: Proxy[] = [];

/** It goes to the pusher that is named when one ends its stream, and counts what that costs. */
class Proxy {
  readonly ads: AdsClient;
  /** What it was sent since it was moved. */
  readonly since: Response[] = [];
  /** When each of its streams was ended. */
  readonly endedMs: number[] = [];
  at: number;

  constructor(index: number) {
    this.at = index % 2;
    const namespace = `ns-${index % namespaces}`;
    this.ads = new AdsClient({
      port: 0,
      protocol: 'delta',
      nodeId: nodeId({ type: 'sidecar', workload: `web-${index}.${namespace}` }),
      metadata: { NAMESPACE: namespace, LABELS: { app: 'web' }, CLUSTER_ID: 'Kubernetes' },
      onResponse: (response) => {
        if (this.endedMs.length > 0) this.since.push(response);
        return true;
      },
      onEnd: () => {
        this.endedMs.push(performance.now());
        this.at = cluster.pushers.length - 1;
        this.connect();
      },
    });
  }

  connect(): void {
    this.ads.connect(Number(cluster.pushers[this.at]?.grpc?.split(':').at(-1)));
  }
}

beforeAll(async () => {
  configDir = await ConfigDir.create();
  for (let at = 0; at < namespaces; at++) {
    const web = { name: 'web', namespace: `ns-${at}`, port: 80, workloads: [{ port: 8080 }] };
    await configDir.write(`ns-${at}`, ...service(web));
  }
  directory = await mkdtemp(join(tmpdir(), 'watershed-placement-'));
  cluster = await startCluster({
    configDir: configDir.path,
    directory: join(directory, 'set'),
    cache: testCache,
    progress: testProgress,
    translators: 1,
    partitions: 8,
    args: {
      pusher: ['--rebalanceStreamsPerSecond', String(perSecond), '--rebalanceDelay', '2s'],
    },
  });
}, 120_000);

afterAll(async () => {
  for (const { ads } of proxies) ads.cut();
  await cluster.stop();
  await rm(directory, { recursive: true, force: true });
  await rm(configDir.path, { recursive: true, force: true });
});

/** Of each pusher, as the proxies know it. */
function streams(): readonly number[] {
  return cluster.pushers.map((_, at) => proxies.filter((proxy) => proxy.at === at).length);
}

/** What a pusher knows of all. */
interface Placement {
  readonly pushers: readonly { readonly address: string; readonly streams: number }[];
  readonly rebalancing: { readonly active: boolean; readonly off?: string };
}

async function placementAt(monitoring: string): Promise<Placement> {
  const answer = await fetch(`http://${monitoring}/debug/placement`);
  return JSON.parse(await answer.text());
}

/** Every pusher has heard of every other how many streams there are now, and ends none. */
async function isKnownToAll(): Promise<boolean> {
  const known = await Promise.all(cluster.pushers.map((pusher) => placementAt(pusher.monitoring)));
  const now = new Map(cluster.pushers.map(({ grpc }, at) => [grpc, streams()[at]]));
  return known.every(
    ({ pushers, rebalancing }) =>
      pushers.length === now.size &&
      pushers.every((one) => now.get(one.address) === one.streams) &&
      !rebalancing.active &&
      rebalancing.off === undefined,
  );
}

/** The most that one pusher's share of a second had. */
function mostInASecond(timesMs: readonly number[]): number {
  return Math.max(
    ...timesMs.map((from) => timesMs.filter((at) => at >= from && at < from + 1_000).length),
  );
}

test('a third pusher gets its share slowly: nobody is cut twice, nothing is sent again', async () => {
  for (let index = 0; index < count; index++) proxies.push(new Proxy(index));
  for (const proxy of proxies) proxy.connect();
  await until('all have their clusters', () =>
    proxies.every(({ ads }) => ads.names(clusterType).length >= namespaces),
  );
  await until('both know', isKnownToAll, 60_000);
  expect(proxies.filter(({ endedMs }) => endedMs.length > 0)).toEqual([]);
  const third = await cluster.add('pusher');
  await third.whenReady();
  const share = (): number => streams()[2] ?? 0;
  // A pusher that is late with its word makes the others wait for it.
  await until('the third has its share', () => share() > 0.9 * mean, 90_000);
  await until('all know, and are content', isKnownToAll, 60_000);
  const settled = streams();
  // Two turns of a pusher that finds something to do.
  await new Promise((resolve) => {
    setTimeout(resolve, 2_500);
  });
  expect(streams()).toEqual(settled);
  expect(Math.max(...settled)).toBeLessThanOrEqual(1.25 * mean);
  const ended = proxies.map(({ endedMs }) => endedMs);
  expect(Math.max(...ended.map(({ length }) => length))).toBe(1);
  // Two pushers, and who was late catches nothing up: delays are half of the mean at least.
  expect(mostInASecond(ended.flat())).toBeLessThanOrEqual(2 * 2 * perSecond);
  const sent = proxies.flatMap(({ since }) =>
    since.flatMap(({ names, removed }) => [...names, ...removed]),
  );
  expect(sent).toEqual([]);
}, 300_000);
