import { afterEach, beforeAll, expect, it } from 'vitest';
import type { DebugPage } from '@watershed/runtime/debug-pages.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import { CDS, EDS, LDS } from './session/support.ts';
import { DeltaClient, node, nodeId } from './support/client.ts';
import { scopeOfNode } from './support/scope.ts';
import { run, until, type Running } from './support/world.ts';

const scope = scopeOfNode();
const scopes = { [scope.id]: scope.scopeClass };
const shop = { [CDS]: { a: '1', b: '1' }, [EDS]: { a: '1', b: '1' }, [LDS]: {} };
let running: Running | undefined;
let client: DeltaClient | undefined;

// Loaded when somebody asks first, which takes a while on a busy machine.
beforeAll(() => import('@watershed/proto/registry.ts'), 60_000);

/** What of a response a NACK does not need. */
const blank = {
  systemVersionInfo: '',
  resources: [],
  removedResources: [],
  removedResourceNames: [],
  controlPlane: undefined,
  resourceErrors: [],
};

function sentOf(syncz: unknown): string {
  const [entry] = syncz as { readonly endpoint_sent: string }[];
  return entry?.endpoint_sent ?? '';
}

afterEach(async () => {
  client?.close();
  await running?.stop();
  running = undefined;
});

async function connected(): Promise<{ page: (path: string, query?: string) => Promise<unknown> }> {
  running = await run();
  await running.translator.publish(shop, scopes);
  client = new DeltaClient(running.port);
  client.request(CDS);
  client.ack(await client.next());
  client.request(EDS, { resourceNamesSubscribe: ['a', 'none'] });
  await client.next();
  const pages = new Map<string, DebugPage>(running.pusher.pages.map((page) => [page.path, page]));
  return {
    page: async (path, query = '') => {
      const page = pages.get(path);
      if (page === undefined) throw new Error(`no page ${path}`);
      const request = { method: 'GET', query: new URLSearchParams(query), body: '' };
      return JSON.parse(JSON.stringify(await page.handle(request))) as unknown;
    },
  };
}

it('syncz says of each proxy what it was sent and what it has ACKed', async () => {
  const { page } = await connected();
  await until('the ACK', async () => {
    const [entry] = (await page('/debug/syncz')) as Record<string, unknown>[];
    return entry?.['cluster_acked'] !== undefined;
  });
  const [entry] = (await page('/debug/syncz')) as Record<string, unknown>[];
  expect(entry).toMatchObject({
    proxy: 'web-1.shop',
    proxy_type: 'sidecar',
    scope: scope.id,
    synced: false,
  });
  expect(entry?.['cluster_sent']).toBe(entry?.['cluster_acked']);
  expect(entry?.['endpoint_sent']).toEqual(expect.any(String));
  expect(entry).not.toHaveProperty('endpoint_acked');
  const { cluster_sent: sent, resources } = entry as {
    readonly cluster_sent: string;
    readonly resources: Record<string, object>;
  };
  const { [CDS]: clusters, [EDS]: endpoints } = resources;
  expect(clusters).toEqual({ sent, acked: sent, sentTime: expect.any(String) });
  expect(endpoints).not.toHaveProperty('acked');
  const { sentTime } = clusters as { readonly sentTime: string };
  expect(Math.abs(Date.now() - Date.parse(sentTime))).toBeLessThan(60_000);
  expect(await page('/debug/syncz', 'namespace=shop')).toHaveLength(1);
  expect(await page('/debug/syncz', 'namespace=other')).toEqual([]);
});

it('syncz tells what a proxy refused, and why', async () => {
  const { page } = await connected();
  client?.nack(
    { ...blank, typeUrl: EDS, nonce: sentOf(await page('/debug/syncz')) },
    'no such host',
  );
  await until('the NACK', async () =>
    JSON.stringify(await page('/debug/syncz')).includes('nacked'),
  );
  expect(await page('/debug/syncz')).toMatchObject([
    { endpoint_nacked: true, resources: { [EDS]: { lastError: 'no such host' } } },
  ]);
});

it('connections lists clients and their subscriptions', async () => {
  const { page } = await connected();
  expect(await page('/debug/connections')).toMatchObject({
    totalClients: 1,
    clients: [
      {
        connectionId: `${nodeId}-1`,
        address: expect.stringMatching(/^127\.0\.0\.1:\d+$/u),
        watches: { [CDS]: ['*'], [EDS]: ['a', 'none'] },
      },
    ],
  });
});

it('adsz tells what clients say of themselves, of all or of one', async () => {
  const { page } = await connected();
  const shown = {
    totalClients: 1,
    clients: [
      { connectionId: `${nodeId}-1`, metadata: { NAMESPACE: 'shop' }, watches: { [CDS]: ['*'] } },
    ],
  };
  expect(await page('/debug/adsz')).toMatchObject(shown);
  expect(await page('/debug/adsz', 'proxyID=web-1.shop')).toMatchObject(shown);
  await expect(page('/debug/adsz', 'proxyID=nobody')).rejects.toThrow('not connected');
});

interface Dump {
  readonly configs: readonly Record<string, unknown>[];
}

it('config_dump shows what a proxy holds, as Envoy would, in the parts of istiod', async () => {
  const { page } = await connected();
  const { configs } = (await page('/debug/config_dump', 'proxyID=web-1.shop')) as Dump;
  const admin = 'type.googleapis.com/envoy.admin.v3.';
  expect(configs.map((config) => String(config['@type']).slice(admin.length))).toEqual([
    'BootstrapConfigDump',
    'ClustersConfigDump',
    'ListenersConfigDump',
    'ScopedRoutesConfigDump',
    'RoutesConfigDump',
    'SecretsConfigDump',
    'EcdsConfigDump',
  ]);
  expect(configs[1]).toMatchObject({
    dynamicActiveClusters: [
      { cluster: { '@type': resourceTypes.cluster, name: 'a', altStatName: '1' } },
      { cluster: { '@type': resourceTypes.cluster, name: 'b' } },
    ],
  });
  const whole = (await page('/debug/config_dump', 'proxyID=web-1.shop&include_eds')) as Dump;
  expect(whole.configs[2]?.['@type']).toBe(`${admin}EndpointsConfigDump`);
  await expect(page('/debug/config_dump')).rejects.toThrow('proxyID');
  await expect(page('/debug/config_dump', 'proxyID=nobody')).rejects.toThrow('not connected');
});

it('config_dump gives the resources of some types alone', async () => {
  const { page } = await connected();
  const some = (await page('/debug/config_dump', 'proxyID=web-1&types=cds')) as Dump;
  expect(some.configs).toMatchObject([
    { '@type': resourceTypes.cluster, name: 'a' },
    { '@type': resourceTypes.cluster, name: 'b' },
  ]);
  const endpoints = (await page('/debug/edsz', 'proxyID=web-1')) as Dump;
  expect(endpoints.configs).toMatchObject([{ '@type': resourceTypes.endpoint }]);
  expect(await page('/debug/config_dump', `proxyID=web-1&types=${EDS}`)).toEqual(endpoints);
  expect(await page('/debug/ecdsz', 'proxyID=web-1')).toEqual({ configs: [] });
  const unknown = page('/debug/config_dump', 'proxyID=web-1&types=nds');
  await expect(unknown).rejects.toThrow('"nds" is no type of Envoy');
});

it('scopes tells what is served, at which epoch, and how old the log is', async () => {
  const { page } = await connected();
  expect(await page('/debug/scopes')).toMatchObject({
    log: { read: true, epoch: 1 },
    waiting: [],
    scopes: [
      { scope: scope.id, complete: true, streams: 1, resources: { CDS: 2, EDS: 2, LDS: 0 } },
    ],
  });
});

it('force_disconnect ends the streams of one proxy, and tells that it is for an operator to ask', async () => {
  const { page } = await connected();
  const other = new DeltaClient(running?.port ?? 0, {
    ...node(),
    id: nodeId.replace('web-1', 'web-2'),
  });
  try {
    other.request(CDS);
    await other.next();
    expect(await page('/debug/force_disconnect', 'proxyID=web-1.shop')).toBe('OK');
    await until('it is disconnected', () => client?.status !== undefined);
    expect(client?.status?.details).toBe('an operator has asked for it');
    expect(other.status).toBeUndefined();
    const how = running?.pusher.pages.find(
      ({ path }) => path === '/debug/force_disconnect',
    )?.method;
    expect(how).toBe('POST');
  } finally {
    other.close();
  }
});

it('cachez says what is in memory of the scopes in use, each resource once', async () => {
  const { page } = await connected();
  expect(await page('/debug/cachez')).toEqual({ [CDS]: ['a', 'b'], [EDS]: ['a', 'b'] });
  const sizes = await page('/debug/cachez', 'sizes=true');
  expect(sizes).toEqual({ [CDS]: '14B', [EDS]: '14B', total: '28B' });
});
