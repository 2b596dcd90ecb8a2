/**
 * The Envoys that are meant to work: the newest, and the oldest that is still kept up; over one
 * stream for all types or one for each, state of the world and delta.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from 'xdsctl/components/ports.ts';
import { startBackend, type Backend } from '../components/backends.ts';
import { ask, echoOf } from '../components/clients.ts';
import { startTestEnvoy, type TestEnvoy } from '../components/envoy.ts';
import { ConfigDir, type UserObject } from './harness/config-dir.ts';
import { ControlPlane } from './harness/control-plane.ts';
import { Load, spread } from './harness/load.ts';
import { httpGateway, istio, service } from './harness/objects.ts';
import { protocols, rejections, type Protocol } from './harness/proxy.ts';
import { until } from './harness/wait.ts';
import { xdsctl } from './harness/xdsctl.ts';

const ns = 'edge';
const host = 'shop.test';

interface Kind {
  readonly name: string;
  /** `undefined`: the one that everything else is tested with. */
  readonly version: string | undefined;
  readonly protocol: Protocol;
  readonly separate: boolean;
}

const kinds: readonly Kind[] = ['1.36.4', undefined].flatMap((version) =>
  protocols.flatMap((protocol) =>
    [false, true].map((separate) => {
      const way = separate ? 'separate streams' : 'ADS';
      return { name: `${version ?? '1.40'}, ${way}, ${protocol}`, version, protocol, separate };
    }),
  ),
);

interface Running extends AsyncDisposable {
  readonly proxy: TestEnvoy;
  /** Of the gateway's listener, over LDS. */
  readonly port: number;
  /** Of a static listener whose routes come over their own stream. */
  readonly routed: number;
  /** Of a static listener whose cluster has its endpoints over their own stream. */
  readonly direct: number;
}

const running = new Map<string, Running>();
const backends: Backend[] = [];
let config: ConfigDir;
let plane: ControlPlane;

const names = ['a', 'b'] as const;
const serviceOf = (name: string, at: readonly number[]): readonly UserObject[] =>
  service({
    ...{ name, namespace: ns, port: 80 },
    workloads: at.map((index) => ({ port: backends[index]?.port ?? 0 })),
  });

function weights(a: number): UserObject {
  const route = names.map((name) => ({
    destination: { host: name },
    weight: name === 'a' ? a : 100 - a,
  }));
  const gateways = kinds.map((_, at) => `edge-${at}`);
  return istio('VirtualService', ns, 'shop', { hosts: [host], gateways, http: [{ route }] });
}

const typed = 'type.googleapis.com/envoy.extensions.filters.network';

function listener(port: number, filter: object): object {
  const address = { socket_address: { address: '127.0.0.1', port_value: port } };
  return { name: `static-${port}`, address, filter_chains: [{ filters: [filter] }] };
}

/** Clusters, listeners, a table and endpoints each have a stream; what they refer to has ADS. */
function separated(
  bootstrap: Readonly<Record<string, unknown>>,
  { port, routed, direct }: Pick<Running, 'port' | 'routed' | 'direct'>,
): object {
  const { dynamic_resources: dynamic, static_resources: fixed } = bootstrap as {
    readonly dynamic_resources: { readonly ads_config: object };
    readonly static_resources: { readonly clusters: readonly object[] };
  };
  const own = { api_config_source: dynamic.ads_config, resource_api_version: 'V3' };
  const manager = {
    '@type': `${typed}.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: 'static',
    rds: { route_config_name: `http.${port}`, config_source: own },
    http_filters: [
      {
        name: 'envoy.filters.http.router',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router',
        },
      },
    ],
  };
  const tcp = {
    ...{ '@type': `${typed}.tcp_proxy.v3.TcpProxy`, stat_prefix: 'direct', cluster: 'direct' },
  };
  const cluster = {
    ...{ name: 'direct', type: 'EDS', connect_timeout: '1s' },
    eds_cluster_config: { service_name: `outbound|80||a.${ns}.svc.cluster.local`, eds_config: own },
  };
  return {
    ...bootstrap,
    dynamic_resources: { ...dynamic, lds_config: own, cds_config: own },
    static_resources: {
      ...fixed,
      clusters: [...fixed.clusters, cluster],
      listeners: [
        listener(routed, { name: 'http', typed_config: manager }),
        listener(direct, { name: 'tcp', typed_config: tcp }),
      ],
    },
  };
}

async function start(kind: Kind, at: number, port: number): Promise<Running> {
  const { protocol, version, separate } = kind;
  const ports = { port, routed: await freePort(), direct: await freePort() };
  const { xds } = plane;
  const printed = await xdsctl(
    ...[
      'bootstrap',
      'envoy',
      '--node',
      `router~127.0.0.1~edge-${at}.${ns}~${ns}.svc.cluster.local`,
    ],
    ...['--xds-address', `${xds.host}:${xds.port}`, '--label', `edge=e${at}`, '--admin-port', '0'],
    ...(protocol === 'delta' ? ['--delta'] : []),
  );
  const bootstrap = JSON.parse(printed) as Readonly<Record<string, unknown>>;
  const proxy = await startTestEnvoy({
    bootstrap: separate ? separated(bootstrap, ports) : bootstrap,
    ...(version === undefined ? {} : { version }),
  });
  return { proxy, ...ports, [Symbol.asyncDispose]: () => proxy.stop() };
}

const runningOf = (kind: Kind): Running => {
  const found = running.get(kind.name);
  if (found === undefined) throw new Error(`${kind.name} does not run`);
  return found;
};

/** The ports of a proxy that are routed by the table. */
const portsOf = (kind: Kind): readonly number[] => {
  const { port, routed } = runningOf(kind);
  return kind.separate ? [port, routed] : [port];
};

beforeAll(async () => {
  for (const name of ['a', 'b', 'c']) backends.push(await startBackend({ name }));
  config = await ConfigDir.create();
  await config.write('a', ...serviceOf('a', [0]));
  await config.write('b', ...serviceOf('b', [1]));
  await config.write('routes', weights(80));
  const ports = await Promise.all(kinds.map(() => freePort()));
  for (const [at, port] of ports.entries()) {
    await config.write(`edge-${at}`, httpGateway(ns, `edge-${at}`, { edge: `e${at}` }, port));
  }
  plane = await ControlPlane.start({ configDir: config.path });
  for (const [at, kind] of kinds.entries()) {
    const made = await start(kind, at, ports[at] ?? 0);
    running.set(kind.name, made);
    await made.proxy.envoy.waitReady();
  }
});

afterAll(async () => {
  await Promise.all([...running.values()].map(({ proxy }) => proxy.stop()));
  await plane.delete();
  await Promise.all(backends.map((backend) => backend.stop()));
  await config.delete();
});

describe.each(kinds)('Envoy $name', (kind) => {
  test('routes by weight', async () => {
    for (const port of portsOf(kind)) {
      const seen = await spread(1_000, { port, authority: host });
      const total = (seen.get('a') ?? 0) + (seen.get('b') ?? 0);
      expect(Math.abs((100 * (seen.get('a') ?? 0)) / total - 80)).toBeLessThan(5);
    }
  });
});

test('endpoints come by a stream of their own', async () => {
  for (const kind of kinds.filter(({ separate }) => separate)) {
    const { direct } = runningOf(kind);
    expect(echoOf(await ask({ port: direct, authority: host })).name).toBe('a');
  }
});

test('each type has a stream of its own, or all share one', async () => {
  const answer = await fetch(`http://${plane.monitoring}/debug/syncz`);
  const streams = (await answer.json()) as readonly { readonly proxy: string }[];
  for (const [at, { name, separate }] of kinds.entries()) {
    const own = streams.filter(({ proxy }) => proxy === `edge-${at}.${ns}`);
    // Listeners, clusters, a table, endpoints, and what these refer to.
    expect({ name, streams: own.length }).toEqual({ name, streams: separate ? 5 : 1 });
  }
});

test('a weight is moved and endpoints are swapped, and no request fails', async () => {
  const loads = kinds.flatMap((kind) =>
    portsOf(kind).map((port) => new Load({ port, authority: host, workers: 1 })),
  );
  await sleep(300);
  const reaches = (wanted: string): Promise<true> =>
    until(`all requests come to ${wanted}`, async () => {
      for (const port of kinds.flatMap(portsOf)) {
        const answers = await Promise.all(
          Array.from({ length: 8 }, () => ask({ port, authority: host })),
        );
        if (!answers.every((answer) => echoOf(answer).name === wanted)) return false;
      }
      return true;
    });
  await config.write('routes', weights(0));
  await reaches('b');
  await config.write('b', ...serviceOf('b', [2]));
  await reaches('c');
  await config.write('routes', weights(100));
  await reaches('a');
  const results = await Promise.all(loads.map((load) => load.stop()));
  for (const result of results) expect(result.failures).toEqual([]);
});

test.each(kinds)('Envoy $name has refused nothing', async (kind) => {
  expect(await rejections(runningOf(kind).proxy)).toBe(0);
});
