import { afterEach, describe, expect, it } from 'vitest';
import { transports } from '../../src/server/transports.ts';
import { CDS, EDS, LDS, RDS } from '../session/support.ts';
import { contentOf, DeltaClient, node, nodeId, SotwClient } from '../support/client.ts';
import { scopeOfNode } from '../support/scope.ts';
import { LeapingTime } from '../support/leaping-time.ts';
import { run, until, type Running, type RunOptions } from '../support/world.ts';

const shop = {
  [CDS]: { a: '1', b: '1' },
  [EDS]: { a: '1', b: '1' },
  [LDS]: { l: '1' },
  [RDS]: { r: '1' },
};

const scope = scopeOfNode();
const scopes = { [scope.id]: scope.scopeClass };
const open: { close(): void }[] = [];
let running: Running | undefined;

async function start(options: RunOptions = {}): Promise<Running> {
  running = await run(options);
  return running;
}

function delta(port: number, of = node()): DeltaClient {
  const client = new DeltaClient(port, of);
  open.push(client);
  return client;
}

function sotw(port: number, of = node()): SotwClient {
  const client = new SotwClient(port, of);
  open.push(client);
  return client;
}

afterEach(async () => {
  for (const client of open.splice(0)) client.close();
  await running?.stop();
  running = undefined;
});

describe.each(transports)('aggregated discovery over %s', (transport) => {
  it('serves state of the world and delta clients with the same resources', async () => {
    const { port, translator } = await start({ transport });
    await translator.publish(shop, scopes);
    const one = sotw(port);
    one.request(CDS);
    const cds = await one.next();
    expect(contentOf(cds)).toEqual(shop[CDS]);
    one.ack(cds);
    one.request(EDS, ['a', 'b']);
    expect(contentOf(await one.next())).toEqual(shop[EDS]);
    const other = delta(port);
    other.request(CDS);
    const first = await other.next();
    expect(contentOf(first)).toEqual(shop[CDS]);
    expect(first.controlPlane?.identifier).toBe('watershed');
    other.ack(first);
    other.request(EDS, { resourceNamesSubscribe: ['a', 'none'] });
    const eds = await other.next();
    expect(contentOf(eds)).toEqual({ a: '1' });
    expect(eds.removedResources).toEqual(['none']);
  });

  it('holds a proxy whose scope is not known, asks for the scope, and serves it when it comes', async () => {
    const { port, translator } = await start({ transport });
    const client = delta(port);
    client.request(CDS);
    const key = `d|test|${scope.id}`;
    await until('the demand', async () => (await translator.feedback()).has(key));
    const demand = (await translator.feedback()).get(key);
    expect(demand?.report).toMatchObject({ $case: 'demand', value: { scope: scope.id } });
    expect(client.responses).toEqual([]);
    await translator.publish(shop, scopes);
    expect(contentOf(await client.next())).toEqual(shop[CDS]);
  });

  it('pushes a change to all, and what did not change to nobody', async () => {
    const { port, translator } = await start({ transport });
    await translator.publish(shop, scopes);
    const client = delta(port);
    client.request(CDS);
    client.ack(await client.next());
    client.request(LDS);
    client.ack(await client.next());
    await translator.publish({ ...shop, [LDS]: { l: '2' } }, scopes);
    const lds = await client.next();
    expect([lds.typeUrl, contentOf(lds)]).toEqual([LDS, { l: '2' }]);
    client.ack(lds);
    await translator.publish({ ...shop, [LDS]: { l: '2' } }, scopes);
    expect(await client.quiet()).toBe(true);
  });

  it('ends a stream that breaks the protocol with a status that says why', async () => {
    const { port, translator } = await start({ transport });
    await translator.publish(shop, scopes);
    const nobody = delta(port, node('whoever'));
    nobody.request(CDS);
    const status = await nobody.ended();
    expect([status.code, status.details]).toEqual([
      3,
      expect.stringContaining('node.id "whoever"'),
    ]);
    const nameless = delta(port);
    nameless.request(CDS, { node: undefined });
    expect(await nameless.ended()).toMatchObject({
      code: 3,
      details: 'node: missing in the first request of the stream',
    });
    const typeless = delta(port);
    typeless.request('');
    expect((await typeless.ended()).code).toBe(3);
    const twofaced = delta(port);
    twofaced.request(CDS);
    await twofaced.next();
    twofaced.request(LDS, {
      node: node('sidecar~10.0.0.2~b.shop~shop.svc.cluster.local') as never,
    });
    expect((await twofaced.ended()).code).toBe(3);
  });

  it('ends a stream in peace when the client has said all', async () => {
    const { port, translator } = await start({ transport });
    await translator.publish(shop, scopes);
    const client = delta(port);
    client.request(CDS);
    await client.next();
    client.halfClose();
    expect((await client.ended()).code).toBe(0);
    await until('it is gone', () => running?.pusher.hub.streams.size === 0);
  });

  it('builds one response for all streams in the same place, nonce included', async () => {
    const { port, translator, metrics } = await start({ transport });
    await translator.publish(shop, scopes);
    const built = (): Promise<number> =>
      metrics.value('watershed_encodings_total', { type: 'cds-response' });
    const pushed = (): Promise<number> => metrics.value('pilot_xds_pushes', { type: 'cds' });
    const clients = Array.from({ length: 20 }, () => delta(port));
    for (const client of clients) client.request(CDS);
    const firsts = await Promise.all(clients.map((client) => client.next()));
    expect(new Set(firsts.map(({ nonce }) => nonce)).size).toBe(1);
    for (const [i, client] of clients.entries()) client.ack(firsts[i]!);
    const before = await built();
    await translator.publish({ ...shop, [CDS]: { a: '2', b: '1' } }, scopes);
    const seconds = await Promise.all(clients.map((client) => client.next()));
    expect(seconds.map(contentOf)).toEqual(clients.map(() => ({ a: '2' })));
    expect(new Set(seconds.map(({ nonce }) => nonce)).size).toBe(1);
    expect(await built()).toBe(before + 1);
    expect(await pushed()).toBe(40);
  });

  it('sends nothing on a reconnect with the versions that it has', async () => {
    const { port, translator, metrics } = await start({ transport });
    await translator.publish(shop, scopes);
    const first = delta(port);
    const held = new Map<string, Record<string, string>>();
    for (const [typeUrl, names] of [
      [CDS, []],
      [EDS, ['a', 'b']],
      [LDS, []],
      [RDS, ['r']],
    ] as const) {
      first.request(typeUrl, { resourceNamesSubscribe: [...names] });
      const seen = await first.next();
      first.ack(seen);
      held.set(typeUrl, Object.fromEntries(seen.resources.map((r) => [r.name, r.version])));
    }
    first.close();
    const pushes = async (): Promise<number> =>
      (await metrics.value('watershed_pushed_bytes_total', { type: 'cds' })) +
      (await metrics.value('watershed_pushed_bytes_total', { type: 'eds' }));
    const before = await pushes();
    const back = delta(port);
    for (const [typeUrl, versions] of held) {
      const named = typeUrl === EDS || typeUrl === RDS ? Object.keys(versions) : [];
      back.request(typeUrl, { resourceNamesSubscribe: named, initialResourceVersions: versions });
    }
    expect(await back.quiet(150)).toBe(true);
    expect(await pushes()).toBe(before);
  });
});

describe('what arrives in which order', () => {
  it('serves no part of a cut before every partition has passed its epoch', async () => {
    const { port, translator } = await start();
    await translator.publish(shop, scopes);
    const client = delta(port);
    client.request(CDS);
    client.ack(await client.next());
    await translator.publish({ ...shop, [CDS]: { a: '2', b: '2' } }, scopes, { watermarks: false });
    expect(await client.quiet(150)).toBe(true);
    await translator.watermarks();
    expect(contentOf(await client.next())).toEqual({ a: '2', b: '2' });
  });

  it('serves additions and changes when a watermark is overdue, and removals when it comes', async () => {
    const time = new LeapingTime();
    const { port, translator, metrics, logs } = await start({ time, cutWaitMs: 1_000 });
    const told = (): readonly string[] => logs.filter((line) => /overdue/u.test(line));
    expect(await metrics.text()).toContain('\nwatershed_cuts_overdue_total 0\n');
    await translator.publish(shop, scopes);
    const client = delta(port);
    client.request(CDS);
    client.ack(await client.next());
    await translator.publish({ ...shop, [CDS]: { a: '2', c: '1' } }, scopes, { watermarks: false });
    await until('it is overdue', () => {
      time.leap(1_000);
      return client.responses.length > 1;
    });
    const added = await client.next();
    expect([contentOf(added), added.removedResources]).toEqual([{ a: '2', c: '1' }, []]);
    expect(await metrics.value('watershed_cuts_overdue_total')).toBeGreaterThan(0);
    client.ack(added);
    expect(await client.quiet(150)).toBe(true);
    await translator.publish({ ...shop, [CDS]: { a: '3', c: '1' } }, scopes, { watermarks: false });
    await until('what is new is overdue, too', () => {
      time.leap(1_000);
      return client.responses.length > 2;
    });
    client.ack(await client.next());
    expect(told()).toEqual([expect.stringMatching(/"partitions":"0-1".*a watermark is overdue/u)]);
    await translator.watermarks();
    const removed = await client.next();
    expect([contentOf(removed), removed.removedResources]).toEqual([{}, ['b']]);
    expect(told().slice(1)).toEqual([expect.stringContaining('no watermark is overdue any more')]);
  });

  it('lets endpoints overtake configuration that waits', async () => {
    const { port, translator } = await start({
      options: {
        grpcAddr: { host: '127.0.0.1', port: 0 },
        debounceAfterMs: 60_000,
        debounceMaxMs: 60_000,
        edsDebounce: false,
        pushThrottle: 0,
        maxRequestsPerSecond: 0,
      },
    });
    await translator.publish(shop, scopes);
    const client = delta(port);
    client.request(CDS);
    client.ack(await client.next());
    client.request(EDS, { resourceNamesSubscribe: ['a', 'b'] });
    client.ack(await client.next());
    await translator.publish({ ...shop, [CDS]: { a: '2', b: '1' } }, scopes);
    await translator.resource(EDS, 'b', '2');
    const eds = await client.next();
    expect([eds.typeUrl, contentOf(eds)]).toEqual([EDS, { b: '2' }]);
    expect(await client.quiet()).toBe(true);
  });

  it('holds back a change whose blob is missing, asks for it, and goes on with the rest', async () => {
    const { port, translator } = await start();
    await translator.publish(shop, scopes);
    const client = delta(port);
    client.request(CDS);
    client.ack(await client.next());
    client.request(EDS, { resourceNamesSubscribe: ['a', 'b'] });
    client.ack(await client.next());
    translator.withheld.add('a');
    await translator.publish({ ...shop, [CDS]: { a: '2', b: '1' } }, scopes);
    await until('the blob is asked for', async () =>
      [...(await translator.feedback()).keys()].some((key) => key.startsWith('b|test|')),
    );
    await translator.resource(EDS, 'b', '2');
    const eds = await client.next();
    expect([eds.typeUrl, contentOf(eds)]).toEqual([EDS, { b: '2' }]);
    client.ack(eds);
    await translator.putWithheld('a', '2');
    const cds = await client.next();
    expect([cds.typeUrl, contentOf(cds)]).toEqual([CDS, { a: '2' }]);
    const warmed = await client.next();
    expect([warmed.typeUrl, contentOf(warmed)]).toEqual([EDS, { a: '1' }]);
  });

  it('moves a proxy to a new scope only when that scope is whole', async () => {
    const labelled = node(nodeId, { LABELS: { app: 'web' } });
    const { port, translator } = await start();
    await translator.publish(shop, scopes);
    const client = delta(port, labelled);
    client.request(CDS);
    client.ack(await client.next());
    await translator.selectors('', { labelKeys: ['app'], locality: false });
    await translator.watermarks();
    const next = scopeOfNode(labelled, { labelKeys: ['app'], locality: false });
    await until('the new scope is demanded', async () =>
      (await translator.feedback()).has(`d|test|${next.id}`),
    );
    // The old one is still served.
    await translator.publish({ ...shop, [CDS]: { a: '1', b: '2' } }, scopes);
    const still = await client.next();
    expect(contentOf(still)).toEqual({ b: '2' });
    client.ack(still);
    await translator.publish(
      { ...shop, [CDS]: { a: '1', b: '2', c: '1' } },
      { [next.id]: next.scopeClass },
    );
    expect(contentOf(await client.next())).toEqual({ c: '1' });
  });
});

describe('what clients refuse', () => {
  it('counts and logs a NACK with the proxy, the type, the resource and the message', async () => {
    const { port, translator, metrics, logs } = await start();
    await translator.publish(shop, scopes);
    const client = delta(port);
    client.request(CDS);
    const seen = await client.next();
    client.nack(seen, 'cluster a: no\nsuch thing');
    // The rest of the response goes on.
    expect(contentOf(await client.next())).toEqual({ b: '1' });
    expect(await metrics.value('pilot_total_xds_rejects', { type: 'cds' })).toBe(1);
    const line = logs.find((one) => one.includes('a proxy refused a response')) ?? '{}';
    expect(JSON.parse(line)).toMatchObject({
      proxy: nodeId,
      type: 'CDS',
      resources: ['a'],
      message: 'cluster a: no such thing',
    });
  });
});
