import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Backend } from '../components/backends.ts';
import { answeredBy, ask } from '../components/clients.ts';
import type { TestEnvoy } from '../components/envoy.ts';
import { startServed } from './harness/backends.ts';
import { ConfigDir } from './harness/config-dir.ts';
import { ControlPlane } from './harness/control-plane.ts';
import { httpGateway, routeTo } from './harness/objects.ts';
import { freePort } from 'xdsctl/components/ports.ts';
import { rejections, startProxy } from './harness/proxy.ts';

const ns = 'edge';
/** An interval with what Envoy adds to it, the time-out, and a reconnect. */
const leftMs = 15_000 * 1.15 + 10_000 + 5_000;

let backends: readonly Backend[] = [];
const planes: ControlPlane[] = [];
const edges: { readonly envoy: TestEnvoy; readonly port: number }[] = [];
let config: ConfigDir;

function route(to: string): ReturnType<typeof routeTo> {
  const gateways = ['ads', 'apart'];
  return routeTo({ namespace: ns, name: 'shop', host: 'shop.test', gateways, to: { host: to } });
}

async function served({ port }: { readonly port: number }): Promise<string> {
  return answeredBy(await ask({ port, authority: 'shop.test' }));
}

async function streamsOf(plane: ControlPlane): Promise<number> {
  return (await plane.metrics()).sum('watershed_streams');
}

beforeAll(async () => {
  config = await ConfigDir.create();
  backends = await startServed(['one', 'other'], { config, namespace: ns });
  await config.write('route', route('one'));
  const ports = { ads: await freePort(), apart: await freePort() };
  for (const [edge, port] of Object.entries(ports)) {
    await config.write(edge, httpGateway(ns, edge, { edge }, port));
  }
  for (const _ of [1, 2]) planes.push(await ControlPlane.start({ configDir: config.path }));
  const [first, second] = planes.map(({ xds }) => xds);
  if (first === undefined || second === undefined) throw new Error('two are started');
  const others = ['--xds-address', `${second.host}:${second.port}`];
  for (const [edge, port] of Object.entries(ports)) {
    const envoy = await startProxy({
      ...{ type: 'router', workload: `${edge}.${ns}`, labels: { edge }, xds: first },
      protocol: edge === 'ads' ? 'delta' : 'sotw',
      flags: edge === 'ads' ? others : [...others, '--separate-streams'],
    });
    edges.push({ envoy, port });
  }
});

afterAll(async () => {
  for (const { envoy } of edges) await envoy.stop();
  for (const plane of planes) {
    plane.resume();
    await plane.delete();
  }
  await config.delete();
  for (const backend of backends) await backend.stop();
});

test('Envoys leave a pusher that hangs, though its kernel answers for it', async () => {
  for (const edge of edges) expect(await served(edge)).toBe('one');
  const counts = await Promise.all(planes.map(streamsOf));
  // All in one place, by the ring.
  expect(counts.filter((count) => count > 0)).toHaveLength(1);
  planes.find((_, at) => (counts[at] ?? 0) > 0)?.pause();
  await config.write('route', route('other'));
  await Promise.all(
    edges.map(async (edge) => {
      const isServed = async (): Promise<boolean> => (await served(edge)) === 'other';
      await edge.envoy.envoy.waitFor('the other pusher', isServed, 2 * leftMs);
    }),
  );
  for (const { envoy } of edges) expect(await rejections(envoy)).toBe(0);
});
