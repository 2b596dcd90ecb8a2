import { Client, credentials } from '@grpc/grpc-js';
import { create, createFileRegistry, fromBinary, type FileRegistry } from '@bufbuild/protobuf';
import {
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  type FileDescriptorProto,
} from '@bufbuild/protobuf/wkt';
import { resourceTypes } from '@watershed/proto/any.ts';
import { RouteConfiguration } from '@watershed/proto/envoy/config/route/v3/route.ts';
import { readDescriptors } from '@watershed/proto/descriptors.ts';
import {
  DiscoveryRequest,
  DiscoveryResponse,
} from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import {
  ClientStatusRequest,
  ClientStatusResponse,
  ConfigStatus,
} from '@watershed/proto/envoy/service/status/v3/csds.ts';
import type { StringMatcher } from '@watershed/proto/envoy/type/matcher/v3/string.ts';
import { HealthCheckRequest, HealthCheckResponse } from '@watershed/proto/grpc/health/v1/health.ts';
import {
  ServerReflectionRequest,
  ServerReflectionResponse,
} from '@watershed/proto/grpc/reflection/v1/reflection.ts';
import { afterEach, describe, expect, it } from 'vitest';
import { transports } from '../../src/server/transports.ts';
import { CDS, EDS } from '../session/support.ts';
import { contentOf, DeltaClient, node, nodeId, SotwClient } from '../support/client.ts';
import { callStream, callUnary } from '../support/rpc.ts';
import { scopeOfNode } from '../support/scope.ts';
import { run, until, type Running, type RunOptions } from '../support/world.ts';

const scope = scopeOfNode();
const scopes = { [scope.id]: scope.scopeClass };
const open: { close(): void }[] = [];
let running: Running | undefined;

async function start(options: RunOptions = {}): Promise<Running> {
  running = await run(options);
  return running;
}

afterEach(async () => {
  for (const client of open.splice(0)) client.close();
  await running?.stop();
  running = undefined;
});

const { cluster, endpoint, listener, route, secret, virtualHost, extensionConfig, runtime } =
  resourceTypes;

/** Service, noun, type: by hand from Envoy's protos, so that a slip in the table is seen. */
const ofOneType = [
  ['cluster.v3.ClusterDiscoveryService', 'Clusters', cluster],
  ['endpoint.v3.EndpointDiscoveryService', 'Endpoints', endpoint],
  ['listener.v3.ListenerDiscoveryService', 'Listeners', listener],
  ['route.v3.RouteDiscoveryService', 'Routes', route],
  ['extension.v3.ExtensionConfigDiscoveryService', 'ExtensionConfigs', extensionConfig],
  ['runtime.v3.RuntimeDiscoveryService', 'Runtime', runtime],
  ['secret.v3.SecretDiscoveryService', 'Secrets', secret],
] as const;

/** All types have one resource; secrets, which must be sealed, are not made here. */
const everything = Object.fromEntries(
  ofOneType
    .map(([, , type]) => type)
    .filter((type) => type !== secret)
    .map((type) => [type, { a: '1' }]),
);

const expected = (type: string) => (type === secret ? {} : { a: '1' });

const fetchOf = (service: string, noun: string) => ({
  path: `/envoy.service.${service}/Fetch${noun}`,
  request: DiscoveryRequest,
  response: DiscoveryResponse,
});

const hostPart = (name: string) => ({ virtualHosts: [{ name, domains: [`${name}.test`] }] });

describe.each(transports)('services of one type over %s', (transport) => {
  it('answer to Stream, Delta and Fetch; the type may be left out (rule 5)', async () => {
    const { port, translator } = await start({ transport });
    await translator.publish(everything, scopes);
    for (const [service, noun, type] of ofOneType) {
      const base = `/envoy.service.${service}`;
      const stream = new SotwClient(port, node(), `${base}/Stream${noun}`);
      const delta = new DeltaClient(port, node(), `${base}/Delta${noun}`);
      open.push(stream, delta);
      stream.request('', ['a']);
      delta.request('', { resourceNamesSubscribe: ['a'] });
      // State of the world has no word for "missing" (rule 24).
      if (type !== secret) {
        const sotw = await stream.next();
        expect([sotw.typeUrl, contentOf(sotw)]).toEqual([type, expected(type)]);
      }
      const first = await delta.next();
      expect([first.typeUrl, contentOf(first)]).toEqual([type, expected(type)]);
      const request = DiscoveryRequest.fromPartial({ node: node(), resourceNames: ['a'] });
      const fetched = await callUnary(port, fetchOf(service, noun), request);
      expect([fetched.typeUrl, contentOf(fetched)]).toEqual([type, expected(type)]);
    }
  });

  it('serve virtual hosts of all tables or by name, in delta alone (rules 25, 48 and 49)', async () => {
    const { port, translator } = await start({ transport });
    const table = (...hosts: readonly string[]): Uint8Array[] =>
      [{ name: '80' }, ...hosts.map(hostPart)].map((part) =>
        RouteConfiguration.encode(RouteConfiguration.fromPartial(part)).finish(),
      );
    await translator.publishBytes(route, '80', table('one', 'two'), scopes);
    const base = '/envoy.service.route.v3.VirtualHostDiscoveryService';
    const delta = new DeltaClient(port, node(), `${base}/DeltaVirtualHosts`);
    const named = new DeltaClient(port, node(), `${base}/DeltaVirtualHosts`);
    const sotw = new SotwClient(port, node(), `${base}/StreamVirtualHosts`);
    open.push(delta, named, sotw);
    delta.request('');
    const all = await delta.next();
    expect(all.resources.map(({ name }) => name)).toEqual(['80/one', '80/two']);
    delta.ack(all);
    named.request(virtualHost, { resourceNamesSubscribe: ['80/one.test', '80/none.test'] });
    expect((await named.next()).resources).toMatchObject([
      { name: '80/one', aliases: ['80/one.test'], resource: { typeUrl: virtualHost } },
      { name: '80/none.test', aliases: ['80/none.test'], resource: undefined },
    ]);
    await translator.publishBytes(route, '80', table('two', 'three'), scopes);
    const next = await delta.next();
    expect(next.resources.map(({ name }) => name)).toEqual(['80/three']);
    expect(next.removedResources).toEqual(['80/one']);
    sotw.request(virtualHost, ['a']);
    expect((await sotw.ended()).code).toBe(12);
  });

  it('refuse another type than their own', async () => {
    const { port } = await start({ transport });
    const request = DiscoveryRequest.fromPartial({ node: node(), typeUrl: EDS });
    const fetching = callUnary(port, fetchOf(ofOneType[0][0], 'Clusters'), request);
    await expect(fetching).rejects.toMatchObject({ code: 3 });
  });
});

describe('a fetch', () => {
  const clusters = fetchOf('cluster.v3.ClusterDiscoveryService', 'Clusters');

  it('is answered whole with the same version when nothing changed: empty would mean gone (rule 20)', async () => {
    const { port, translator } = await start();
    await translator.publish({ [CDS]: { a: '1', b: '1' } }, scopes);
    const request = DiscoveryRequest.fromPartial({ node: node() });
    const first = await callUnary(port, clusters, request);
    const { versionInfo, nonce } = first;
    const again = { ...request, versionInfo, responseNonce: nonce };
    const second = await callUnary(port, clusters, again);
    expect(second.versionInfo).toBe(versionInfo);
    expect(contentOf(second)).toEqual({ a: '1', b: '1' });
    await until('nobody is connected', () => running?.pusher.hub.streams.size === 0);
  });

  it('of a scope that is not known waits until it is, or for its deadline', async () => {
    const { port, translator, pusher } = await start();
    const request = DiscoveryRequest.fromPartial({ node: node() });
    await expect(callUnary(port, clusters, request, 100)).rejects.toMatchObject({ code: 4 });
    await until('it is over', () => pusher.hub.streams.size === 0);
    const waiting = callUnary(port, clusters, request);
    await until('it waits', () => pusher.hub.streams.size === 1);
    await translator.publish({ [CDS]: { a: '1' } }, scopes);
    expect(contentOf(await waiting)).toEqual({ a: '1' });
  });

  it.each(transports)('needs one request, and takes no second, over %s', async (transport) => {
    const { port, translator } = await start({ transport });
    await translator.publish({ [CDS]: { a: '1' } }, scopes);
    const request = DiscoveryRequest.fromPartial({ node: node() });
    for (const [requests, details] of [
      [[], 'no request'],
      [[request, request], 'more than one request'],
    ] as const) {
      const calling = callStream(port, clusters, requests);
      await expect(calling).rejects.toMatchObject({ code: 13, details });
    }
    const [answer, ...others] = await callStream(port, clusters, [request]);
    expect([contentOf(answer ?? DiscoveryResponse.fromPartial({})), others]).toEqual([
      { a: '1' },
      [],
    ]);
  });
});

const statusService = '/envoy.service.status.v3.ClientStatusDiscoveryService';
const fetchStatus = {
  path: `${statusService}/FetchClientStatus`,
  request: ClientStatusRequest,
  response: ClientStatusResponse,
};

describe('client status', () => {
  const brief = ({ config }: ClientStatusResponse) =>
    config.map((one) => [
      one.node?.id,
      one.genericXdsConfigs.map(({ name, configStatus }) => [name, configStatus]),
    ]);

  it('says what each client holds: SYNCED once ACKed, STALE before, ERROR when refused, else NOT_SENT', async () => {
    const { port, translator } = await start();
    await translator.publish({ [CDS]: { a: '1', b: '1' } }, scopes);
    const client = new DeltaClient(port);
    open.push(client);
    client.request(CDS);
    const first = await client.next();
    const ask = () => callUnary(port, fetchStatus, ClientStatusRequest.fromPartial({}));
    const { STALE, SYNCED, ERROR, NOT_SENT } = ConfigStatus;
    expect(brief(await ask())).toEqual([
      [
        nodeId,
        [
          ['a', STALE],
          ['b', STALE],
        ],
      ],
    ]);
    client.ack(first);
    client.request(EDS, { resourceNamesSubscribe: ['none'] });
    client.ack(await client.next());
    await translator.publish({ [CDS]: { a: '1', b: '2' } }, scopes);
    client.nack(await client.next(), 'b is bad');
    await until('the NACK is known', async () => JSON.stringify(await ask()).includes('b is bad'));
    const answer = await ask();
    expect(brief(answer)).toEqual([
      [
        nodeId,
        [
          ['a', SYNCED],
          ['b', ERROR],
          ['none', NOT_SENT],
        ],
      ],
    ]);
    const [a, b] = answer.config[0]?.genericXdsConfigs ?? [];
    expect(a).toMatchObject({ typeUrl: CDS, xdsConfig: { typeUrl: CDS } });
    expect(b?.errorState?.details).toContain('b is bad');
  });

  it('tells of the clients that are asked for, on streams and without contents as well', async () => {
    const { port, translator } = await start();
    await translator.publish({ [CDS]: { a: '1' } }, scopes);
    const other = 'sidecar~10.0.0.2~web-2.shop~shop.svc.cluster.local';
    for (const id of [nodeId, other]) {
      const client = new DeltaClient(port, node(id));
      open.push(client);
      client.request(CDS);
      client.ack(await client.next());
    }
    const request = (matchPattern: StringMatcher['matchPattern']) =>
      ClientStatusRequest.fromPartial({
        nodeMatchers: [{ nodeId: { matchPattern } }],
        excludeResourceContents: true,
      });
    const rpc = { ...fetchStatus, path: `${statusService}/StreamClientStatus` };
    const [exact] = await callStream(port, rpc, [request({ $case: 'exact', value: other })]);
    expect(exact?.config.map((one) => one.node?.id)).toEqual([other]);
    expect(exact?.config[0]?.genericXdsConfigs[0]?.xdsConfig).toBeUndefined();
    const [all] = await callStream(port, rpc, [request({ $case: 'contains', value: '.shop~' })]);
    expect(all?.config).toHaveLength(2);
    const [none] = await callStream(port, rpc, [request({ $case: 'prefix', value: 'router~' })]);
    expect(none?.config).toEqual([]);
  });
});

describe.each(transports)('what anybody may ask over %s', (transport) => {
  it('is asked in 4 KiB: a longer message ends the call', async () => {
    const { port } = await start({ transport });
    const health = {
      path: '/grpc.health.v1.Health/Check',
      request: HealthCheckRequest,
      response: HealthCheckResponse,
    };
    const ask = (size: number) => callUnary(port, health, { service: 'x'.repeat(size) });
    // With the field's number and length the message has three bytes more.
    await expect(ask(4_093)).rejects.toMatchObject({ code: 5 });
    await expect(ask(4_094)).rejects.toMatchObject({
      code: 8,
      details: 'a message of 4097 bytes; at most 4096',
    });
  });
});

describe('health', () => {
  it('is told for each service by name, and refused for others', async () => {
    const { port } = await start();
    const rpc = {
      path: '/grpc.health.v1.Health/Check',
      request: HealthCheckRequest,
      response: HealthCheckResponse,
    };
    const service = 'envoy.service.route.v3.VirtualHostDiscoveryService';
    await until('it serves', async () => (await callUnary(port, rpc, { service })).status === 1);
    const unknown = callUnary(port, rpc, { service: '__proto__' });
    await expect(unknown).rejects.toMatchObject({ code: 5 });
  });

  it('is told as it changes to who watches, of services that there are not as well', async () => {
    const { port } = await start();
    const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
    open.push(client);
    const watch = (service: string): number[] => {
      const states: number[] = [];
      const call = client
        .makeServerStreamRequest(
          '/grpc.health.v1.Health/Watch',
          (request: HealthCheckRequest) => Buffer.from(HealthCheckRequest.encode(request).finish()),
          (bytes: Buffer) => HealthCheckResponse.decode(bytes),
          { service },
        )
        .on('data', ({ status }: HealthCheckResponse) => states.push(status))
        .on('error', () => undefined);
      open.push({ close: () => call.cancel() });
      return states;
    };
    const [all, none] = [watch(''), watch('none')];
    await until('it serves', () => all.at(-1) === 1);
    const stopped = running?.stop();
    running = undefined;
    await until('it does not', () => all.at(-1) === 2);
    for (const one of open.splice(0)) one.close();
    await stopped;
    expect(none).toEqual([3]);
  });
});

describe.each(transports)('an ordered stop over %s', (transport) => {
  it.each([
    ['/grpc.health.v1.Health/Watch', [1, 2]],
    [`${statusService}/StreamClientStatus`, [0]],
    ['/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', [0]],
    ['/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo', [0]],
  ])('waits for no %s', async (path, expected) => {
    const { port } = await start({ transport });
    const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
    open.push(client);
    const states: number[] = [];
    let details: string | undefined;
    const call = client.makeBidiStreamRequest(
      path,
      () => Buffer.alloc(0),
      // Of others than health there is no such field.
      (bytes: Buffer) => (path.endsWith('Watch') ? HealthCheckResponse.decode(bytes).status : 0),
    );
    call.on('data', (state: number) => states.push(state));
    call.on('status', (status) => ({ details } = status));
    call.on('error', () => undefined);
    call.write({});
    await until('it is answered', () => states.at(-1) === expected[0]);
    await running?.stop();
    running = undefined;
    await until('it is over', () => details !== undefined);
    expect([states.slice(-expected.length), details]).toEqual([
      expected,
      'this replica is stopping',
    ]);
  });
});

/** As grpcurl does: all services, the files of each, and what those import. */
async function reflect(port: number, version: string): Promise<FileRegistry> {
  const rpc = {
    path: `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
    request: ServerReflectionRequest,
    response: ServerReflectionResponse,
  };
  const ask = (messageRequests: ServerReflectionRequest['messageRequest'][]) =>
    callStream(
      port,
      rpc,
      messageRequests.map((messageRequest) => ({ host: '', messageRequest })),
    );
  const [listed] = await ask([{ $case: 'listServices', value: '' }]);
  const list = listed?.messageResponse;
  if (list?.$case !== 'listServicesResponse') throw new Error('no list');
  const answers = await ask(
    list.value.service.map(({ name }) => ({ $case: 'fileContainingSymbol', value: name })),
  );
  const files = new Map<string, FileDescriptorProto>();
  for (const { messageResponse } of answers) {
    if (messageResponse?.$case !== 'fileDescriptorResponse') throw new Error('no file');
    for (const bytes of messageResponse.value.fileDescriptorProto) {
      const file = fromBinary(FileDescriptorProtoSchema, bytes);
      files.set(file.name, file);
    }
  }
  const inOrder: FileDescriptorProto[] = [];
  const add = (name: string): void => {
    const file = files.get(name);
    if (file === undefined || inOrder.includes(file)) return;
    for (const imported of file.dependency) add(imported);
    inOrder.push(file);
  };
  for (const name of files.keys()) add(name);
  return createFileRegistry({
    ...fromBinary(FileDescriptorSetSchema, new Uint8Array()),
    file: inOrder,
  });
}

describe('reflection', () => {
  it.each(['v1', 'v1alpha'])(
    '%s describes every service, and each of its methods is served',
    async (version) => {
      const { port } = await start();
      const registry = await reflect(port, version);
      const paths: string[] = [];
      for (const one of registry) {
        if (one.kind !== 'service') continue;
        for (const { name } of one.methods) paths.push(`/${one.typeName}/${name}`);
      }
      expect(paths).toContain(
        '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources',
      );
      expect(paths).toContain(`${statusService}/StreamClientStatus`);
      for (const path of paths) {
        const rpc = { ...fetchStatus, path };
        const answer = await callStream(port, rpc, []).catch((error: unknown) => error);
        expect([path, answer]).not.toMatchObject([path, { code: 12 }]);
      }
    },
  );

  it('knows what resources are made of, extensions, and what it does not know', async () => {
    const { port } = await start();
    const rpc = {
      path: '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
      request: ServerReflectionRequest,
      response: ServerReflectionResponse,
    };
    const symbols = [
      'envoy.config.cluster.v3.Cluster',
      'envoy.config.cluster.v3.Cluster.name',
      '__proto__',
      'istio.workload.Address',
    ];
    const answers = await callStream(port, rpc, [
      ...symbols.map((value) => ({
        host: 'h',
        messageRequest: { $case: 'fileContainingSymbol' as const, value },
      })),
      {
        host: 'h',
        messageRequest: { $case: 'fileByFilename', value: 'envoy/config/core/v3/base.proto' },
      },
      {
        host: 'h',
        messageRequest: {
          $case: 'allExtensionNumbersOfType',
          value: 'google.protobuf.FieldOptions',
        },
      },
      {
        host: 'h',
        messageRequest: {
          $case: 'fileContainingExtension',
          value: { containingType: 'google.protobuf.FieldOptions', extensionNumber: 1071 },
        },
      },
      { host: 'h', messageRequest: undefined },
    ]);
    expect(answers.map(({ messageResponse }) => messageResponse?.$case)).toEqual([
      'fileDescriptorResponse',
      'fileDescriptorResponse',
      'errorResponse',
      'fileDescriptorResponse',
      'fileDescriptorResponse',
      'allExtensionNumbersResponse',
      'fileDescriptorResponse',
      'errorResponse',
    ]);
    expect(answers[0]?.originalRequest?.host).toBe('h');
    expect(answers[2]?.messageResponse).toMatchObject({ value: { errorCode: 5 } });
    expect(answers[5]?.messageResponse).toMatchObject({
      value: { extensionNumber: expect.arrayContaining([1071]) },
    });
  });

  it('describes whole files: nothing that they import is missing', () => {
    const sets = readDescriptors().map((bytes) => fromBinary(FileDescriptorSetSchema, bytes));
    const files = new Map(
      sets.toReversed().flatMap(({ file }) => file.map((one) => [one.name, one])),
    );
    // Throws at a file or type that there is not.
    const registry = createFileRegistry(
      create(FileDescriptorSetSchema, { file: [...files.values()] }),
    );
    const carried = ['istio.workload.Address', 'istio.security.Authorization'];
    expect(carried.map((name) => registry.getMessage(name)?.typeName)).toEqual(carried);
  });
});
