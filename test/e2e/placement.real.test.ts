import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startCluster, type Cluster } from 'xdsctl/components/cluster.ts';
import type { ServiceProcess } from 'xdsctl/components/service.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { testCache, testProgress } from '../components/cache.ts';
import { AdsClient, cluster as clusterType, type Response } from './harness/ads.ts';
import { ConfigDir } from './harness/config-dir.ts';
import { service } from './harness/objects.ts';
import { nodeId } from './harness/proxy.ts';
import { until } from './harness/wait.ts';
import { xdsctl } from './harness/xdsctl.ts';

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
  /** How many of its streams were ended. */
  cuts = 0;
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
        if (this.cuts > 0) this.since.push(response);
        return true;
      },
      onEnd: () => {
        this.cuts++;
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

/** By its own clock and word, how long a pusher has been ending streams. */
async function endedOverMs({ name, logFile }: ServiceProcess): Promise<number> {
  const lines = (await readFile(logFile, 'utf8')).split('\n');
  const [began = NaN, ended = NaN] = ['streams are being moved', 'no more streams are moved'].map(
    (message) => {
      const line = lines.find((one) => one.includes(`"${message}"`)) ?? '';
      return Date.parse(/"time":"([^"]+)"/u.exec(line)?.[1] ?? '');
    },
  );
  if (Number.isNaN(ended - began)) throw new Error(`${name} does not say that it moved streams`);
  return ended - began;
}

test('a third pusher gets its share slowly: nobody is cut twice, nothing is sent again', async () => {
  for (let index = 0; index < count; index++) proxies.push(new Proxy(index));
  for (const proxy of proxies) proxy.connect();
  await until('all have their clusters', () =>
    proxies.every(({ ads }) => ads.names(clusterType).length >= namespaces),
  );
  await until('both know', isKnownToAll, 60_000);
  expect(proxies.filter(({ cuts }) => cuts > 0).length).toBe(0);
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
  expect(Math.max(...proxies.map(({ cuts }) => cuts))).toBe(1);
  for (const [at, pusher] of cluster.pushers.slice(0, 2).entries()) {
    const ended = count / 2 - (settled[at] ?? 0);
    // Delays are half of the mean at least.
    expect(await endedOverMs(pusher)).toBeGreaterThan((ended * 500) / perSecond);
  }
  const sent = proxies.flatMap(({ since }) =>
    since.flatMap(({ names, removed }) => [...names, ...removed]),
  );
  expect(sent).toEqual([]);
}, 300_000);

test('xdsctl proxy-status of all pushers shows each proxy once, at its own pusher', async () => {
  const each = cluster.pushers.map(({ monitoring }) => monitoring);
  const printed = await xdsctl('proxy-status', '--monitoringAddr', each.join(','));
  const lines = printed.split('\n').slice(1);
  expect(new Set(lines.map((line) => line.split(' ')[0])).size).toBe(count);
  for (const [at, { pid }] of cluster.pushers.entries()) {
    const own = lines.filter((line) => new RegExp(` \\S+-${pid} `, 'u').test(line));
    expect(own).toHaveLength(streams()[at] ?? 0);
  }
});
