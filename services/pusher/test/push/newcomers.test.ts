import { afterEach, expect, it } from 'vitest';
import { CDS } from '../session/support.ts';
import { contentOf, DeltaClient, node, SotwClient } from '../support/client.ts';
import { scopeOfNode } from '../support/scope.ts';
import { run, until, type Running } from '../support/world.ts';

const scope = scopeOfNode();
const scopes = { [scope.id]: scope.scopeClass };
const open: { close(): void }[] = [];
let running: Running | undefined;

afterEach(async () => {
  for (const client of open.splice(0)) client.close();
  await running?.stop();
  running = undefined;
});

const shop = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`c${i}`, 'x'.repeat(1_000)]));

function client(port: number, i: number): DeltaClient {
  const one = new DeltaClient(port, node(`sidecar~10.0.0.1~web-${i}.shop~shop.svc.cluster.local`));
  open.push(one);
  return one;
}

it('new streams wait for room; those that come back with what they have do not', async () => {
  // Room for nobody: what is queued is always too much.
  running = await run({ admissionLimits: { queuedBytes: 0 } });
  const { translator, port, metrics, pusher } = running;
  await translator.publish({ [CDS]: shop }, scopes);
  const fresh = client(port, 1);
  fresh.request(CDS);
  await until('it waits', async () => (await metrics.value('watershed_streams_waiting')) === 1);
  const view = [...pusher.hub.streams][0]?.session?.goal?.types.get(CDS);
  const initialResourceVersions: Record<string, string> = {};
  view?.each(({ name, version }) => {
    initialResourceVersions[name] = version;
  });
  expect(Object.keys(initialResourceVersions)).toHaveLength(20);
  const back = client(port, 2);
  back.request(CDS, { initialResourceVersions: { ...initialResourceVersions, gone: '1' } });
  expect((await back.next()).removedResources).toEqual(['gone']);
  expect(fresh.responses).toEqual([]);
  const page = pusher.pages.find(({ path }) => path === '/debug/admission');
  expect(JSON.stringify(pusher.hub.admission.state())).toContain('"byTenant":{"shop":1}');
  expect(page).toBeDefined();
  fresh.close();
  await until('it waits no more', async () => {
    return (await metrics.value('watershed_streams_waiting')) === 0;
  });
});

it('a client that says it has what it has not waits before anything is encoded for it', async () => {
  running = await run({ admissionLimits: { queuedBytes: 0, freeBytes: 1_000 } });
  const { translator, port, metrics } = running;
  await translator.publish({ [CDS]: shop }, scopes);
  const liar = client(port, 1);
  liar.request(CDS, { initialResourceVersions: { c0: 'false' } });
  const other = new SotwClient(port, node('sidecar~10.0.0.1~web-2.shop~shop.svc.cluster.local'));
  open.push(other);
  other.request(CDS, [], { versionInfo: 'false' });
  await until('both wait', async () => (await metrics.value('watershed_streams_waiting')) === 2);
  expect(await metrics.text()).not.toMatch(/^watershed_encodings_total/mu);
  expect([...liar.responses, ...other.responses]).toEqual([]);
});

it('one that says so is served when there is room, in turn', async () => {
  running = await run({ admissionLimits: { sliceMs: 1, queuedBytes: 100_000, freeBytes: 1_000 } });
  const { translator, port } = running;
  await translator.publish({ [CDS]: shop }, scopes);
  const clients = Array.from({ length: 20 }, (_, i) => client(port, i));
  for (const [i, one] of clients.entries()) {
    one.request(CDS, { initialResourceVersions: { c0: `false ${i}` } });
  }
  for (const one of clients) expect(contentOf(await one.next())).toEqual(shop);
});

it('many that come at once are all served', async () => {
  running = await run({ admissionLimits: { sliceMs: 1, queuedBytes: 100_000 } });
  const { translator, port } = running;
  await translator.publish({ [CDS]: shop }, scopes);
  const clients = Array.from({ length: 50 }, (_, i) => client(port, i));
  for (const one of clients) one.request(CDS);
  for (const one of clients) {
    const response = await one.next();
    expect(contentOf(response)).toEqual(shop);
    one.ack(response);
  }
});

it('one that makes its pusher take other selectors is placed by those', async () => {
  running = await run({ options: { debounceAfterMs: 60_000, debounceMaxMs: 60_000 } });
  const { translator, port, pusher } = running;
  const by = { labelKeys: ['app'], locality: false };
  const named = node(undefined, { LABELS: { app: 'web' } });
  const after = scopeOfNode(named, by);
  await translator.selectors('', by);
  await translator.publish({ [CDS]: shop }, { ...scopes, [after.id]: after.scopeClass });
  // It has read all that, and takes it when it is quiet, or when somebody waits.
  const page = pusher.pages.find(({ path }) => path === '/debug/scopes');
  const request = { method: 'GET', query: new URLSearchParams(), body: '' };
  await until('it was read', async () => {
    const { log } = (await page!.handle(request)) as { log: { watermarks: readonly number[] } };
    return log.watermarks.every((epoch) => epoch > 0);
  });
  expect(pusher.hub.selectors.get('')?.labelKeys).toEqual([]);
  const one = new DeltaClient(port, named);
  open.push(one);
  one.request(CDS);
  expect(contentOf(await one.next())).toEqual(shop);
  expect([...pusher.hub.streams].map(({ scope }) => scope)).toEqual([after.id]);
});
