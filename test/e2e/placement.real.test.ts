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
const perSecond = 20;

let configDir: ConfigDir;
let directory: string;
let cluster: Cluster;
const proxies: Proxy[] = [];

/** It goes to the next pusher when one ends its stream, and counts what that costs. */
class Proxy {
  readonly ads: AdsClient;
  /** What it was sent since it was moved. */
  readonly since: Response[] = [];
  moves = 0;
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
        if (this.moves > 0) this.since.push(response);
        return true;
      },
      onEnd: () => {
        this.moves += 1;
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
    args: { pusher: ['--rebalanceStreamsPerSecond', String(perSecond)] },
  });
});

afterAll(async () => {
  for (const { ads } of proxies) ads.cut();
  await cluster.stop();
  await rm(directory, { recursive: true, force: true });
  await rm(configDir.path, { recursive: true, force: true });
});

function streams(): readonly number[] {
  return cluster.pushers.map((_, at) => proxies.filter((proxy) => proxy.at === at).length);
}

function moved(): number {
  return proxies.reduce((sum, { moves }) => sum + moves, 0);
}

test('a third pusher gets its share slowly: nobody is cut twice, nothing is sent again', async () => {
  for (let index = 0; index < count; index++) proxies.push(new Proxy(index));
  for (const proxy of proxies) proxy.connect();
  await until('all have their clusters', () =>
    proxies.every(({ ads }) => ads.names(clusterType).length >= namespaces),
  );
  const third = await cluster.add('pusher');
  await third.whenReady();
  await until('it begins', () => moved() > 0, 60_000);
  let most = 0;
  let before = moved();
  await until(
    'the third has its share',
    async () => {
      await new Promise((resolve) => {
        setTimeout(resolve, 1_000);
      });
      most = Math.max(most, moved() - before);
      before = moved();
      return (streams()[2] ?? 0) > 0.9 * (count / 3);
    },
    // Replicas that were not heard of for a moment make the others wait half a minute.
    180_000,
  );
  // Two pushers; a turn of a second may be late.
  expect(most).toBeLessThanOrEqual(2 * 2 * perSecond);
  await new Promise((resolve) => {
    setTimeout(resolve, 12_000);
  });
  expect(Math.max(...streams())).toBeLessThanOrEqual(1.25 * (count / 3));
  expect(Math.max(...proxies.map(({ moves }) => moves))).toBe(1);
  const sent = proxies.flatMap(({ since }) =>
    since.flatMap(({ names, removed }) => [...names, ...removed]),
  );
  expect(sent).toEqual([]);
  const answer = await fetch(`http://${third.monitoring}/debug/placement`);
  expect(await answer.json()).toMatchObject({
    pushers: [{}, {}, {}],
    rebalancing: { active: false },
  });
}, 300_000);
