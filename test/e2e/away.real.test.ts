/** A cluster goes and its route moves on while the control plane is away: no request may notice. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startBackend, type Backend } from '../components/backends.ts';
import { ask, echoOf } from '../components/clients.ts';
import type { TestEnvoy } from '../components/envoy.ts';
import { ConfigDir } from './harness/config-dir.ts';
import { ControlPlane } from './harness/control-plane.ts';
import { Load } from './harness/load.ts';
import { httpGateway, routeTo, service } from './harness/objects.ts';
import { freePort } from 'xdsctl/components/ports.ts';
import { protocols, rejections, startEdge, type Protocol } from './harness/proxy.ts';

const ns = 'edge';
const host = 'shop.test';
const gateways = protocols.map((protocol) => `edge-${protocol}`);
const backends: Backend[] = [];
const proxies = new Map<Protocol, TestEnvoy>();
const ports = new Map<Protocol, number>();
let config: ConfigDir;
let plane: ControlPlane;

/** Service `name` and the route to it; what there was before is gone. */
async function only(name: string, before: string | undefined): Promise<void> {
  const at = name.startsWith('even') ? 0 : 1;
  const workloads = [{ port: backends[at]?.port ?? 0 }];
  await config.write(`service-${name}`, ...service({ name, namespace: ns, port: 80, workloads }));
  const to = { host: name };
  await config.write('route', routeTo({ namespace: ns, name: 'shop', host, gateways, to }));
  if (before !== undefined) await config.remove(`service-${before}`);
}

async function settled(name: string): Promise<void> {
  const backend = name.startsWith('even') ? 'even' : 'odd';
  for (const [protocol, { envoy }] of proxies) {
    await envoy.waitFor(`to route to ${name} and to have no other cluster`, async () => {
      const answer = await ask({ port: ports.get(protocol) ?? 0, authority: host });
      const clusters = JSON.stringify(await envoy.admin.configDump('dynamic_active_clusters'));
      const named = new Set(clusters.match(/(?:even|odd)-\d+(?=\.edge\.svc)/gu));
      return echoOf(answer).name === backend && named.size === 1 && named.has(name);
    });
  }
}

beforeAll(async () => {
  for (const name of ['even', 'odd']) backends.push(await startBackend({ name }));
  config = await ConfigDir.create();
  for (const protocol of protocols) {
    ports.set(protocol, await freePort());
    const port = ports.get(protocol) ?? 0;
    const selector = { edge: protocol };
    await config.write(`gateway-${protocol}`, httpGateway(ns, `edge-${protocol}`, selector, port));
  }
  await only('even-0', undefined);
  plane = await ControlPlane.start({ configDir: config.path });
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

test.each([
  ['is stopped in order', 'even-0', 'odd-1', () => plane.stop()],
  ['is killed just after a change', 'even-2', 'odd-3', () => plane.kill()],
  [
    'is killed and its disk of last views lost',
    'even-4',
    'odd-5',
    async () => {
      await plane.kill();
      await rm(join(plane.dataDir, 'pusher'), { recursive: true, force: true });
    },
  ],
])('the control plane %s: 0 failed requests', async (_how, first, second, leave) => {
  await only(first, first === 'even-0' ? undefined : `odd-${Number(first.slice(-1)) - 1}`);
  await settled(first);
  const loads = [...ports.values()].map(
    (port) => new Load({ port, authority: host, workers: 8, pauseMs: 1 }),
  );
  await leave();
  await only(second, first);
  // The new configuration is on the log, as its translation is, before a proxy is back.
  await plane.start();
  await settled(second);
  await sleep(500);
  for (const load of loads) {
    const { requests, failures, by } = await load.stop();
    expect(failures).toEqual([]);
    expect(requests).toBeGreaterThan(100);
    expect([...by.keys()].sort()).toEqual(['even', 'odd']);
  }
  for (const proxy of proxies.values()) expect(await rejections(proxy)).toBe(0);
});
