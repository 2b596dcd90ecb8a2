import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Backend } from '../components/backends.ts';
import { ask } from '../components/clients.ts';
import type { TestEnvoy } from '../components/envoy.ts';
import { startServed } from './harness/backends.ts';
import { ConfigDir } from './harness/config-dir.ts';
import { ControlPlane } from './harness/control-plane.ts';
import { httpGateway, routeTo } from './harness/objects.ts';
import { freePort } from 'xdsctl/components/ports.ts';
import { startProxy } from './harness/proxy.ts';
import { until } from './harness/wait.ts';
import { xdsctl } from './harness/xdsctl.ts';

const ns = 'edge';
const count = 30;
let backends: readonly Backend[] = [];
let port = 0;
let config: ConfigDir;
let plane: ControlPlane;
let proxy: TestEnvoy;

/** One file, so that its removal is one step. */
async function writeRoutes(): Promise<void> {
  const routes = Array.from({ length: count }, (_, at) =>
    routeTo({
      ...{ namespace: ns, name: `r${at}`, host: `r${at}.test`, gateways: ['edge'] },
      to: { host: 'a' },
    }),
  );
  await config.write('routes', ...routes);
}

async function statuses(): Promise<readonly number[]> {
  const asked = Array.from({ length: count }, (_, at) => ask({ port, authority: `r${at}.test` }));
  return [...new Set((await Promise.all(asked)).map(({ status }) => status))];
}

async function held(): Promise<number> {
  return ((await plane.json('/debug/heldz')) as readonly unknown[]).length;
}

beforeAll(async () => {
  port = await freePort();
  config = await ConfigDir.create();
  backends = await startServed(['a'], { config, namespace: ns });
  await config.write('gateway', httpGateway(ns, 'edge', { edge: 'yes' }, port));
  await writeRoutes();
  plane = await ControlPlane.start({ configDir: config.path });
  proxy = await startProxy({
    ...{ type: 'router', workload: `gateway.${ns}`, protocol: 'delta', xds: plane.xds },
    labels: { edge: 'yes' },
  });
});

afterAll(async () => {
  await proxy?.stop();
  await plane?.delete();
  await config?.delete();
  for (const backend of backends) await backend.stop();
});

test('a mass deletion is held and shown, and dissolves when the objects return', async () => {
  expect(await statuses()).toEqual([200]);
  await config.remove('routes');
  await until('it is held', async () => (await held()) === count);
  await sleep(500);
  expect(await statuses()).toEqual([200]);
  expect((await plane.metrics()).sum('watershed_held_deletions')).toBe(count);
  const events = (await plane.metrics()).sum('watershed_events_total');
  await writeRoutes();
  await until('nothing is held', async () => (await held()) === 0);
  expect(await statuses()).toEqual([200]);
  // They are what they were: nobody downstream has heard of it.
  expect((await plane.metrics()).sum('watershed_events_total')).toBe(events);
});

test('a held deletion outlives the process, and goes through when a person confirms it', async () => {
  await config.remove('routes');
  await until('it is held', async () => (await held()) === count);
  await plane.kill();
  await plane.start();
  await until('it is held again', async () => (await held()) === count);
  expect(await statuses()).toEqual([200]);
  const printed = await xdsctl('confirm', '--monitoringAddr', plane.monitoring);
  expect(printed).toContain(`released the deletion of ${count} objects`);
  expect(printed).toContain(`VirtualService ${ns}/r0`);
  await until('the routes are gone', async () => {
    return (await statuses()).every((status) => status === 404);
  });
  expect(await held()).toBe(0);
});
