import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { transports } from '../../src/server/transports.ts';
import { Cluster } from '@watershed/proto/envoy/config/cluster/v3/cluster.ts';
import { RouteConfiguration } from '@watershed/proto/envoy/config/route/v3/route.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import { Resource } from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import { CDS, EDS, LDS, RDS, type Content } from '../session/support.ts';
import { contentOf, DeltaClient, node, nodeId, SotwClient } from '../support/client.ts';
import { scopeOfNode } from '../support/scope.ts';
import { run, until, type Running } from '../support/world.ts';

/**
 * The rules of the protocol again (see `../session/rules.test.ts`), as they show on a real stream.
 * That nothing is sent is told by what comes next: a stream is ordered.
 */
const scope = scopeOfNode();
const scopes = { [scope.id]: scope.scopeClass };
const ADDRESS = 'type.googleapis.com/istio.workload.Address';
const VHDS = resourceTypes.virtualHost;
const base: Content = {
  [CDS]: { a: '1', b: '1' },
  [EDS]: { a: '1', b: '1' },
  [LDS]: { l: '1' },
  [RDS]: { r: '1', q: '1' },
  [ADDRESS]: { x: '1' },
};

describe.each(transports)('over %s', (transport) => {
  let running: Running;
  const open: { close(): void }[] = [];

  beforeAll(async () => {
    running = await run({
      transport,
      options: {
        grpcAddr: { host: '127.0.0.1', port: 0 },
        debounceAfterMs: 1,
        debounceMaxMs: 1_000,
        edsDebounce: false,
        pushThrottle: 0,
        maxRequestsPerSecond: 0,
        resourceTtls: ['eds=1s'],
      },
    });
  });
  afterEach(() => {
    for (const client of open.splice(0)) client.close();
  });
  afterAll(async () => running.stop());

  const publish = (content: Content): Promise<void> => running.translator.publish(content, scopes);

  /** What clients find that come now. */
  async function begin(content = base): Promise<void> {
    await publish(content);
    await served();
  }

  async function served(): Promise<void> {
    const page = running.pusher.pages.find(({ path }) => path === '/debug/scopes');
    await until('it is served', async () => {
      const shown = JSON.stringify(await page?.handle({ query: new URLSearchParams() } as never));
      const read = shown.includes(`"read":true,"epoch":${running.translator.epoch},`);
      // Blobs come a little later.
      return read && !shown.includes('"complete":false');
    });
  }

  async function sotw(path?: string, of: Parameters<typeof node>[0] = nodeId): Promise<SotwClient> {
    await begin();
    const client = new SotwClient(running.port, node(of), path);
    open.push(client);
    return client;
  }

  async function delta(of: ReturnType<typeof node> = node(), content = base) {
    await begin(content);
    const client = new DeltaClient(running.port, of);
    open.push(client);
    return client;
  }

  /** `80`, with a host `a`. */
  async function publishTable(): Promise<void> {
    const parts = [{ name: '80' }, { virtualHosts: [{ name: 'a', domains: ['a.test'] }] }].map(
      (part) => RouteConfiguration.encode(RouteConfiguration.fromPartial(part)).finish(),
    );
    await running.translator.publishBytes(RDS, '80', parts, scopes);
    await served();
  }

  /** Asks for what is there, by a type that a test does not use: the next answer is that one. */
  async function silent(client: SotwClient | DeltaClient, typeUrl = ADDRESS): Promise<void> {
    const names = typeUrl === ADDRESS ? ['x'] : [];
    if (client instanceof SotwClient) {
      client.request(typeUrl, names);
      const seen = await client.next();
      expect(seen.typeUrl).toBe(typeUrl);
      client.ack(seen, names);
    } else {
      client.request(typeUrl, { resourceNamesSubscribe: names });
      const seen = await client.next();
      expect(seen.typeUrl).toBe(typeUrl);
      client.ack(seen);
    }
  }

  it('rules 1 and 10: nonces are never equal, and an ACK has no answer', async () => {
    const client = await delta();
    client.request(CDS);
    const nonces = new Set<string>();
    for (const version of ['2', '1', '2']) {
      const seen = await client.next();
      nonces.add(seen.nonce);
      client.ack(seen);
      await silent(client);
      await publish({ ...base, [CDS]: { a: version, b: '1' } });
    }
    nonces.add((await client.next()).nonce);
    expect(nonces.size).toBe(4);
    expect(nonces.has('')).toBe(false);
  });

  it('rule 2: only the first request names the node, and no other node is taken later', async () => {
    const client = await sotw();
    client.request(CDS);
    expect(contentOf(await client.next())).toEqual(base[CDS]);
    client.request(LDS);
    expect((await client.next()).typeUrl).toBe(LDS);
    client.request(RDS, ['r'], { node: node('router~10.0.0.9~b.shop~shop.local') as never });
    expect(await client.ended()).toMatchObject({
      code: 3,
      details: expect.stringMatching('not of'),
    });
  });

  it('rules 3 and 4: a type is needed on an aggregated stream, and is that of all resources', async () => {
    const client = await sotw();
    client.request(CDS);
    const seen = await client.next();
    expect(seen.resources.map((any) => any.typeUrl)).toEqual([CDS, CDS]);
    client.request('');
    expect((await client.ended()).code).toBe(3);
  });

  it('rule 5: a stream of one type needs none', async () => {
    const path = '/envoy.service.listener.v3.ListenerDiscoveryService/StreamListeners';
    const client = await sotw(path);
    client.request('');
    expect((await client.next()).typeUrl).toBe(LDS);
  });

  it('rules 6, 11, 16, 26: S: the nonce tells an ACK, a stale one is not looked at, a new name is sent', async () => {
    const client = await sotw();
    client.request(RDS, ['r']);
    const first = await client.next();
    client.ack(first, ['r']);
    await silent(client);
    await publish({ ...base, [RDS]: { r: '2', q: '1' } });
    const second = await client.next();
    client.ack(first, ['r', 'q']);
    client.request(RDS, ['q'], { responseNonce: 'of another replica', versionInfo: 'x' });
    await silent(client, CDS);
    client.ack(second, ['r', 'q']);
    expect(contentOf(await client.next())).toEqual({ q: '1' });
  });

  it('rules 7 to 9: S: a NACK is an error, at whatever version; nothing follows until a change', async () => {
    const client = await sotw();
    client.request(CDS);
    const seen = await client.next();
    const errorDetail = { code: 13, message: 'no', details: [] };
    const { nonce: responseNonce, versionInfo } = seen;
    client.request(CDS, [], { responseNonce, versionInfo, errorDetail });
    await silent(client);
    await publish({ ...base, [CDS]: { a: '2', b: '2' } });
    expect(contentOf(await client.next())).toEqual({ a: '2', b: '2' });
  });

  it('rules 12, 15, 18: S: the newest list counts, and an empty one ends what was named', async () => {
    const client = await sotw();
    client.request(RDS, ['r', 'q']);
    const seen = await client.next();
    client.ack(seen, ['r']);
    client.ack(seen, []);
    await silent(client);
    await publish({ ...base, [RDS]: { r: '3', q: '3' }, [ADDRESS]: { x: '2' } });
    expect((await client.next()).typeUrl).toBe(ADDRESS);
  });

  it('rules 13 and 14: S: a version means the same on every stream; a full set that is held is not sent', async () => {
    const one = await sotw();
    one.request(CDS);
    const { versionInfo } = await one.next();
    const back = await sotw();
    back.request(CDS, [], { versionInfo });
    await silent(back);
    back.request(RDS, ['r'], { versionInfo });
    expect((await back.next()).typeUrl).toBe(RDS);
  });

  it('rules 17, 19, 20: S: silence is all, `*` is all, a full set deletes by absence', async () => {
    const client = await sotw();
    client.request(CDS, ['*', 'a']);
    const first = await client.next();
    expect(contentOf(first)).toEqual(base[CDS]);
    client.ack(first, ['*', 'a']);
    await publish({ ...base, [CDS]: { a: '1' }, [EDS]: { a: '1' } });
    const second = await client.next();
    expect(contentOf(second)).toEqual({ a: '1' });
    client.ack(second, ['a']);
    await silent(client);
    // Without `*` it is of the one that it names.
    await publish({ ...base, [CDS]: { a: '1', b: '2' }, [ADDRESS]: { x: '2' } });
    expect((await client.next()).typeUrl).toBe(ADDRESS);
  });

  it('rules 21 to 25: S: many names, partial answers, no name twice, absent ones later', async () => {
    const client = await sotw();
    client.request(RDS, ['r', 'q', 'later', 'r']);
    const first = await client.next();
    expect(first.resources).toHaveLength(2);
    client.ack(first, ['r', 'q', 'later']);
    await publish({ ...base, [RDS]: { r: '1', q: '1', later: '1' } });
    const second = await client.next();
    expect(contentOf(second)).toEqual({ later: '1' });
    client.ack(second, ['r', 'q', 'later']);
    await publish({ ...base, [RDS]: { r: '2', q: '1', later: '1' } });
    expect(contentOf(await client.next())).toEqual({ r: '2' });
  });

  it('rules 27 to 29: clusters, then their assignments though unchanged, then routes', async () => {
    const client = await delta();
    for (const [typeUrl, names] of [
      [CDS, []],
      [EDS, ['a', 'b']],
      [RDS, ['r']],
    ] as const) {
      client.request(typeUrl, { resourceNamesSubscribe: [...names] });
      client.ack(await client.next());
    }
    await silent(client);
    await publish({ ...base, [CDS]: { a: '2', b: '1' }, [RDS]: { r: '2', q: '1' } });
    const seen = [];
    for (let i = 0; i < 3; i++) {
      const one = await client.next();
      seen.push([one.typeUrl, contentOf(one)]);
      client.ack(one);
    }
    expect(seen).toEqual([
      [CDS, { a: '2' }],
      [EDS, { a: '1' }],
      [RDS, { r: '2' }],
    ]);
  });

  it('rules 30 and 40: D: what is stale is named, and goes last', async () => {
    const client = await delta();
    client.request(CDS);
    client.ack(await client.next());
    client.request(RDS, { resourceNamesSubscribe: ['r'] });
    client.ack(await client.next());
    await silent(client);
    await publish({ ...base, [CDS]: { a: '1' }, [EDS]: { a: '1' }, [RDS]: { r: '2', q: '1' } });
    const route = await client.next();
    expect([route.typeUrl, contentOf(route)]).toEqual([RDS, { r: '2' }]);
    client.ack(route);
    const cluster = await client.next();
    expect([contentOf(cluster), cluster.removedResources]).toEqual([{}, ['b']]);
  });

  it('rules 31 to 36: D: subscriptions ride anywhere, are answered each time, and end in silence', async () => {
    const client = await delta();
    client.request(RDS, { resourceNamesSubscribe: ['r'] });
    const first = await client.next();
    client.request(RDS, { responseNonce: first.nonce, resourceNamesSubscribe: ['q'] });
    const second = await client.next();
    expect(contentOf(second)).toEqual({ q: '1' });
    client.request(RDS, { responseNonce: 'stale', resourceNamesSubscribe: ['r'] });
    const third = await client.next();
    expect(contentOf(third)).toEqual({ r: '1' });
    client.ack(third);
    client.request(RDS, { resourceNamesUnsubscribe: ['r', 'never'] });
    await silent(client);
    await publish({ ...base, [RDS]: { r: '9', q: '9' } });
    expect(contentOf(await client.next())).toEqual({ q: '9' });
  });

  it('rules 37 to 39: D: `*` beside a name, and a name that is missing', async () => {
    const client = await delta();
    client.request(CDS, { resourceNamesSubscribe: ['*', 'a', 'none'] });
    const first = await client.next();
    expect([contentOf(first), first.removedResources]).toEqual([base[CDS], ['none']]);
    client.ack(first);
    client.request(CDS, { resourceNamesUnsubscribe: ['a'] });
    const again = await client.next();
    expect(contentOf(again)).toEqual({ a: '1' });
    client.ack(again);
    await publish({ ...base, [CDS]: { a: '2', b: '1' } });
    const second = await client.next();
    expect(contentOf(second)).toEqual({ a: '2' });
    client.ack(second);
    client.request(CDS, { resourceNamesUnsubscribe: ['*'] });
    await silent(client);
    await publish({ ...base, [CDS]: { a: '3', b: '3' }, [ADDRESS]: { x: '3' } });
    expect((await client.next()).typeUrl).toBe(ADDRESS);
  });

  it('rules 41 to 43: D: a client that comes back is told what differs and what is gone (istio#41494)', async () => {
    const first = await delta();
    first.request(CDS);
    const held = Object.fromEntries((await first.next()).resources.map((r) => [r.name, r.version]));
    const client = await delta();
    client.request(CDS, { initialResourceVersions: held });
    await silent(client);
    const back = await delta();
    back.request(RDS, {
      resourceNamesSubscribe: ['r', 'gone'],
      initialResourceVersions: { r: 'old', gone: '1' },
    });
    const seen = [await back.next()];
    if (seen[0]?.removedResources.length === 0) {
      back.ack(seen[0]);
      seen.push(await back.next());
    }
    expect(seen.map(contentOf)[0]).toEqual({ r: '1' });
    expect(seen.flatMap((one) => one.removedResources)).toEqual(['gone']);
  });

  it('rule 44: D: an alias finds a resource, which comes under its own name', async () => {
    const client = await delta();
    const bytes = Cluster.encode(Cluster.fromPartial({ name: 'web' })).finish();
    await running.translator.publishBytes(ADDRESS, 'web', bytes, scopes, ['net/10.0.0.1']);
    await served();
    client.request(ADDRESS, { resourceNamesSubscribe: ['net/10.0.0.1'] });
    const [found] = (await client.next()).resources;
    expect([found?.name, found?.aliases]).toEqual(['web', ['net/10.0.0.1']]);
  });

  it('rules 48 and 49: virtual hosts by name, over delta; an unknown one has a name and no body', async () => {
    const client = await delta(node(nodeId, { WATERSHED_VHDS: 'true' }));
    await publishTable();
    client.request(RDS, { resourceNamesSubscribe: ['80'] });
    client.ack(await client.next());
    client.request(VHDS, { resourceNamesSubscribe: ['80/a.test', '80/b.test'] });
    const seen = await client.next();
    expect(seen.resources.map((one) => [one.name, one.aliases, one.resource?.typeUrl])).toEqual([
      ['80/a', ['80/a.test'], VHDS],
      ['80/b.test', ['80/b.test'], undefined],
    ]);
    const whole = await sotw();
    whole.request(VHDS, ['80/a.test']);
    expect((await whole.ended()).code).toBe(3);
  });

  it('rule 48: an Envoy that would refuse such tables has them whole, and the log says so once', async () => {
    const userAgentVersionType = { $case: 'userAgentVersion', value: '1.36.4' };
    const old = { userAgentName: 'envoy', userAgentVersionType };
    const told = (): number =>
      running.logs.filter((line) => line.includes('WATERSHED_VHDS: it is an Envoy before')).length;
    for (const _ of [1, 2]) {
      const client = await delta({ ...node(nodeId, { WATERSHED_VHDS: 'true' }), ...old });
      await publishTable();
      client.request(RDS, { resourceNamesSubscribe: ['80'] });
      const [table] = (await client.next()).resources;
      const seen = RouteConfiguration.decode(table?.resource?.value ?? new Uint8Array(0));
      expect([seen.vhds, seen.virtualHosts.map(({ name }) => name)]).toEqual([undefined, ['a']]);
      expect(told()).toBe(1);
    }
  });

  it('rules 45 and 46: D: TTLs and heartbeats go to a client that knows them, and to no other', async () => {
    const clientFeatures = ['xds.config.supports-resource-ttl'];
    const knows = await delta({ ...node(), clientFeatures } as never);
    knows.request(EDS, { resourceNamesSubscribe: ['a'] });
    const first = await knows.next();
    expect(first.resources[0]?.ttl?.seconds).toBe(1);
    knows.ack(first);
    const beat = await knows.next();
    expect(beat.resources[0]).toMatchObject({ name: 'a', resource: undefined });
    expect(beat.resources[0]?.version).toBe(first.resources[0]?.version);
    const plain = await delta();
    plain.request(EDS, { resourceNamesSubscribe: ['a'] });
    expect((await plain.next()).resources[0]?.ttl).toBeUndefined();
  });

  it('rule 47: S: a resource with a TTL is wrapped, for a client that knows that too', async () => {
    await begin();
    const features = (...clientFeatures: string[]): SotwClient => {
      const of = { ...node(), clientFeatures };
      const client = new SotwClient(running.port, of);
      open.push(client);
      client.request(EDS, ['a']);
      return client;
    };
    const ttl = 'xds.config.supports-resource-ttl';
    const plain = await features(ttl).next();
    expect(plain.resources[0]?.typeUrl).toBe(EDS);
    const wrapped = await features(ttl, 'xds.config.supports-resource-in-sotw').next();
    const [any] = wrapped.resources;
    expect(any?.typeUrl).toBe('type.googleapis.com/envoy.service.discovery.v3.Resource');
    expect(Resource.decode(any?.value ?? new Uint8Array(0))).toMatchObject({
      name: 'a',
      ttl: { seconds: 1, nanos: 0 },
      resource: { typeUrl: EDS },
    });
  });

  it('rules 50 and 51: names are parsed, not judged', async () => {
    const name = 'xdstp://a/envoy.config.route.v3.RouteConfiguration/x';
    const routes = { ...base[RDS], [`${name}?a=1&b=2`]: '1', '  ': '1' };
    const client = await delta(node(), { ...base, [RDS]: routes });
    client.request(RDS, { resourceNamesSubscribe: [`${name}?b=2&a=1`, '  ', '__proto__'] });
    const seen = await client.next();
    expect(seen.resources.map((r) => r.name)).toEqual(['  ', `${name}?a=1&b=2`]);
    expect(seen.removedResources).toEqual(['__proto__']);
  });

  it('rule 53: D: `*` and not `*` at once is nothing, with an answer, and the stream goes on', async () => {
    const client = await delta();
    client.request(ADDRESS, {
      resourceNamesSubscribe: ['*'],
      resourceNamesUnsubscribe: ['*'],
    });
    const seen = await client.next();
    expect([seen.resources, seen.removedResources]).toEqual([[], []]);
    client.ack(seen);
    await silent(client);
  });
});
