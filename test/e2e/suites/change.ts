import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { startBackend, type Backend } from '../../components/backends.ts';
import { ask, echoOf } from '../../components/clients.ts';
import type { TestEnvoy } from '../../components/envoy.ts';
import { ConfigDir } from '../harness/config-dir.ts';
import { startPlane, type Plane, type PlaneKind } from '../harness/plane.ts';
import { Load, type LoadResult } from '../harness/load.ts';
import { httpGateway, istio, routeTo, service } from '../harness/objects.ts';
import { freePort } from 'xdsctl/components/ports.ts';
import { protocols, rejections, startEdge, type Protocol } from '../harness/proxy.ts';
import { until, untilQuiet } from '../harness/wait.ts';

const ns = 'edge';
const host = 'shop.test';
const fqdn = (name: string): string => `${name}.${ns}.svc.cluster.local`;
const backends: Backend[] = [];
const proxies = new Map<Protocol, TestEnvoy>();
const ports = new Map<Protocol, number>();
const extraPorts = new Map<Protocol, readonly number[]>();
let config: ConfigDir;
let plane: Plane;
let loads: Load[] = [];

/** What all steps begin with, and must end with. */
async function writeShop(): Promise<void> {
  await config.write('a', ...serviceOf('a', [0, 1]));
  await config.write('b', ...serviceOf('b', [2]));
  await config.write('routes', route('a', 'first'));
  await config.write('rule', rule('v1', 'v2'));
}

/** A service whose workloads are some of the backends; odd ones are version 2. */
function serviceOf(name: string, at: readonly number[]): ReturnType<typeof service> {
  const workloads = at.map((index) => ({
    port: backends[index]?.port ?? 0,
    labels: { version: index % 2 === 0 ? 'v1' : 'v2' },
  }));
  return service({ name, namespace: ns, port: 80, workloads });
}

const gateways = protocols.map((protocol) => `edge-${protocol}`);

function route(
  to: string,
  routeName: string,
  part: { readonly subset?: string; readonly port?: number } = {},
): ReturnType<typeof routeTo> {
  const destination = { host: fqdn(to), ...part };
  return routeTo({ namespace: ns, name: 'shop', host, gateways, to: destination, routeName });
}

function rule(first: string, second: string, name = 'a'): ReturnType<typeof istio> {
  return istio('DestinationRule', ns, name, {
    host: fqdn(name),
    subsets: [
      { name: first, labels: { version: 'v1' } },
      { name: second, labels: { version: 'v2' } },
    ],
  });
}

/** Kinds of changes that must not cost a request; each is called with the number of its turn. */
const changes: Readonly<Record<string, (turn: number) => Promise<void>>> = {
  'a route is renamed': (turn) => config.write('routes', route('a', `name-${turn}`)),
  'the cluster of a route is swapped': (turn) =>
    config.write('routes', route(turn % 2 === 0 ? 'b' : 'a', 'swapped')),
  'a subset is renamed together with the route to it': async (turn) => {
    // One file: users who rename it in two steps have a moment without the subset.
    await config.write(
      'routes',
      route('a', 'subsets', { subset: `s${turn}` }),
      rule(`s${turn}`, `t${turn}`),
    );
    await config.remove('rule');
  },
  'a subset is no longer used': async () => {
    await config.write('routes', route('a', 'plain'), rule('v1', 'v2'));
  },
  'a service is added with a route to it': async (turn) => {
    await config.write(`new-${turn}`, ...serviceOf(`new-${turn}`, [turn % 3]));
    await config.write('routes', route(`new-${turn}`, 'new'), rule('v1', 'v2'));
  },
  'a service is removed after the route to it': async (turn) => {
    await config.write('routes', route('a', 'old'), rule('v1', 'v2'));
    for (let at = 0; at <= turn; at++) await config.remove(`new-${at}`);
  },
  'endpoints come and go': (turn) => {
    // One of version 1 is always there: a subset without endpoints is the user's wish to fail.
    const sets = [[0], [0, 1], [2], [0, 1, 2], [1, 2]];
    return config.write('a', ...serviceOf('a', sets[turn % sets.length] ?? [0]));
  },
  'a port is replaced, and the route moves with it': async (turn) => {
    for (const port of [80, 81]) {
      const workloads = [{ port: backends[turn % 3]?.port ?? 0 }];
      await config.write(
        'routes',
        ...service({ name: 'ported', namespace: ns, port, workloads }),
        route('ported', 'ports', { port }),
      );
      await sleep(250);
    }
  },
  'workloads become another version, and the route moves with them': async (turn) => {
    for (const subset of ['v1', 'v2']) {
      const workloads = [{ port: backends[turn % 3]?.port ?? 0, labels: { version: subset } }];
      await config.write(
        'routes',
        ...service({ name: 'blue', namespace: ns, port: 80, workloads }),
        route('blue', 'versions', { subset }),
        rule('v1', 'v2', 'blue'),
      );
      await sleep(250);
    }
  },
  'the policy of a cluster changes': (turn) =>
    config.write('b-rule', {
      ...istio('DestinationRule', ns, 'b', {
        host: fqdn('b'),
        trafficPolicy: { connectionPool: { tcp: { connectTimeout: `${1 + (turn % 5)}s` } } },
      }),
    }),
  'a listener is added, or another one in its place': (turn) =>
    config.write(
      'extra',
      ...protocols.map((protocol) => {
        const port = extraPorts.get(protocol)?.[turn % 2] ?? 0;
        return httpGateway(ns, `extra-${protocol}`, { edge: protocol }, port);
      }),
    ),
  'the host gets a neighbour': (turn) =>
    config.write(
      'neighbour',
      routeTo({
        ...{ namespace: ns, name: 'neighbour', host: `n${turn}.test`, gateways },
        to: { host: fqdn('b') },
      }),
    ),
};

function startLoads(): void {
  loads = protocols.map(
    (protocol) => new Load({ port: ports.get(protocol) ?? 0, authority: host, workers: 4 }),
  );
}

async function stopLoads(): Promise<readonly LoadResult[]> {
  const results = await Promise.all(loads.map((load) => load.stop()));
  loads = [];
  return results;
}

function failuresOf({ failures }: LoadResult): readonly string[] {
  return failures.map(({ atMs, what }) => `${Math.round(atMs)} ms: ${what}`);
}

/** Requests with this `Host` are answered by this backend, on every proxy. */
async function routed(to: string): Promise<void> {
  for (const port of ports.values()) {
    await until(`requests go to ${to}`, async () => {
      const answer = await ask({ port, authority: host });
      return answer.status === 200 && echoOf(answer).name === to;
    });
  }
}

/** The same on either log, and on services apart. */
export function changeSuite(kind: PlaneKind): void {
  beforeAll(async () => {
    for (const name of ['zero', 'one', 'two']) backends.push(await startBackend({ name }));
    for (const protocol of protocols) {
      ports.set(protocol, await freePort());
      extraPorts.set(protocol, [await freePort(), await freePort()]);
    }
    config = await ConfigDir.create();
    await config.write(
      'gateways',
      ...protocols.map((protocol) =>
        httpGateway(ns, `edge-${protocol}`, { edge: protocol }, ports.get(protocol) ?? 0),
      ),
    );
    await writeShop();
    plane = await startPlane(kind, config.path);
    for (const protocol of protocols) {
      proxies.set(protocol, await startEdge(protocol, { namespace: ns, xds: plane.xds }));
    }
  });

  afterEach(async () => {
    await stopLoads();
  });

  afterAll(async () => {
    for (const proxy of proxies.values()) await proxy.stop();
    await plane?.delete();
    await config?.delete();
    for (const backend of backends) await backend.stop();
  });

  describe('the control plane is killed', () => {
    test('and started again with nothing changed: proxies are sent nothing that they hold', async () => {
      await writeShop();
      await config.write('routes', route('b', 'quiet'));
      await routed('two');
      const pushes = async (): Promise<number> => (await plane.metrics()).sum('pilot_xds_pushes');
      await untilQuiet('the pushes', pushes, { quietMs: 1_000, least: 1 });
      await plane.kill();
      await plane.start();
      for (const { envoy } of proxies.values()) {
        await envoy.waitFor('to be connected again', async () => {
          return (await envoy.admin.stat('control_plane.connected_state')) === 1;
        });
      }
      await until('both streams are open', async () => {
        return (await plane.metrics()).sum('watershed_streams') === 2;
      });
      await untilQuiet('the pushes', pushes, { quietMs: 1_000, least: 2 });
      const metrics = await plane.metrics();
      const sent = (type: string): number => metrics.sum('pilot_xds_pushes', { type });
      // SotW cannot say what it holds of named types: they are answered.
      expect({ cds: sent('cds'), lds: sent('lds') }).toEqual({ cds: 0, lds: 0 });
      expect({ eds: sent('eds'), rds: sent('rds') }).toEqual({ eds: 1, rds: 1 });
      expect(metrics.sum('watershed_events_total')).toBe(0);
    });

    test('and started again, in the midst of changes: no request is lost', async () => {
      await writeShop();
      startLoads();
      for (let round = 0; round < 3; round++) {
        await config.write('routes', route('b', `round-${round}`));
        await sleep(50 * round);
        await plane.kill();
        await config.write('a', ...serviceOf('a', [round % 2]));
        await config.write('routes', route('a', `again-${round}`));
        await sleep(300);
        await plane.start();
        await routed(round % 2 === 0 ? 'zero' : 'one');
      }
      for (const result of await stopLoads()) expect(failuresOf(result)).toEqual([]);
    });
  });

  test('200 changes under a steady load cost no request', async () => {
    startLoads();
    const names = Object.keys(changes);
    const startedAt = performance.now();
    const steps: string[] = [];
    for (let step = 0; step < 200; step++) {
      const name = names[step % names.length] ?? '';
      steps.push(`${Math.round(performance.now() - startedAt)} ms: ${name}`);
      await changes[name]?.(Math.floor(step / names.length));
      // Some changes are pushed one by one, and some run into each other.
      await sleep(40 + ((step * 37) % 160));
    }
    for (const name of ['extra', 'neighbour', 'b-rule']) await config.remove(name);
    await writeShop();
    await config.write('routes', route('b', 'last'));
    await routed('two');
    for (const result of await stopLoads()) {
      // What was going on when requests failed tells more than how many did.
      expect(result.failures.length > 0 ? [...steps, ...failuresOf(result)] : []).toEqual([]);
      expect(result.requests).toBeGreaterThan(1_000);
      expect([...result.by.keys()].sort()).toEqual(['one', 'two', 'zero']);
    }
    for (const proxy of proxies.values()) expect(await rejections(proxy)).toBe(0);
  });
}
