import { afterEach, expect, it } from 'vitest';
import type { DebugPage } from '@watershed/runtime/http.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import { CDS, EDS, LDS } from './session/support.ts';
import { DeltaClient, nodeId } from './support/client.ts';
import { scopeOfNode } from './support/scope.ts';
import { run, until, type Running } from './support/world.ts';

const scope = scopeOfNode();
const scopes = { [scope.id]: scope.scopeClass };
const shop = { [CDS]: { a: '1', b: '1' }, [EDS]: { a: '1', b: '1' }, [LDS]: {} };
let running: Running | undefined;
let client: DeltaClient | undefined;

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
    return entry?.['cluster_acked'] !== '';
  });
  const [entry] = (await page('/debug/syncz')) as Record<string, unknown>[];
  expect(entry).toMatchObject({ proxy: 'web-1.shop', scope: scope.id, synced: false });
  expect(entry?.['cluster_sent']).toBe(entry?.['cluster_acked']);
  expect(entry?.['endpoint_sent']).not.toBe('');
  expect(entry?.['endpoint_acked']).toBe('');
});

it('connections lists clients and their subscriptions', async () => {
  const { page } = await connected();
  expect(await page('/debug/connections')).toMatchObject({
    totalClients: 1,
    clients: [
      {
        connectionId: `${nodeId}-1`,
        address: '127.0.0.1',
        watches: { [CDS]: ['*'], [EDS]: ['a', 'none'] },
      },
    ],
  });
});

it('config_dump shows what a proxy holds, as Envoy would', async () => {
  const { page } = await connected();
  const dump = (await page('/debug/config_dump', 'proxyID=web-1.shop')) as {
    configs: Record<string, unknown>[];
  };
  expect(dump.configs[0]).toMatchObject({
    '@type': 'type.googleapis.com/envoy.admin.v3.ClustersConfigDump',
    dynamicActiveClusters: [
      { cluster: { '@type': resourceTypes.cluster, name: 'a', altStatName: '1' } },
      { cluster: { '@type': resourceTypes.cluster, name: 'b' } },
    ],
  });
  await expect(page('/debug/config_dump')).rejects.toThrow('proxyID');
  await expect(page('/debug/config_dump', 'proxyID=nobody')).rejects.toThrow('not connected');
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
