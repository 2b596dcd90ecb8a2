/**
 * The Envoys that are meant to work: the newest, and the oldest that is still kept up; over one
 * stream for all types or one for each, state of the world and delta.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { resourceTypes } from '@watershed/proto/any.ts';
import { freePort } from 'xdsctl/components/ports.ts';
import { startBackend, type Backend } from '../components/backends.ts';
import { makeAuthority } from '../components/certificates.ts';
import { startTestEnvoy, type TestEnvoy } from '../components/envoy.ts';
import { ConfigDir, type UserObject } from './harness/config-dir.ts';
import { ControlPlane } from './harness/control-plane.ts';
import { Load, offBy, spread } from './harness/load.ts';
import { httpGateway, istio, service, tlsSecret } from './harness/objects.ts';
import { protocols, rejections, type Protocol } from './harness/proxy.ts';
import { askTls } from './harness/tls-client.ts';
import { reaches } from './harness/reach.ts';
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

interface Running {
  readonly proxy: TestEnvoy;
  /** Of the gateway's listener, over LDS. */
  readonly port: number;
  /** Of the one that ends TLS. */
  readonly tls: number;
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
  const gateways = kinds.flatMap((_, at) => [`edge-${at}`, `tls-${at}`]);
  return istio('VirtualService', ns, 'shop', {
    hosts: [host, tlsHost],
    gateways,
    http: [{ route }],
  });
}

const tlsHost = 'tls.test';
const authority = makeAuthority('test root');

/** On the same proxies: its certificate is a resource that a listener refers to. */
function tlsGateway(name: string, selector: Readonly<Record<string, string>>, port: number) {
  const server = {
    port: { number: port, name: 'https', protocol: 'HTTPS' },
    hosts: [tlsHost],
    tls: { mode: 'SIMPLE', credentialName: 'edge-cert' },
  };
  return istio('Gateway', ns, name, { selector, servers: [server] });
}

async function start(kind: Kind, at: number, ports: Omit<Running, 'proxy'>): Promise<Running> {
  const { protocol, version, separate } = kind;
  const { xds } = plane;
  const bootstrap = await xdsctl(
    ...['bootstrap', 'envoy', '--admin-port', '0'],
    ...['--node', `router~127.0.0.1~edge-${at}.${ns}~${ns}.svc.cluster.local`],
    ...['--xds-address', `${xds.host}:${xds.port}`, '--label', `edge=e${at}`],
    ...(protocol === 'delta' ? ['--delta'] : []),
    ...(separate ? ['--separate-streams'] : []),
  );
  const proxy = await startTestEnvoy({
    bootstrap,
    ...(version === undefined ? {} : { version }),
  });
  return { proxy, ...ports };
}

const runningOf = (kind: Kind): Running => {
  const found = running.get(kind.name);
  if (found === undefined) throw new Error(`${kind.name} does not run`);
  return found;
};

const portOf = (kind: Kind): number => runningOf(kind).port;

beforeAll(async () => {
  for (const name of ['a', 'b', 'c']) backends.push(await startBackend({ name }));
  config = await ConfigDir.create();
  await config.write('a', ...serviceOf('a', [0]));
  await config.write('b', ...serviceOf('b', [1]));
  await config.write('routes', weights(80));
  const ports = await Promise.all(
    kinds.map(async () => ({ port: await freePort(), tls: await freePort() })),
  );
  for (const [at, { port, tls }] of ports.entries()) {
    const selector = { edge: `e${at}` };
    await config.write(`edge-${at}`, httpGateway(ns, `edge-${at}`, selector, port));
    await config.write(`tls-${at}`, tlsGateway(`tls-${at}`, selector, tls));
  }
  const pair = authority.issue({ commonName: 'first', names: [tlsHost] });
  await config.write('secret', tlsSecret(ns, 'edge-cert', pair));
  plane = await ControlPlane.start({ configDir: config.path });
  for (const [at, kind] of kinds.entries()) {
    const made = await start(kind, at, ports[at] ?? { port: 0, tls: 0 });
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
    const to = { port: portOf(kind), authority: host };
    const share = { count: 1_000, wanted: 80, within: 5 };
    expect(await offBy('a', share, (count) => spread(count, to))).toBeLessThan(5);
  });

  test('ends TLS with a certificate over SDS', async () => {
    const { tls } = runningOf(kind);
    const answer = await askTls({ port: tls, host: tlsHost, ca: authority.certificate });
    expect([answer.status, answer.commonName]).toEqual([200, 'first']);
  });
});

interface AdsClients {
  readonly clients: readonly {
    readonly connectionId: string;
    readonly watches: Readonly<Record<string, readonly string[]>>;
  }[];
}

const shorts: Readonly<Record<string, string>> = {
  [resourceTypes.cluster]: 'CDS',
  [resourceTypes.endpoint]: 'EDS',
  [resourceTypes.listener]: 'LDS',
  [resourceTypes.route]: 'RDS',
  [resourceTypes.secret]: 'SDS',
};
const shortOf = (typeUrl: string): string => shorts[typeUrl] ?? typeUrl;

/** Clusters and listeners; by reference two tables, the endpoints of a and of b, a certificate. */
const separately = ['CDS', 'EDS', 'EDS', 'LDS', 'RDS', 'RDS', 'SDS'];

test('each type and each reference has a stream of its own, or all share one', async () => {
  const answer = await fetch(`http://${plane.monitoring}/debug/adsz`);
  const { clients } = (await answer.json()) as AdsClients;
  for (const [at, { name, separate }] of kinds.entries()) {
    const own = clients.filter(({ connectionId }) => connectionId.includes(`edge-${at}.${ns}~`));
    const types = own.map(({ watches }) => Object.keys(watches).map(shortOf).toSorted().join());
    const wanted = separate ? separately : ['CDS,EDS,LDS,RDS,SDS'];
    expect({ name, types: types.toSorted() }).toEqual({ name, types: wanted });
  }
});

test('a weight is moved and endpoints are swapped, and no request fails', async () => {
  const loads = kinds.map((kind) => new Load({ port: portOf(kind), authority: host, workers: 1 }));
  await sleep(300);
  const all = { ports: kinds.map(portOf), authority: host, times: 8 };
  await config.write('routes', weights(0));
  await reaches('b', all);
  await config.write('b', ...serviceOf('b', [2]));
  await reaches('c', all);
  await config.write('routes', weights(100));
  await reaches('a', all);
  const results = await Promise.all(loads.map((load) => load.stop()));
  for (const result of results) expect(result.failures).toEqual([]);
});

test.each(kinds)('Envoy $name has refused nothing', async (kind) => {
  expect(await rejections(runningOf(kind).proxy)).toBe(0);
});
