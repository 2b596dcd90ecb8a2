/** Resources by names of the scheme xdstp (rule 50), as Envoys ask for them over ADS. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from 'xdsctl/components/ports.ts';
import { startBackend, type Backend } from '../components/backends.ts';
import { answeredBy, ask } from '../components/clients.ts';
import { startTestEnvoy, type TestEnvoy } from '../components/envoy.ts';
import { ConfigDir } from './harness/config-dir.ts';
import { ControlPlane } from './harness/control-plane.ts';
import { httpGateway, istio, routeTo, service } from './harness/objects.ts';
import { configWarnings, nodeId, rejections } from './harness/proxy.ts';
import { xdsctl } from './harness/xdsctl.ts';

const ns = 'edge';
const host = 'shop.test';
const kinds = [
  { version: '1.36.4', protocol: 'delta' },
  { version: undefined, protocol: 'delta' },
  { version: undefined, protocol: 'sotw' },
] as const;
type Kind = (typeof kinds)[number];

interface Ports {
  /** Of the gateway's listener, from the collection. */
  readonly port: number;
  /** Of one more gateway on the same proxy, that comes and goes. */
  readonly more: number;
  /** Of a static listener whose table has such a name. */
  readonly named: number;
  /** Of one whose cluster's endpoints have. */
  readonly direct: number;
  /** Of one more whose table has, with colons and slashes: a Unix socket's gateway has that table. */
  readonly path: number;
}

interface Running extends Ports {
  readonly proxy: TestEnvoy;
}

const running: Running[] = [];
const backends: Backend[] = [];
let config: ConfigDir;
let plane: ControlPlane;

const typed = 'type.googleapis.com/envoy.extensions.filters';
const ads = { ads: {}, resource_api_version: 'V3' };
const locator = (message: string, id: string): string =>
  `xdstp://watershed/envoy.config.${message}/${id}`;

function listener(port: number, filter: object): object {
  const address = { socket_address: { address: '127.0.0.1', port_value: port } };
  const filters = [{ name: 'only', typed_config: filter }];
  return { name: `static-${port}`, address, filter_chains: [{ filters }] };
}

/** Of the table of that name. */
function manager(table: string): object {
  const router = {
    name: 'envoy.filters.http.router',
    typed_config: { '@type': `${typed}.http.router.v3.Router` },
  };
  return {
    '@type': `${typed}.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: 'named',
    rds: { route_config_name: locator('route.v3.RouteConfiguration', table), config_source: ads },
    http_filters: [router],
  };
}

/** By such a name: the tables of two listeners, and the endpoints of another one's cluster. */
function staticResources({ port, named, direct, path }: Ports, socket: string) {
  const tcp = {
    ...{ '@type': `${typed}.network.tcp_proxy.v3.TcpProxy` },
    ...{ stat_prefix: 'direct', cluster: 'direct' },
  };
  const assignment = `outbound|80||a.${ns}.svc.cluster.local`;
  const service = locator('endpoint.v3.ClusterLoadAssignment', assignment);
  const cluster = {
    ...{ name: 'direct', type: 'EDS', connect_timeout: '1s' },
    eds_cluster_config: { service_name: service, eds_config: ads },
  };
  const listeners = [
    listener(named, manager(`http.${port}`)),
    listener(path, manager(`http.0.${socket}`)),
    listener(direct, tcp),
  ];
  return { cluster, listeners };
}

async function start({ version, protocol }: Kind, at: number): Promise<Running> {
  const [port, more] = [await freePort(), await freePort()];
  const [named, direct, path] = [await freePort(), await freePort(), await freePort()];
  const ports = { port, more, named, direct, path };
  const selector = { edge: `e${at}` };
  await config.write(`edge-${at}`, httpGateway(ns, `edge-${at}`, selector, port));
  const server = { port: { number: 0, name: 'http', protocol: 'HTTP' }, hosts: ['*'] };
  const servers = [{ ...server, bind: socketOf(at) }];
  await config.write(`path-${at}`, istio('Gateway', ns, `path-${at}`, { selector, servers }));
  const { xds } = plane;
  const printed = await xdsctl(
    ...['bootstrap', 'envoy', '--xdstp', '--admin-port', '0', '--label', `edge=e${at}`],
    ...(protocol === 'delta' ? ['--delta'] : []),
    ...['--node', nodeId({ type: 'router', workload: `edge-${at}.${ns}` })],
    ...['--xds-address', `${xds.host}:${xds.port}`],
  );
  const bootstrap = JSON.parse(printed) as {
    readonly static_resources: { readonly clusters: readonly object[] };
  };
  const { cluster, listeners } = staticResources(ports, socketOf(at));
  const clusters = [...bootstrap.static_resources.clusters, cluster];
  const proxy = await startTestEnvoy({
    bootstrap: { ...bootstrap, static_resources: { clusters, listeners } },
    ...(version === undefined ? {} : { version }),
  });
  await proxy.envoy.waitReady();
  return { proxy, ...ports };
}

const socketOf = (kind: number): string => `unix://${config.path}/${kind}.sock`;

beforeAll(async () => {
  for (const name of ['a', 'b']) backends.push(await startBackend({ name }));
  config = await ConfigDir.create();
  const workloads = [{ port: backends[0]?.port ?? 0 }];
  await config.write('a', ...service({ name: 'a', namespace: ns, port: 80, workloads }));
  const gateways = kinds.flatMap((_, at) => [`edge-${at}`, `more-${at}`, `path-${at}`]);
  await config.write(
    'route',
    routeTo({ namespace: ns, name: 'shop', host, gateways, to: { host: 'a' } }),
  );
  plane = await ControlPlane.start({ configDir: config.path });
  for (const [at, kind] of kinds.entries()) running.push(await start(kind, at));
});

afterAll(async () => {
  await Promise.all(running.map(({ proxy }) => proxy.stop()));
  await plane?.delete();
  await Promise.all(backends.map((backend) => backend.stop()));
  await config?.delete();
});

const answers = async (port: number): Promise<string> =>
  answeredBy(await ask({ port, authority: host }));

const at = (kind: number): Running => {
  const found = running[kind];
  if (found === undefined) throw new Error('it does not run');
  return found;
};

describe.each([
  { kind: 0, name: '1.36, delta' },
  { kind: 1, name: '1.40, delta' },
  { kind: 2, name: '1.40, sotw' },
])('rule 50: Envoy $name', ({ kind }) => {
  test('has the listeners of a collection, and tables and endpoints by name', async () => {
    const { proxy, port, named, direct, path } = at(kind);
    for (const one of [port, named, direct, path]) expect(await answers(one)).toBe('a');
    const dump = JSON.stringify(await proxy.envoy.admin.configDump('dynamic_listeners'));
    const socket = socketOf(kind).replaceAll('/', '%252F');
    for (const id of [`0.0.0.0_${port}`, socket]) {
      expect(dump).toContain(`"name":"${locator('listener.v3.Listener', id)}"`);
    }
  });

  test('is told of listeners that come and go', async () => {
    const { proxy, port, more } = at(kind);
    await config.write(`more-${kind}`, httpGateway(ns, `more-${kind}`, { edge: `e${kind}` }, more));
    const served = async (): Promise<boolean> =>
      (await answers(more).catch(() => 'refused')) === 'a';
    await proxy.envoy.waitFor('to have one more listener', served);
    await config.remove(`more-${kind}`);
    await proxy.envoy.waitFor('to drop it', async () => !(await served()));
    expect(await answers(port)).toBe('a');
  });
});

test('a change reaches them by those names, over a restart of the control plane as well', async () => {
  await plane.kill();
  for (const { port, named, direct, path } of running) {
    for (const one of [port, named, direct, path]) expect(await answers(one)).toBe('a');
  }
  const workloads = [{ port: backends[1]?.port ?? 0 }];
  await config.write('a', ...service({ name: 'a', namespace: ns, port: 80, workloads }));
  await plane.start();
  for (const { proxy, port, named, direct, path } of running) {
    for (const one of [port, named, direct, path]) {
      await proxy.envoy.waitFor('the change', async () => (await answers(one)) === 'b');
    }
    expect(await rejections(proxy)).toBe(0);
    expect(await configWarnings(proxy)).toEqual([]);
  }
});

test('rule 42: a listener that goes while the control plane is away goes from them', async () => {
  for (const [kind, { more, proxy }] of running.entries()) {
    const name = `more-${kind}`;
    await config.write(name, httpGateway(ns, name, { edge: `e${kind}` }, more));
    await proxy.envoy.waitFor('one more listener', () => listens(proxy, more));
  }
  await plane.kill();
  for (const kind of running.keys()) await config.remove(`more-${kind}`);
  await plane.start();
  for (const { more, proxy } of running) {
    await proxy.envoy.waitFor('to drop it', async () => !(await listens(proxy, more)));
  }
});

async function listens({ envoy }: TestEnvoy, port: number): Promise<boolean> {
  const addresses = [...(await envoy.admin.listeners()).values()];
  return addresses.some((address) => address.endsWith(`:${port}`));
}
