import { afterAll, beforeAll, expect, test } from 'vitest';
import { startBackend, type Backend } from '../components/backends.ts';
import { ask, echoOf } from '../components/clients.ts';
import type { TestEnvoy } from '../components/envoy.ts';
import { ConfigDir } from './harness/config-dir.ts';
import { ControlPlane } from './harness/control-plane.ts';
import { httpGateway, routeTo, service } from './harness/objects.ts';
import { freePort } from 'xdsctl/components/ports.ts';
import { configWarnings, rejections, startProxy } from './harness/proxy.ts';

const ns = 'edge';
const backends = new Map<string, Backend>();
let config: ConfigDir;
let plane: ControlPlane;
let proxy: TestEnvoy;
let port: number;

const hosts = Array.from({ length: 20 }, (_, at) => `h${at}.test`);

function route(host: string, to: string): ReturnType<typeof routeTo> {
  return routeTo({ namespace: ns, name: host, host, gateways: ['edge'], to: { host: to } });
}

beforeAll(async () => {
  config = await ConfigDir.create();
  port = await freePort();
  for (const name of ['one', 'other']) {
    const backend = await startBackend({ name });
    backends.set(name, backend);
    const workloads = [{ port: backend.port }];
    await config.write(name, ...service({ name, namespace: ns, port: 80, workloads }));
  }
  await config.write('gateway', httpGateway(ns, 'edge', { edge: 'a' }, port));
  for (const host of hosts) await config.write(host, route(host, 'one'));
  plane = await ControlPlane.start({ configDir: config.path });
  proxy = await startProxy({
    ...{ type: 'router', workload: `gateway.${ns}`, protocol: 'delta', xds: plane.xds },
    ...{ labels: { edge: 'a' }, metadata: { WATERSHED_VHDS: 'true' } },
  });
});

afterAll(async () => {
  await proxy?.stop();
  await plane?.delete();
  await config?.delete();
  for (const backend of backends.values()) await backend.stop();
});

async function served(host: string): Promise<string> {
  const answer = await ask({ port, authority: host });
  return answer.status === 200 ? echoOf(answer).name : String(answer.status);
}

async function pushed(type: string): Promise<{ count: number; bytes: number }> {
  const metrics = await plane.metrics();
  return {
    count: metrics.sum('pilot_xds_pushes', { type }),
    bytes: metrics.sum('watershed_pushed_bytes_total', { type }),
  };
}

test('rule 48: an Envoy takes the hosts of its tables apart from them', async () => {
  for (const host of hosts) expect(await served(host)).toBe('one');
  const table = JSON.stringify(await proxy.envoy.admin.configDump('dynamic_route_configs'));
  expect(table).toContain('"vhds"');
});

test('a route that changes, comes or goes costs its host alone', async () => {
  const [tables, before] = [await pushed('rds'), await pushed('vhds')];
  await config.write('h3.test', route('h3.test', 'other'));
  await proxy.envoy.waitFor('to route anew', async () => (await served('h3.test')) === 'other');
  const after = await pushed('vhds');
  expect(after.count).toBe(before.count + 1);
  expect(after.bytes - before.bytes).toBeLessThan(3_000);
  expect(after.bytes - before.bytes).toBeLessThan(before.bytes / 5);
  await config.write('new', route('new.test', 'other'));
  await proxy.envoy.waitFor('to have a host', async () => (await served('new.test')) === 'other');
  await config.remove('h4.test');
  await proxy.envoy.waitFor('to drop a host', async () => (await served('h4.test')) === '404');
  expect(await served('h5.test')).toBe('one');
  expect((await pushed('rds')).count).toBe(tables.count);
});

test('over a restart of the control plane it keeps them, and is told what changed meanwhile', async () => {
  await plane.kill();
  await config.write('h6.test', route('h6.test', 'other'));
  expect(await served('h7.test')).toBe('one');
  await plane.start();
  await proxy.envoy.waitFor('to catch up', async () => (await served('h6.test')) === 'other');
  expect(await served('h7.test')).toBe('one');
  expect(await served('new.test')).toBe('other');
  expect((await pushed('rds')).count).toBe(0);
  expect(await rejections(proxy)).toBe(0);
  expect(await configWarnings(proxy)).toEqual([]);
});
