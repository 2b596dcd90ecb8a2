/** What istioctl asks and reads, with stock Envoys behind it, and a decoder of our own. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client, credentials, status, type ChannelCredentials } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { resourceTypes } from '@watershed/proto/any.ts';
import {
  ClustersConfigDump,
  ListenersConfigDump,
  RoutesConfigDump,
} from '@watershed/proto/envoy/admin/v3/config_dump_shared.ts';
import { RouteConfiguration } from '@watershed/proto/envoy/config/route/v3/route.ts';
import { Cluster } from '@watershed/proto/envoy/config/cluster/v3/cluster.ts';
import {
  DiscoveryRequest,
  DiscoveryResponse,
} from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import { ClientConfig, ConfigStatus } from '@watershed/proto/envoy/service/status/v3/csds.ts';
import { startSmallMesh, type SmallMesh } from './harness/small-mesh.ts';
import { until } from './harness/wait.ts';
import { xdsctl } from './harness/xdsctl.ts';

const ads = '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources';
const syncz = 'istio.io/debug/syncz';
let mesh: SmallMesh;

beforeAll(async () => {
  mesh = await startSmallMesh();
});
afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]();
});

interface Question {
  readonly typeUrl: string;
  readonly names?: readonly string[];
  /** `default` of this namespace asks over TLS; absent: this machine, in plaintext. */
  readonly namespace?: string;
}

/** One question as istioctl asks it: its node, and a nonce of its own making. */
async function ask({ typeUrl, names = [], namespace }: Question): Promise<DiscoveryResponse> {
  const secure = namespace === undefined ? undefined : await credentialsOf(namespace);
  const { port } = secure === undefined ? mesh.plane.xds : mesh.plane.secureXds;
  const client = new Client(`127.0.0.1:${port}`, secure ?? credentials.createInsecure());
  const of = namespace ?? 'istio-system';
  // Whoever it is.
  const id = 'sidecar~10.0.0.9~test-1.default~default.svc.cluster.local';
  const metadata = { GENERATOR: 'event', NAMESPACE: of, SERVICE_ACCOUNT: 'default' };
  const call = client.makeBidiStreamRequest(
    ads,
    (request: DiscoveryRequest) => Buffer.from(DiscoveryRequest.encode(request).finish()),
    (bytes: Buffer) => DiscoveryResponse.decode(bytes),
  );
  try {
    return await new Promise((resolve, reject) => {
      call.on('data', resolve);
      call.on('error', reject);
      call.write(
        DiscoveryRequest.fromPartial({
          ...{ typeUrl, resourceNames: [...names], node: { id, metadata } },
          responseNonce: new Date().toISOString(),
        }),
      );
    });
  } finally {
    call.cancel();
    client.close();
  }
}

async function credentialsOf(namespace: string): Promise<ChannelCredentials> {
  const directory = await mesh.certificatesOf(namespace);
  const read = (file: string): Promise<Buffer> => readFile(join(directory, file));
  const [root, key, chain] = [read('root-cert.pem'), read('key.pem'), read('cert-chain.pem')];
  return credentials.createSsl(await root, await key, await chain);
}

test('syncz tells of each Envoy that all that it was sent is synced', async () => {
  await until('all is ACKed', async () => {
    const shown = (await mesh.plane.json('/debug/syncz')) as readonly { synced: boolean }[];
    return shown.length === 2 && shown.every(({ synced }) => synced);
  });
  const { resources, controlPlane } = await ask({ typeUrl: syncz, namespace: 'istio-system' });
  expect(JSON.parse(controlPlane?.identifier ?? '')).toMatchObject({ Component: 'watershed' });
  const found = resources.map(({ value }) => ClientConfig.decode(value));
  expect(found.map(({ node }) => node?.id)).toEqual(['edge-1.shop', 'edge-2.shop']);
  for (const { node, genericXdsConfigs } of found) {
    expect(node?.metadata).toMatchObject({ NAMESPACE: 'shop', ISTIO_VERSION: '1.29.1' });
    const { cluster, endpoint, listener, route } = resourceTypes;
    expect(genericXdsConfigs.map(({ typeUrl }) => typeUrl)).toEqual(
      [cluster, endpoint, listener, route].sort(),
    );
    for (const { configStatus, lastUpdated } of genericXdsConfigs) {
      expect(configStatus).toBe(ConfigStatus.SYNCED);
      expect(Math.abs((lastUpdated?.seconds ?? 0) - Date.now() / 1_000)).toBeLessThan(300);
    }
  }
});

test.each(['edge-1', 'edge-2'])(
  'config_dump of %s has what Envoy itself says that it has',
  async (name) => {
    const { resources } = await ask({
      typeUrl: 'istio.io/debug/config_dump',
      names: [`${name}.shop`],
    });
    const part = (suffix: string): Uint8Array =>
      resources.find(({ typeUrl }) => typeUrl.endsWith(`.${suffix}`))?.value ?? new Uint8Array(0);
    const { dynamicActiveClusters } = ClustersConfigDump.decode(part('ClustersConfigDump'));
    const { dynamicListeners } = ListenersConfigDump.decode(part('ListenersConfigDump'));
    const { dynamicRouteConfigs } = RoutesConfigDump.decode(part('RoutesConfigDump'));
    const nothing = new Uint8Array(0);
    const ours = {
      clusters: dynamicActiveClusters.map(
        ({ cluster }) => Cluster.decode(cluster?.value ?? nothing).name,
      ),
      listeners: dynamicListeners.map((listener) => listener.name),
      routes: dynamicRouteConfigs.map(
        ({ routeConfig }) => RouteConfiguration.decode(routeConfig?.value ?? nothing).name,
      ),
    };
    const { envoy } = name === 'edge-1' ? mesh.gateway : mesh.other;
    const dump = JSON.stringify(await envoy.admin.configDump());
    const { configs } = JSON.parse(dump) as { readonly configs: readonly Part[] };
    expect(ours.clusters).toContain('outbound|80||cart.shop.svc.cluster.local');
    expect(sorted(ours.clusters)).toEqual(
      namesIn(configs, 'dynamic_active_clusters', ({ cluster }) => cluster?.name),
    );
    expect(sorted(ours.listeners)).toEqual(
      namesIn(configs, 'dynamic_listeners', (listener) => listener.name),
    );
    expect(sorted(ours.routes)).toEqual(
      namesIn(configs, 'dynamic_route_configs', ({ route_config: table }) => table?.name),
    );
  },
);

interface Item {
  readonly name?: string;
  readonly cluster?: { readonly name: string };
  readonly route_config?: { readonly name: string };
}
type Part = Readonly<Record<string, readonly Item[] | undefined>>;

function namesIn(
  configs: readonly Part[],
  field: string,
  nameOf: (item: Item) => string | undefined,
): readonly string[] {
  return sorted(
    configs.flatMap((config) => (config[field] ?? []).map((item) => nameOf(item) ?? '')),
  );
}

function sorted(names: readonly string[]): readonly string[] {
  return [...names].sort();
}

test('the pages of all parts of the process are told over xDS, to operators alone', async () => {
  const told = await ask({ typeUrl: 'istio.io/debug', names: ['list'], namespace: 'istio-system' });
  const list = JSON.parse(Buffer.from(told.resources[0]?.value ?? []).toString()) as unknown;
  expect(list).toEqual(expect.arrayContaining(['config_dump', 'configz', 'syncz', 'translator']));
  for (const typeUrl of [syncz, 'istio.io/debug', 'istio.io/debug/config_dump']) {
    await expect(ask({ typeUrl, names: ['list'], namespace: 'shop' })).rejects.toMatchObject({
      code: status.PERMISSION_DENIED,
      details: "shop/default may not see others' state",
    });
  }
});

test('xdsctl proxy-status shows it in the columns of istioctl', async () => {
  const printed = await xdsctl('proxy-status', '--monitoringAddr', mesh.plane.monitoring);
  const [header, ...rows] = printed.split('\n');
  expect(header?.split(/ {2,}/u)).toEqual([
    ...['NAME', 'CLUSTER', 'CDS', 'LDS', 'EDS', 'RDS', 'PUSHER', 'VERSION', 'SCOPE'],
  ]);
  expect(rows).toHaveLength(2);
  for (const [at, row] of rows.entries()) {
    expect(row).toMatch(
      new RegExp(
        String.raw`^edge-${at + 1}\.shop +Kubernetes +(SYNCED \(\w+\) +){4}\S+-\d+ +1\.29\.1 +[0-9a-f]+$`,
        'u',
      ),
    );
  }
});
