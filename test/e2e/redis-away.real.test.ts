/** Processes that cannot reach Redis, beside others that can. */
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { startCluster, type Cluster } from 'xdsctl/components/cluster.ts';
import { freePort } from 'xdsctl/components/ports.ts';
import { ServiceProcess, type Tier } from 'xdsctl/components/service.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { testCache, testProgress } from '../components/cache.ts';
import { AdsClient, cluster as clusterType } from './harness/ads.ts';
import { ConfigDir } from './harness/config-dir.ts';
import { MetricValues } from './harness/control-plane.ts';
import { service } from './harness/objects.ts';
import { nodeId } from './harness/proxy.ts';
import { until } from './harness/wait.ts';

const partitions = 8;
let config: ConfigDir;
let directory: string;
let set: Cluster;
/** What they take for Redis is a door to it that opens late. */
let doorPort: number;
let door: Server | undefined;
const shutOut: ServiceProcess[] = [];

beforeAll(async () => {
  config = await ConfigDir.create();
  const workloads = [{ port: 8001 }];
  await config.write('cart', ...service({ name: 'cart', namespace: 'shop', port: 80, workloads }));
  directory = await mkdtemp(join(tmpdir(), 'watershed-redis-away-'));
  set = await startCluster({
    configDir: config.path,
    directory: join(directory, 'set'),
    cache: testCache,
    progress: testProgress,
    translators: 1,
    pushers: 1,
    partitions,
  });
  doorPort = await freePort();
  for (const tier of ['translator', 'pusher'] as const) shutOut.push(await startShutOut(tier));
});

afterAll(async () => {
  for (const process of shutOut) await process.stop();
  await set?.stop();
  door?.close();
  await config?.delete();
  await rm(directory, { recursive: true, force: true });
});

async function startShutOut(tier: Tier): Promise<ServiceProcess> {
  const data = ['--dataDir', join(directory, tier)];
  const one = await ServiceProcess.create({
    tier,
    name: `${tier}-shut-out`,
    args: [
      ...['--kafkaBrokers', set.kafka.brokers.join(','), '--partitions', String(partitions)],
      ...['--redisUrl', `redis://127.0.0.1:${doorPort}`, ...(tier === 'pusher' ? data : [])],
    ],
    logFile: join(directory, `${tier}-shut-out.log`),
  });
  one.start();
  return one;
}

async function openDoor(): Promise<void> {
  const { port } = new URL(set.redis.url);
  door = createServer((near) => {
    // Ends both when one ends, or fails.
    pipeline(near, connect(Number(port), '127.0.0.1'), near, () => undefined);
  });
  door.listen(doorPort, '127.0.0.1');
  await once(door, 'listening');
}

async function ready(one: ServiceProcess): Promise<{ status: number; text: string }> {
  const response = await fetch(`http://${one.monitoring}/ready`);
  return { status: response.status, text: await response.text() };
}

async function metric(one: ServiceProcess, name: string): Promise<number> {
  return new MetricValues(await (await fetch(`http://${one.monitoring}/metrics`)).text()).sum(name);
}

/** By that pusher, a proxy has the cluster of that service. */
async function expectServed(of: string, { grpc = '' }: ServiceProcess): Promise<void> {
  const client = new AdsClient({
    port: Number(grpc.split(':').at(-1)),
    protocol: 'delta',
    nodeId: nodeId({ type: 'sidecar', workload: 'web-1.shop' }),
    metadata: { NAMESPACE: 'shop', LABELS: { app: 'web' }, CLUSTER_ID: 'Kubernetes' },
  });
  client.connect();
  const name = `outbound|80||${of}.shop.svc.cluster.local`;
  await until(`a proxy has ${of}`, () => client.body(clusterType, name) !== undefined);
  client.cut();
}

const owned = (one: ServiceProcess): Promise<number> => metric(one, 'watershed_partitions_owned');

test('who never reached Redis is not ready, says why, and takes no work from those that did', async () => {
  const [inside] = set.translators;
  if (inside === undefined) throw new Error('there is no translator');
  for (const one of shutOut) {
    await until(`${one.name} waits for Redis alone`, async () => {
      const { status, text } = await ready(one);
      const token = `${one.tier}-blobs`;
      const waits = new RegExp(
        `^not ready: waiting for .*${token}.*; Redis is away .*ECONNREF`,
        'u',
      );
      return status === 503 && waits.test(text) && !/-log|pusher[;,]/u.test(text);
    });
  }
  // A rebalance would have come by now.
  await sleep(3_000);
  for (const one of shutOut) expect((await ready(one)).status).toBe(503);
  expect(await owned(inside)).toBe(partitions);
  expect(await ready(inside)).toEqual({ status: 200, text: 'ready\n' });
});

test('they take their part as soon as Redis is there', async () => {
  await openDoor();
  const [translator, pusher] = shutOut;
  if (translator === undefined || pusher === undefined) throw new Error('they are not started');
  await until('they are ready', async () => {
    const all = await Promise.all(shutOut.map((one) => one.isReady()));
    return all.every(Boolean);
  });
  await until('half is its own', async () => (await owned(translator)) === partitions / 2);
  expect(await metric(translator, 'watershed_partitions_assigned')).toBe(partitions / 2);
  await expectServed('cart', pusher);
});

test('a Redis that says nothing is told of by all, though nothing is wanted of it', async () => {
  const all = [...set.translators, ...set.pushers, ...shutOut];
  const away = (one: ServiceProcess): Promise<number> =>
    metric(one, 'watershed_dependency_away_seconds');
  for (const one of all) await until('all is there', async () => (await away(one)) === 0);
  process.kill(set.redis.pid, 'SIGSTOP');
  try {
    await Promise.all(
      all.map((one) =>
        until(`${one.name} tells`, async () => {
          const { text } = await ready(one);
          return text.startsWith('ready; Redis is away') && (await away(one)) > 0;
        }),
      ),
    );
  } finally {
    process.kill(set.redis.pid, 'SIGCONT');
  }
  for (const one of all) await until('it is there again', async () => (await away(one)) === 0);
});

test('who wants something of a Redis that is away adds nothing to what is said of that', async () => {
  const [translator] = set.translators;
  const [pusher] = set.pushers;
  if (translator === undefined || pusher === undefined) throw new Error('they are not started');
  const said = async (): Promise<readonly string[]> => {
    const log = await readFile(translator.logFile, 'utf8');
    return log.split('\n').filter((line) => /Redis|blobs/u.test(line));
  };
  const before = (await said()).length;
  await set.redis.kill();
  const workloads = [{ port: 8002 }];
  await config.write('till', ...service({ name: 'till', namespace: 'shop', port: 80, workloads }));
  await until('it is away', async () => (await ready(translator)).text.includes('Redis is away'));
  // What is to be put is tried after 0, 50, 150, 350, 750 ms and so on.
  await sleep(2_000);
  await set.redis.start();
  await expectServed('till', pusher);
  expect((await said()).slice(before)).toEqual([
    expect.stringContaining('Redis is away; it is tried again'),
    expect.stringContaining('Redis is there'),
  ]);
});
