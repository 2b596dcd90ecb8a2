/** Two ingesters, each with a cluster of its own, on one Kafka. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClusterLoadAssignment } from '@watershed/proto/envoy/config/endpoint/v3/endpoint.ts';
import { startCluster, type Cluster } from 'xdsctl/components/cluster.ts';
import type { ServiceProcess } from 'xdsctl/components/service.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { testCache, testProgress } from '../components/cache.ts';
import { AdsClient, cluster as clusterType, endpoint, type Response } from './harness/ads.ts';
import { ConfigDir, type UserObject } from './harness/config-dir.ts';
import { service } from './harness/objects.ts';
import { nodeId } from './harness/proxy.ts';
import { until } from './harness/wait.ts';

let eastDir: ConfigDir;
let westDir: ConfigDir;
let directory: string;
let set: Cluster;
let west: ServiceProcess;
let client: AdsClient;

beforeAll(async () => {
  [eastDir, westDir] = [await ConfigDir.create(), await ConfigDir.create()];
  await eastDir.write('both', ...shop('both', 8001));
  await eastDir.write('cart', ...shop('cart', 8001));
  await westDir.write('both', ...shop('both', 9001));
  await westDir.write('pay', ...shop('pay', 9001));
  directory = await mkdtemp(join(tmpdir(), 'watershed-clusters-'));
  set = await startCluster({
    configDir: eastDir.path,
    directory: join(directory, 'set'),
    cache: testCache,
    progress: testProgress,
    translators: 1,
    pushers: 1,
    partitions: 8,
  });
  west = await set.addIngester({ configDir: westDir.path, clusterId: 'west' });
  await west.whenReady();
  const [pusher] = set.pushers;
  client = new AdsClient({
    port: Number(pusher?.grpc?.split(':').at(-1)),
    protocol: 'delta',
    nodeId: nodeId({ type: 'sidecar', workload: 'web-1.shop' }),
    metadata: { NAMESPACE: 'shop', LABELS: { app: 'web' }, CLUSTER_ID: 'Kubernetes' },
  });
  client.connect();
}, 120_000);

afterAll(async () => {
  client.cut();
  await set.stop();
  await Promise.all([eastDir.delete(), westDir.delete()]);
  await rm(directory, { recursive: true, force: true });
});

function shop(name: string, port: number): readonly UserObject[] {
  return service({ name, namespace: 'shop', port: 80, workloads: [{ port }] });
}

const nameOf = (name: string): string => `outbound|80||${name}.shop.svc.cluster.local`;

/** Ports behind a service, as the client knows them; `undefined`: it does not know the service. */
function portsOf(name: string): readonly number[] | undefined {
  const body = client.body(endpoint, nameOf(name));
  if (body === undefined || client.body(clusterType, nameOf(name)) === undefined) return undefined;
  return ClusterLoadAssignment.decode(body)
    .endpoints.flatMap(({ lbEndpoints }) => lbEndpoints)
    .flatMap(({ hostIdentifier }) => {
      if (hostIdentifier?.$case !== 'endpoint') return [];
      const address = hostIdentifier.value.address?.address;
      if (address?.$case !== 'socketAddress') return [];
      const { portSpecifier } = address.value;
      return portSpecifier?.$case === 'portValue' ? [portSpecifier.value] : [];
    })
    .sort();
}

function untilIs(name: string, ports: readonly number[] | undefined): Promise<unknown> {
  return until(
    `${name} has ports ${ports?.join() ?? 'no more'}`,
    () => JSON.stringify(portsOf(name)) === JSON.stringify(ports),
    60_000,
  );
}

/** Names that the client was sent, or told to drop, since then. */
function namesSince(from: number): ReadonlySet<string> {
  const names = client.responses
    .slice(from)
    .flatMap((response: Response) => [...response.names, ...response.removed]);
  return new Set(names.filter((name) => name.startsWith('outbound|')));
}

test('the services of both clusters are served, and endpoints of one host together', async () => {
  await untilIs('cart', [8001]);
  await untilIs('pay', [9001]);
  await untilIs('both', [8001, 9001]);
});

test('one that is killed leaves everything, and the other goes on', async () => {
  await west.kill();
  const from = client.responses.length;
  await eastDir.write('cart', ...shop('cart', 8002));
  await untilIs('cart', [8002]);
  expect(namesSince(from)).toEqual(new Set([nameOf('cart')]));
  expect([portsOf('pay'), portsOf('both')]).toEqual([[9001], [8001, 9001]]);
});

test('it comes back to what it left: only what changed is sent, the other is not fenced', async () => {
  await westDir.write('pay', ...shop('pay', 9002));
  const from = client.responses.length;
  west.start();
  await west.whenReady();
  await untilIs('pay', [9002]);
  await eastDir.write('cart', ...shop('cart', 8003));
  await untilIs('cart', [8003]);
  expect(namesSince(from)).toEqual(new Set([nameOf('pay'), nameOf('cart')]));
  expect(set.ingester.running).toBe(true);
  expect(await set.ingester.isReady()).toBe(true);
});

test('what one cluster takes back of a host leaves what the other has', async () => {
  await westDir.remove('both');
  await untilIs('both', [8001]);
  await eastDir.remove('cart');
  await untilIs('cart', undefined);
  expect(portsOf('pay')).toEqual([9002]);
});

test('one whose cluster another takes over says so, and ends by itself', async () => {
  const second = await set.addIngester({ configDir: westDir.path, clusterId: 'west' });
  await second.whenReady();
  expect(await west.ended).toEqual({ status: 1, signal: null });
  const log = await readFile(west.logFile, 'utf8');
  const last = log.slice(log.indexOf('it cannot go on'));
  expect(log).toContain('another ingester with --clusterID west has taken over');
  expect(last).toContain('"reason":"it cannot go on"');
  expect(last).not.toContain('SIGTERM');
});
