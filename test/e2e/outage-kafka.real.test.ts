/** With the log gone, what is served stays; with the log back, what changed meanwhile arrives. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startChild, type Child } from 'xdsctl/components/child.ts';
import type { Backend } from '../components/backends.ts';
import { startTestKafka } from '../components/kafka.ts';
import type { Kafka } from 'xdsctl/components/kafka.ts';
import { startTestRedis } from '../components/redis.ts';
import type { TestEnvoy } from '../components/envoy.ts';
import { startServed } from './harness/backends.ts';
import { ConfigDir } from './harness/config-dir.ts';
import { ControlPlane } from './harness/control-plane.ts';
import { Load } from './harness/load.ts';
import { httpGateway, routeTo } from './harness/objects.ts';
import { freePort } from 'xdsctl/components/ports.ts';
import { protocols, startProxy } from './harness/proxy.ts';
import { reaches } from './harness/reach.ts';
import { until } from './harness/wait.ts';

const ns = 'edge';
const host = 'shop.test';
let backends: readonly Backend[] = [];
const proxies: TestEnvoy[] = [];
let kafka: Kafka;
let port = 0;
let config: ConfigDir;
let plane: ControlPlane;

async function routeToBackend(name: string): Promise<void> {
  const to = { host: name };
  await config.write('route', routeTo({ namespace: ns, name: 'r', host, gateways: ['edge'], to }));
}

/** All proxies share the port: many requests, so that each of them answers some. */
const routed = (name: string): Promise<true> =>
  reaches(name, { ports: [port], authority: host, times: 30 });

async function addProxy(protocol: (typeof protocols)[number]): Promise<void> {
  const workload = `gateway-${proxies.length}.${ns}`;
  const labels = { app: 'edge' };
  proxies.push(await startProxy({ type: 'router', workload, protocol, labels, xds: plane.xds }));
}

beforeAll(async () => {
  kafka = await startTestKafka();
  port = await freePort();
  config = await ConfigDir.create();
  backends = await startServed(['a', 'b'], { config, namespace: ns });
  await config.write('gateway', httpGateway(ns, 'edge', { app: 'edge' }, port));
  await routeToBackend('a');
  const args = ['--kafkaBrokers', kafka.brokers.join(',')];
  plane = await ControlPlane.start({ configDir: config.path, args });
  for (const protocol of protocols) await addProxy(protocol);
});

afterAll(async () => {
  for (const proxy of proxies) await proxy.stop();
  await plane?.delete();
  await config?.delete();
  await kafka?.stop();
  for (const backend of backends) await backend.stop();
});

test('proxies keep what they have, new ones are given it too, and changes wait', async () => {
  const load = new Load({ port, authority: host });
  await routed('a');
  await kafka.kill(0);
  await routeToBackend('b');
  await sleep(3_000);
  await routed('a');
  for (const protocol of protocols) await addProxy(protocol);
  await routed('a');
  expect(await plane.text('/ready')).toContain('ready');
  await kafka.restart(0);
  await routed('b');
  expect((await load.stop()).failures).toEqual([]);
});

/** What `/ready` says, with its status. */
async function ready(monitoring: string): Promise<string> {
  const response = await fetch(`http://${monitoring}/ready`).catch(() => undefined);
  return response === undefined ? '' : `${response.status} ${await response.text()}`;
}

const why = /the log is away for \d+ s \(kafka: cannot reach any broker of /u.source;
const isAway = new RegExp(`^503 not ready: waiting for .*the log.*; ${why}`, 'u');
const standsIn = new RegExp(`^200 ready: waiting for .*the log.*; ${why}`, 'u');

test('a process that starts without the log serves what it served last, is ready, says so, and recovers', async () => {
  const load = new Load({ port, authority: host });
  await routed('b');
  await plane.stop();
  await kafka.kill(0);
  const starting = plane.start();
  const { monitoring } = plane;
  await until('it says what it waits for', async () => isAway.test(await ready(monitoring)));
  for (const protocol of protocols) await addProxy(protocol);
  await routed('b');
  await routeToBackend('a');
  await until('it is ready', async () => standsIn.test(await ready(monitoring)), 30_000);
  await kafka.restart(0);
  await starting;
  await routed('a');
  await until('all is there', async () => (await ready(monitoring)) === '200 ready\n');
  expect((await load.stop()).failures).toEqual([]);
});

test('each service by itself waits for a log that comes later, and stops in order without it', async () => {
  await plane.stop();
  await kafka.kill(0);
  await using redis = await startTestRedis();
  const brokers = ['--kafkaBrokers', kafka.brokers.join(',')];
  const services = await Promise.all(
    ['ingester', 'translator', 'pusher'].map(async (name) => {
      const monitoring = `127.0.0.1:${await freePort()}`;
      const directory = await mkdtemp(join(tmpdir(), `watershed-${name}-`));
      const args = ['--monitoringAddr', monitoring, '--partitions', '8', ...brokers];
      if (name === 'ingester') args.push('--configDir', config.path);
      else args.push('--redisUrl', redis.url);
      if (name === 'pusher') args.push('--grpcAddr', '127.0.0.1:0');
      if (name !== 'translator') args.push('--dataDir', directory);
      const main = new URL(`../../services/${name}/src/main.ts`, import.meta.url).pathname;
      const start = (): Child =>
        startChild({
          command: process.execPath,
          args: [main, ...args],
          logFile: join(directory, 'log'),
        });
      return { monitoring, start, child: start(), directory };
    }),
  );
  for (const { monitoring } of services) {
    await until('it says what it waits for', async () => isAway.test(await ready(monitoring)));
  }
  for (const service of services) {
    await service.child.stop(10_000);
    expect(service.child.exit).toMatchObject({ status: 0 });
    service.child = service.start();
  }
  await kafka.restart(0);
  for (const { monitoring, child, directory } of services) {
    const isReady = async (): Promise<boolean> => (await ready(monitoring)).startsWith('200 ');
    await until('it is ready', isReady, 60_000);
    await child.stop(10_000);
    await rm(directory, { recursive: true, force: true });
  }
});
