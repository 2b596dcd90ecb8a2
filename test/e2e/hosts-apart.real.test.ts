import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Backend } from '../components/backends.ts';
import { answeredBy, ask } from '../components/clients.ts';
import type { TestEnvoy } from '../components/envoy.ts';
import { startServed } from './harness/backends.ts';
import { ConfigDir } from './harness/config-dir.ts';
import { ControlPlane } from './harness/control-plane.ts';
import { httpGateway, routeTo } from './harness/objects.ts';
import { freePort } from 'xdsctl/components/ports.ts';
import { configWarnings, rejections, startProxy } from './harness/proxy.ts';

const ns = 'edge';
let backends: readonly Backend[] = [];
let config: ConfigDir;
let plane: ControlPlane;
let proxy: TestEnvoy;
let port: number;
let demanding: TestEnvoy;
let demandPort: number;

const hosts = Array.from({ length: 20 }, (_, at) => `h${at}.test`);

function route(host: string, to: string): ReturnType<typeof routeTo> {
  return routeTo({
    namespace: ns,
    name: host,
    host,
    gateways: ['edge', 'demand'],
    to: { host: to },
  });
}

beforeAll(async () => {
  config = await ConfigDir.create();
  port = await freePort();
  backends = await startServed(['one', 'other'], { config, namespace: ns });
  await config.write('gateway', httpGateway(ns, 'edge', { edge: 'a' }, port));
  demandPort = await freePort();
  await config.write('demand', httpGateway(ns, 'demand', { edge: 'b' }, demandPort));
  for (const host of hosts) await config.write(host, route(host, 'one'));
  plane = await ControlPlane.start({ configDir: config.path });
  proxy = await startProxy({
    ...{ type: 'router', workload: `gateway.${ns}`, protocol: 'delta', xds: plane.xds },
    ...{ labels: { edge: 'a' }, metadata: { WATERSHED_VHDS: 'true' } },
  });
  demanding = await startProxy({
    ...{ type: 'router', workload: `demand.${ns}`, protocol: 'delta', xds: plane.xds },
    ...{ labels: { edge: 'b' }, metadata: { WATERSHED_VHDS: 'on-demand' } },
  });
});

afterAll(async () => {
  await proxy?.stop();
  await demanding?.stop();
  await plane?.delete();
  await config?.delete();
  for (const backend of backends) await backend.stop();
});

async function served(host: string, at = port): Promise<string> {
  return answeredBy(await ask({ port: at, authority: host }));
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

/** Of the proxy that asks for its hosts: those that it has. */
async function hostsHeld(): Promise<readonly string[]> {
  const dump = JSON.stringify(await demanding.envoy.admin.configDump('dynamic_route_configs'));
  return hosts.filter((host) => dump.includes(`"${host}"`));
}

test('rules 48, 49: a request makes an Envoy ask for its host, and for no other', async () => {
  expect(await hostsHeld()).toEqual([]);
  expect(await served('h1.test', demandPort)).toBe('one');
  expect(await served(`h2.test:${demandPort}`, demandPort)).toBe('one');
  expect(await hostsHeld()).toEqual(['h1.test', 'h2.test']);
});

test('rule 49: a host that nobody serves is said to be so, each time, and served once it is there', async () => {
  for (const host of ['later.test', 'later.test', '_none', '_all']) {
    expect(await served(host, demandPort)).toBe('404');
  }
  await config.write('later', route('later.test', 'one'));
  const { envoy } = demanding;
  await envoy.waitFor('it', async () => (await served('later.test', demandPort)) === 'one');
});

test('a wildcard brings all hosts along, and when it goes they are asked for again', async () => {
  const { envoy } = demanding;
  const wild = { ...{ namespace: ns, name: 'wild', host: '*.wild.test' }, gateways: ['demand'] };
  await config.write('wild', routeTo({ ...wild, to: { host: 'other' } }));
  const comesTo = (host: string, wanted: string): Promise<void> =>
    envoy.waitFor(`${host} at ${wanted}`, async () => (await served(host, demandPort)) === wanted);
  await comesTo('x.wild.test', 'other');
  for (const host of ['h1.test', 'h9.test']) expect(await served(host, demandPort)).toBe('one');
  await config.remove('wild');
  await comesTo('x.wild.test', '404');
  for (const host of ['h1.test', 'h10.test']) await comesTo(host, 'one');
  expect(await rejections(demanding)).toBe(0);
});

test('the hosts that it has asked for change, go, and are kept over a restart', async () => {
  const { envoy } = demanding;
  const wait = (host: string, wanted: string): Promise<void> =>
    envoy.waitFor(`${host} at ${wanted}`, async () => (await served(host, demandPort)) === wanted);
  await config.write('h1.test', route('h1.test', 'other'));
  await wait('h1.test', 'other');
  await config.remove('h2.test');
  await wait('h2.test', '404');
  await plane.kill();
  expect(await served('h1.test', demandPort)).toBe('other');
  await config.write('h1.test', route('h1.test', 'one'));
  await plane.start();
  await wait('h1.test', 'one');
  await wait('h8.test', 'one');
  expect(await hostsHeld()).toEqual(['h1.test', 'h8.test', 'h10.test']);
  expect(await rejections(demanding)).toBe(0);
  expect(await configWarnings(demanding)).toEqual([]);
});
