import { status } from '@grpc/grpc-js';
import { afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { Any } from '@watershed/proto/google/protobuf/any.ts';
import { ClustersConfigDump } from '@watershed/proto/envoy/admin/v3/config_dump_shared.ts';
import { Node } from '@watershed/proto/envoy/config/core/v3/base.ts';
import { ClientConfig, ConfigStatus } from '@watershed/proto/envoy/service/status/v3/csds.ts';
import { version } from '@watershed/runtime/version.ts';
import { DebugQueries } from '../../src/push/debug-queries.ts';
import { NameList } from '../../src/session/subscription.ts';
import { CDS, EDS } from '../session/support.ts';
import { DeltaClient, node, nodeId, SotwClient } from '../support/client.ts';
import { scopeOfNode } from '../support/scope.ts';
import { run, until, type Running, type RunOptions } from '../support/world.ts';

const debug = 'istio.io/debug';
const syncz = `${debug}/syncz`;
const dumpType = `${debug}/config_dump`;
/** As istioctl makes it, whoever it is. */
const istioctl = node('sidecar~10.0.0.9~test-1.default~default.svc.cluster.local', {
  GENERATOR: 'event',
  NAMESPACE: 'istio-system',
  SERVICE_ACCOUNT: 'default',
});
const scope = scopeOfNode();
let running: Running;
let closed: (() => void)[] = [];

// Loaded when somebody asks first, which takes a while on a busy machine.
beforeAll(() => import('../../src/debug/queries.ts'), 60_000);
beforeEach(() => start());
afterEach(stop);

async function start(options: RunOptions = {}): Promise<void> {
  running = await run(options);
  const content = { [CDS]: { a: '1', b: '1' }, [EDS]: { a: '1', b: '1' } };
  await running.translator.publish(content, { [scope.id]: scope.scopeClass });
}

async function stop(): Promise<void> {
  for (const close of closed) close();
  closed = [];
  await running.stop();
}

function ask(): SotwClient {
  const client = new SotwClient(running.port, istioctl);
  closed.push(() => client.close());
  return client;
}

/** A proxy that has ACKed its clusters and refused its endpoints. */
async function proxy(): Promise<void> {
  const client = new DeltaClient(running.port);
  closed.push(() => client.close());
  client.request(CDS);
  client.ack(await client.next());
  client.request(EDS, { resourceNamesSubscribe: ['a', 'b'] });
  client.nack(await client.next(), 'no such locality');
  await until('the NACK', () => JSON.stringify(running.logs).includes('no such locality'));
}

/** istioctl's first request has a nonce of its own making. */
const own = { responseNonce: '2026-11-26 01:02:03.000000001 +0000 UTC m=+0.1' };
const textOf = (any: Any | undefined): string => Buffer.from(any?.value ?? []).toString();

it('istio.io/debug/syncz tells of each proxy which types are synced', async () => {
  await proxy();
  const client = ask();
  client.request(syncz, [], own);
  const { typeUrl, resources, controlPlane } = await client.next();
  expect(typeUrl).toBe(syncz);
  expect(JSON.parse(controlPlane?.identifier ?? '')).toEqual({
    Component: 'watershed',
    ID: 'test',
    Info: { version },
  });
  const [first, ...others] = resources.map(({ value }) => ClientConfig.decode(value));
  expect(others).toEqual([]);
  expect(first?.node?.id).toBe('web-1.shop');
  expect(first?.node?.metadata).toMatchObject({ NAMESPACE: 'shop' });
  expect(first?.genericXdsConfigs).toMatchObject([
    { typeUrl: CDS, configStatus: ConfigStatus.SYNCED },
    {
      typeUrl: EDS,
      configStatus: ConfigStatus.ERROR,
      errorState: { details: 'no such locality' },
    },
  ]);
  const { seconds = 0 } = first?.genericXdsConfigs[0]?.lastUpdated ?? {};
  expect(Math.abs(seconds - Date.now() / 1_000)).toBeLessThan(60);
});

it('istio.io/debug/config_dump gives the parts of an admin dump, and nothing of a stranger', async () => {
  await proxy();
  const client = ask();
  client.request(dumpType, ['web-1.shop'], own);
  const { resources } = await client.next();
  const clusters = resources.find((any) => any.typeUrl.endsWith('.ClustersConfigDump'));
  expect(ClustersConfigDump.decode(clusters?.value ?? new Uint8Array(0))).toMatchObject({
    dynamicActiveClusters: [{}, {}],
  });
  const other = ask();
  other.request(dumpType, ['nobody.shop'], own);
  expect(await other.next()).toMatchObject({ typeUrl: dumpType, resources: [] });
});

it('istio.io/debug gives the debug page that is named, or in istiod’s words what is wrong', async () => {
  await proxy();
  const said = async (name: string): Promise<string> => {
    const client = ask();
    client.request(debug, [name], own);
    const { resources } = await client.next();
    expect(resources).toMatchObject([{ typeUrl: debug }]);
    return textOf(resources[0]);
  };
  expect(JSON.parse(await said('syncz?namespace=shop'))).toMatchObject([{ proxy: 'web-1.shop' }]);
  expect(JSON.parse(await said('list'))).toEqual(expect.arrayContaining(['config_dump', 'syncz']));
  expect(await said('nothing')).toBe('404 page not found\n');
  expect(await said('config_dump')).toMatch(/^You must provide a proxyID in the query string/u);
  expect(await said('edsz?proxyID=nobody')).toMatch(/^Proxy not connected to this Pilot instance/u);
  const client = ask();
  client.request(debug, [], own);
  expect(await client.ended()).toMatchObject({
    code: status.INVALID_ARGUMENT,
    details: 'exactly one debug request is required',
  });
});

it('answers each question, and no ACK', async () => {
  const client = ask();
  client.request(debug, ['list'], own);
  const first = await client.next();
  client.ack(first, ['list']);
  expect(await client.quiet()).toBe(true);
  client.ack(first, ['syncz']);
  const second = await client.next();
  expect(textOf(second.resources[0])).toBe('[]\n');
  expect(second.nonce).not.toBe(first.nonce);
  const delta = new DeltaClient(running.port, istioctl);
  closed.push(() => delta.close());
  delta.request(debug, { resourceNamesSubscribe: ['list'] });
  const answer = await delta.next();
  expect(answer.resources).toMatchObject([{ name: 'list', resource: { typeUrl: debug } }]);
  delta.ack(answer);
  expect(await delta.quiet()).toBe(true);
});

it('who only asks has no scope, and is no proxy', async () => {
  const client = ask();
  client.request(syncz, [], own);
  expect((await client.next()).resources).toEqual([]);
  expect(running.pusher.hub.streams.size).toBe(1);
  const said = [...(await running.translator.feedback()).keys()];
  expect(said.filter((key) => !key.startsWith('p|'))).toEqual([]);
});

it('rule 2: who asked first, and names its node no more, is that proxy once it asks for resources', async () => {
  const sotw = new SotwClient(running.port);
  const delta = new DeltaClient(running.port);
  closed.push(
    () => sotw.close(),
    () => delta.close(),
  );
  for (const client of [sotw, delta]) {
    client.request(syncz);
    expect((await client.next()).resources).toEqual([]);
  }
  expect([...running.pusher.hub.streams].map((stream) => stream.node)).toEqual([
    undefined,
    undefined,
  ]);
  for (const client of [sotw, delta]) {
    client.request(CDS);
    expect((await client.next()).resources).toHaveLength(2);
  }
  const nodes = [...running.pusher.hub.streams].map((stream) => stream.node?.id);
  expect(nodes).toEqual([nodeId, nodeId]);
  sotw.request(EDS, ['a'], { node: Node.fromPartial(istioctl) });
  expect(await sotw.ended()).toMatchObject({ code: status.INVALID_ARGUMENT });
});

it('of questions that come faster than they are answered, the newest is answered', async () => {
  const asked: string[] = [];
  const answered = Promise.withResolvers<Uint8Array>();
  const queries = new DebugQueries({
    answer: ({ names }) => {
      asked.push(names.join());
      return asked.length === 1 ? answered.promise : Promise.resolve(Buffer.from(names.join()));
    },
    ready: () => undefined,
    failed: () => undefined,
  });
  for (let at = 1; at <= 1_000; at++) {
    queries.take({
      mode: 'sotw',
      typeUrl: debug,
      nonce: '',
      versionInfo: '',
      error: undefined,
      node: undefined,
      names: new NameList([`list?${at}`]),
    });
  }
  expect(queries.next()).toBeUndefined();
  answered.resolve(Buffer.from('first'));
  await until('the first', () => queries.next() !== undefined);
  await until('the last', () => Buffer.from(queries.next() ?? []).toString() === 'list?1000');
  expect(asked).toEqual(['list?1', 'list?1000']);
});

it('is refused to who may not see what is served to others', async () => {
  await running.stop();
  await start({
    identity: {
      trustDomains: ['cluster.local'],
      policy: {
        gatewayAccounts: new Set(),
        nodeAccounts: new Set(),
        operatorNamespaces: new Set(['istio-system']),
      },
      plaintextNeedsToken: true,
      verifyToken: (token) =>
        Promise.resolve({ namespace: token, serviceAccount: 'default', pod: '' }),
    },
  });
  const as = (namespace: string): DeltaClient => {
    const client = new DeltaClient(running.port, istioctl, undefined, undefined, namespace);
    closed.push(() => client.close());
    return client;
  };
  const operator = as('istio-system');
  operator.request(syncz);
  expect(await operator.next()).toMatchObject({ typeUrl: syncz });
  for (const typeUrl of [syncz, dumpType, debug]) {
    const other = as('shop');
    other.request(typeUrl, { resourceNamesSubscribe: ['list'] });
    expect(await other.ended()).toMatchObject({
      code: status.PERMISSION_DENIED,
      details: "shop/default may not see others' state",
    });
  }
  // It may ask, and is no proxy by that.
  operator.request(CDS);
  expect(await operator.ended()).toMatchObject({ code: status.INVALID_ARGUMENT });
});
