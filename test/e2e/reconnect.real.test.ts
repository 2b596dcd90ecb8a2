import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startBackend, type Backend } from '../components/backends.ts';
import { ask, echoOf } from '../components/clients.ts';
import type { TestEnvoy } from '../components/envoy.ts';
import { ConfigDir } from './harness/config-dir.ts';
import { ControlPlane } from './harness/control-plane.ts';
import { startCutProxy, type CutProxy } from './harness/cut-proxy.ts';
import { httpGateway, istio, routeTo, service } from './harness/objects.ts';
import { freePort } from 'xdsctl/components/ports.ts';
import { protocols, rejections, startEdge, type Protocol } from './harness/proxy.ts';
import { until } from './harness/wait.ts';

const ns = 'edge';
const backends: Backend[] = [];
const proxies = new Map<Protocol, TestEnvoy>();
const cutters = new Map<Protocol, CutProxy>();
const ports = new Map<Protocol, number>();
let config: ConfigDir;
let plane: ControlPlane;

function route(protocol: Protocol, to: string): ReturnType<typeof routeTo> {
  const name = `to-${protocol}`;
  const host = `${protocol}.test`;
  return routeTo({ namespace: ns, name, host, gateways: [`edge-${protocol}`], to: { host: to } });
}

/** How often its clusters went on after 15 s without the endpoints that they waited for. */
async function waitedInVain({ admin }: TestEnvoy['envoy']): Promise<number> {
  const stats = await admin.stats('^cluster\\..*(init_fetch_timeout|assignment_use_cached)$');
  expect(stats.size).toBeGreaterThan(2);
  return [...stats.values()].reduce((sum, count) => sum + count, 0);
}

beforeAll(async () => {
  for (const name of ['old', 'fresh']) backends.push(await startBackend({ name }));
  config = await ConfigDir.create();
  const workloads = [{ port: backends[0]?.port ?? 0 }];
  for (const protocol of protocols) {
    const port = await freePort();
    ports.set(protocol, port);
    await config.write(
      `gateway-${protocol}`,
      httpGateway(ns, `edge-${protocol}`, { edge: protocol }, port),
      ...service({ name: `old-${protocol}`, namespace: ns, port: 80, workloads }),
    );
    await config.write(`route-${protocol}`, route(protocol, `old-${protocol}`));
  }
  plane = await ControlPlane.start({ configDir: config.path });
  for (const protocol of protocols) {
    const cutter = await startCutProxy(plane.xds);
    cutters.set(protocol, cutter);
    const xds = { host: '127.0.0.1', port: cutter.port };
    proxies.set(protocol, await startEdge(protocol, { namespace: ns, xds }));
  }
});

afterAll(async () => {
  for (const proxy of proxies.values()) await proxy.stop();
  for (const cutter of cutters.values()) await cutter.stop();
  await plane?.delete();
  await config?.delete();
  for (const backend of backends) await backend.stop();
});

describe.each(protocols)('an Envoy over %s that is cut off behind a cluster', (protocol) => {
  const of = <T>(all: ReadonlyMap<Protocol, T>): T => {
    const found = all.get(protocol);
    if (found === undefined) throw new Error(`nothing of ${protocol}`);
    return found;
  };

  test('that is new: has its endpoints at once when it is back', async () => {
    const [envoy, cutter] = [of(proxies).envoy, of(cutters)];
    cutter.arm(`fresh-${protocol}.${ns}.svc.cluster.local`);
    const workloads = [{ port: backends[1]?.port ?? 0 }];
    const name = `fresh-${protocol}`;
    await config.write('fresh', ...service({ name, namespace: ns, port: 80, workloads }));
    await config.write(`route-${protocol}`, route(protocol, name));
    await envoy.waitFor('to be cut off', () => cutter.cuts === 1);
    const answered = async (): Promise<boolean> => {
      const answer = await ask({ port: of(ports), authority: `${protocol}.test` });
      // The old route holds until the new one can.
      return echoOf(answer).name === 'fresh';
    };
    await envoy.waitFor('to use the new cluster', answered);
    expect(await envoy.admin.stat('cluster_manager.warming_clusters')).toBe(0);
    expect(await waitedInVain(envoy)).toBe(0);
  });

  test('that has changed: warms it at once when it is back', async () => {
    const [envoy, cutter] = [of(proxies).envoy, of(cutters)];
    const host = `fresh-${protocol}.${ns}.svc.cluster.local`;
    cutter.arm(host);
    await config.write(
      'rule',
      istio('DestinationRule', ns, 'fresh', {
        host,
        trafficPolicy: { connectionPool: { tcp: { connectTimeout: '7s' } } },
      }),
    );
    await envoy.waitFor('to be cut off', () => cutter.cuts === 2);
    const changed = async (): Promise<boolean> => {
      const dump = JSON.stringify(await envoy.admin.configDump('dynamic_active_clusters'));
      const warming = await envoy.admin.stat('cluster_manager.warming_clusters');
      return warming === 0 && dump.includes('"connect_timeout":"7s"');
    };
    await envoy.waitFor('to use the changed cluster', changed);
    expect(echoOf(await ask({ port: of(ports), authority: `${protocol}.test` })).name).toBe(
      'fresh',
    );
    expect(await waitedInVain(envoy)).toBe(0);
    expect(await rejections(of(proxies))).toBe(0);
    await config.remove('rule');
  });

  test('that is gone for good when it is back: goes on', async () => {
    const [envoy, cutter] = [of(proxies).envoy, of(cutters)];
    const clusters = async (): Promise<string> =>
      JSON.stringify(await envoy.admin.configDump('dynamic_active_clusters'));
    const fleeting = `fleeting-${protocol}`;
    const next = `next-${protocol}`;
    const workloads = [{ port: backends[1]?.port ?? 0 }];
    cutter.arm(`${fleeting}.${ns}.svc.cluster.local`, 'shut');
    // A gateway is given the clusters that its routes name.
    await config.write(
      fleeting,
      ...service({ name: fleeting, namespace: ns, port: 80, workloads }),
    );
    await config.write(`route-${protocol}`, route(protocol, fleeting));
    await envoy.waitFor('to be cut off', () => cutter.cuts === 3);
    await config.write(next, ...service({ name: next, namespace: ns, port: 80, workloads }));
    await config.write(`route-${protocol}`, route(protocol, next));
    await config.remove(fleeting);
    await until('the control plane to have forgotten it', async () => {
      return !(await plane.text('/debug/configz')).includes(fleeting);
    });
    await sleep(500);
    cutter.open();
    await envoy.waitFor(
      'to have what is new',
      async () => (await clusters()).includes(next),
      20_000,
    );
    await envoy.waitFor('to lose what is gone', async () => !(await clusters()).includes(fleeting));
    expect(await rejections(of(proxies))).toBe(0);
  });
});
