/** What every client may rely on at every moment, whatever changes, over both ways of xDS. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { RouteConfiguration } from '@watershed/proto/envoy/config/route/v3/route.ts';
import { AdsClient, cluster, endpoint, listener, route, type Response } from './harness/ads.ts';
import { ConfigDir } from './harness/config-dir.ts';
import { ControlPlane } from './harness/control-plane.ts';
import { httpGateway, istio, routeTo, service } from './harness/objects.ts';
import { nodeId, protocols } from './harness/proxy.ts';

const ns = 'edge';
const types = [cluster, endpoint, listener, route];
let config: ConfigDir;
let plane: ControlPlane;

/** A small generator of numbers: the same changes in every run. */
let seed = 20_261_121;
function random(below: number): number {
  seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
  return (seed >>> 8) % below;
}

const names = ['a', 'b', 'c', 'd', 'e'] as const;
const hosts = ['one', 'two', 'three'] as const;
const pick = <T>(from: readonly T[]): T | undefined => from[random(from.length)];

/** What the configuration holds: no step makes a route to what is not there. */
const services = new Set<string>();
const subsets = new Map<string, readonly string[]>();
const routes = new Map<string, { readonly host: string; readonly subset: string }>();

function isUsed(service: string, subset?: string): boolean {
  return [...routes.values()].some(
    (route) => route.host === service && (subset === undefined || route.subset === subset),
  );
}

async function writeService(name: string): Promise<void> {
  services.add(name);
  const workloads = Array.from({ length: 1 + random(3) }, () => ({
    port: 1_000 + random(5),
    labels: { version: `v${1 + random(2)}` },
  }));
  await config.write(`service-${name}`, ...service({ name, namespace: ns, port: 80, workloads }));
}

async function removeService(name: string): Promise<void> {
  if (isUsed(name)) return;
  services.delete(name);
  await config.remove(`service-${name}`);
}

async function writeRoute(name: string): Promise<void> {
  const host = pick([...services]);
  if (host === undefined) return;
  const subset = pick(['', ...(subsets.get(host) ?? [])]) ?? '';
  routes.set(name, { host, subset });
  await config.write(
    `route-${name}`,
    routeTo({
      ...{ namespace: ns, name, host: `${name}.test`, gateways: ['edge', 'mesh'] },
      to: { host: `${host}.${ns}.svc.cluster.local`, ...(subset === '' ? {} : { subset }) },
      routeName: `r${random(9)}`,
    }),
  );
}

async function writeRule(name: string): Promise<void> {
  const kept = ['s0', 's1', 's2'].filter((one) => isUsed(name, one) || random(2) === 0);
  subsets.set(name, kept);
  const connectionPool = { tcp: { connectTimeout: `${1 + random(9)}s` } };
  await config.write(
    `rule-${name}`,
    istio('DestinationRule', ns, name, {
      host: `${name}.${ns}.svc.cluster.local`,
      subsets: kept.map((one) => ({ name: one, labels: { version: 'v1' } })),
      trafficPolicy: { connectionPool },
    }),
  );
}

async function removeRule(name: string): Promise<void> {
  if ((subsets.get(name) ?? []).some((one) => isUsed(name, one))) return;
  subsets.delete(name);
  await config.remove(`rule-${name}`);
}

async function change(): Promise<void> {
  const name = pick(names) ?? 'a';
  switch (random(8)) {
    case 0:
      await writeService(name);
      break;
    case 1:
      await writeRule(name);
      break;
    case 2:
      await removeRule(name);
      break;
    case 3:
      await removeService(name);
      break;
    case 4:
      await config.write('gateway', httpGateway(ns, 'edge', { app: 'edge' }, 8_000 + random(3)));
      break;
    default:
      await writeRoute(pick(hosts) ?? 'one');
  }
}

/** Clusters that its routes name and that it does not have. */
function dangling(client: AdsClient): readonly string[] {
  const held = new Set(client.names(cluster));
  const named = client.names(route).flatMap((name) => {
    const table = RouteConfiguration.decode(client.body(route, name) ?? new Uint8Array());
    return table.virtualHosts.flatMap(({ routes }) =>
      routes.flatMap(({ action }) => {
        const to = action?.$case === 'route' ? action.value.clusterSpecifier : undefined;
        return to?.$case === 'cluster' ? [to.value] : [];
      }),
    );
  });
  return named.filter((name) => !held.has(name));
}

interface Watched {
  readonly client: AdsClient;
  readonly title: string;
  /** Routes to what it did not have, and the message that made it so. */
  readonly wrong: string[];
}

function watch(type: 'router' | 'sidecar', protocol: (typeof protocols)[number]): Watched {
  const title = `${type} ${protocol}`;
  const wrong: string[] = [];
  const look = ({ typeUrl, names: sent, removed }: Response): void => {
    const bad = dangling(client);
    if (bad.length === 0) return;
    wrong.push(`${title}: ${bad.join()} after ${typeUrl} +${sent.join()} -${removed.join()}`);
  };
  const client: AdsClient = new AdsClient({
    ...{ port: plane.xds.port, protocol },
    nodeId: nodeId({ type, workload: `edge-1.${ns}` }),
    metadata: { NAMESPACE: ns, LABELS: { app: 'edge' }, CLUSTER_ID: 'Kubernetes' },
    onResponse: (response) => {
      setImmediate(() => look(response));
      return true;
    },
  });
  return { client, title, wrong };
}

function contentOf({ client }: Watched): unknown {
  return types.map((type) =>
    client
      .names(type)
      .map((name) => [name, Buffer.from(client.body(type, name) ?? []).toString('hex')]),
  );
}

beforeAll(async () => {
  config = await ConfigDir.create();
  await config.write('gateway', httpGateway(ns, 'edge', { app: 'edge' }, 8_000));
  for (const name of names) await writeService(name);
  for (const name of hosts) await writeRoute(name);
  plane = await ControlPlane.start({ configDir: config.path });
});

afterAll(async () => {
  await plane?.delete();
  await config?.delete();
});

test('who lived through 100 changes holds what a newcomer is given, SotW and delta alike', async () => {
  const watched = (['router', 'sidecar'] as const).flatMap((type) =>
    protocols.map((protocol) => watch(type, protocol)),
  );
  for (const { client } of watched) client.connect();
  for (let step = 0; step < 100; step++) {
    await change();
    await sleep(random(150));
    const one = watched[random(watched.length)];
    if (step % 10 === 9 && one !== undefined) {
      one.client.cut();
      one.client.connect();
    }
  }
  for (const { client } of watched) await client.settle(1_500);
  const fresh = (['router', 'sidecar'] as const).flatMap((type) =>
    protocols.map((protocol) => watch(type, protocol)),
  );
  for (const one of fresh) {
    one.client.connect();
    await one.client.settle();
    const lived = watched.find(({ title }) => title === one.title);
    // One that is silent for a while may yet have more to come, on a busy machine.
    await vi.waitFor(() => expect(lived && contentOf(lived)).toEqual(contentOf(one)), 20_000);
  }
  const [routers, sidecars] = [fresh.slice(0, 2), fresh.slice(2)];
  expect(contentOf(routers[0]!)).toEqual(contentOf(routers[1]!));
  expect(contentOf(sidecars[0]!)).toEqual(contentOf(sidecars[1]!));
  for (const { client } of [...watched, ...fresh]) client.cut();
  expect(watched.flatMap(({ wrong }) => wrong)).toEqual([]);
});
