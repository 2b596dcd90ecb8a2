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
import { protocols, rejections, startEdge, type Protocol } from './harness/proxy.ts';

const ns = 'edge';
const proxies = new Map<Protocol, TestEnvoy>();
const ports = new Map<Protocol, number>();
let backends: readonly Backend[] = [];
let config: ConfigDir;
let plane: ControlPlane;

beforeAll(async () => {
  config = await ConfigDir.create();
  backends = await startServed(['web'], { config, namespace: ns });
  for (const protocol of protocols) {
    const port = await freePort();
    ports.set(protocol, port);
    await config.write(
      protocol,
      httpGateway(ns, `edge-${protocol}`, { edge: protocol }, port),
      routeTo({
        ...{ namespace: ns, name: protocol, host: `${protocol}.test`, to: { host: 'web' } },
        gateways: [`edge-${protocol}`],
      }),
    );
  }
  plane = await ControlPlane.start({
    configDir: config.path,
    environment: { WATERSHED_RESOURCE_TTL: 'lds=4s,cds=4s' },
  });
  for (const protocol of protocols) {
    proxies.set(protocol, await startEdge(protocol, { namespace: ns, xds: plane.xds }));
  }
});

afterAll(async () => {
  for (const proxy of proxies.values()) await proxy.stop();
  await plane?.delete();
  await config?.delete();
  for (const backend of backends) await backend.stop();
});

async function statusOf(protocol: Protocol): Promise<number> {
  const answer = await ask({ port: ports.get(protocol) ?? 0, authority: `${protocol}.test` });
  return answer.status;
}

const envoyOf = (protocol: Protocol): TestEnvoy['envoy'] => {
  const found = proxies.get(protocol);
  if (found === undefined) throw new Error(`no proxy of ${protocol}`);
  return found.envoy;
};

/** How often its listeners and clusters were changed. */
async function changes(protocol: Protocol): Promise<number> {
  const stats = await envoyOf(protocol).admin.stats('_(added|modified|removed|updated)$');
  const of = [...stats].filter(([stat]) => /^(cluster_manager|listener_manager)/u.test(stat));
  expect(of.length).toBeGreaterThan(3);
  return of.reduce((sum, [, count]) => sum + count, 0);
}

test('rule 46: heartbeats keep what has a TTL, and Envoy takes them for no change', async () => {
  await envoyOf('delta').waitFor('to route', async () => (await statusOf('delta')) === 200);
  const pushes = async (): Promise<number> =>
    (await plane.metrics()).sum('pilot_xds_pushes', { type: 'lds' });
  const [said, taken] = [await pushes(), await changes('delta')];
  while ((await pushes()) <= said + 2) {
    expect(await statusOf('delta')).toBe(200);
    await sleep(100);
  }
  expect(await changes('delta')).toBe(taken);
  expect(await rejections(proxies.get('delta')!)).toBe(0);
});

test('rule 45: an Envoy over delta drops what it has not heard of for its TTL, and gets it again', async () => {
  await plane.kill();
  const listens = async (): Promise<boolean> =>
    await statusOf('delta').then(
      (status) => status === 200,
      () => false,
    );
  await envoyOf('delta').waitFor('to end its listener', async () => !(await listens()));
  // Its bootstrap does not say that it knows TTLs.
  expect(await statusOf('sotw')).toBe(200);
  await plane.start();
  await envoyOf('delta').waitFor('to listen again', listens);
});
