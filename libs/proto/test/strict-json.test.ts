import {
  fromBinary,
  ScalarType,
  toJson,
  type DescField,
  type DescMessage,
} from '@bufbuild/protobuf';
import { isWrapperDesc } from '@bufbuild/protobuf/wkt';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { istioRegistry } from '@watershed/proto/istio-descriptors.ts';
import { decodeStrict } from '@watershed/proto/strict-json.ts';
import { MeshConfig } from '@watershed/proto/istio/mesh/v1alpha1/config.ts';
import * as destinationRule from '@watershed/proto/istio/networking/v1alpha3/destination_rule.ts';
import * as gateway from '@watershed/proto/istio/networking/v1alpha3/gateway.ts';
import * as serviceEntry from '@watershed/proto/istio/networking/v1alpha3/service_entry.ts';
import * as sidecar from '@watershed/proto/istio/networking/v1alpha3/sidecar.ts';
import * as virtualService from '@watershed/proto/istio/networking/v1alpha3/virtual_service.ts';
import * as workloadEntry from '@watershed/proto/istio/networking/v1alpha3/workload_entry.ts';
import * as workloadGroup from '@watershed/proto/istio/networking/v1alpha3/workload_group.ts';
import * as meshConfig from '@watershed/proto/istio/mesh/v1alpha1/config.ts';
import * as proxyConfig from '@watershed/proto/istio/mesh/v1alpha1/proxy.ts';
import * as networkProxyConfig from '@watershed/proto/istio/networking/v1beta1/proxy_config.ts';
import * as selector from '@watershed/proto/istio/type/v1beta1/selector.ts';

interface Codec {
  fromJSON(json: unknown): unknown;
  toJSON(message: unknown): unknown;
  encode(message: unknown): { finish(): Uint8Array };
}

const networking = 'istio.networking.v1alpha3';

function reasons(kind: string, json: unknown): string[] {
  const name = kind === 'MeshConfig' ? 'istio.mesh.v1alpha1.MeshConfig' : `${networking}.${kind}`;
  return decodeStrict(name, json).problems.map(({ path, reason }) => `${path}: ${reason}`);
}

const good: Record<string, unknown> = {
  VirtualService: {
    hosts: ['reviews'],
    gateways: ['mesh', 'a/b'],
    export_to: ['.'],
    http: [
      {
        match: [{ uri: { prefix: '/a' }, headers: { 'x-a': { exact: 'b' } }, ignoreUriCase: true }],
        route: [
          { destination: { host: 'reviews', subset: 'v1', port: { number: 80 } }, weight: '25' },
          { destination: { host: 'reviews', subset: 'v2' }, weight: 75 },
        ],
        timeout: '0.5s',
        retries: {
          attempts: 3,
          perTryTimeout: '250ms',
          retryOn: '5xx',
          retryRemoteLocalities: null,
        },
        fault: { delay: { percentage: { value: 0.1 }, fixedDelay: '1m30s' } },
        corsPolicy: { allowCredentials: true, maxAge: '24h' },
      },
      { redirect: { derivePort: 'FROM_REQUEST_PORT', redirectCode: 302 } },
    ],
  },
  DestinationRule: {
    host: 'reviews',
    trafficPolicy: {
      loadBalancer: {
        consistentHash: { httpCookie: { name: 'a', ttl: '0s' }, minimumRingSize: 8 },
      },
      outlierDetection: {
        consecutive5xxErrors: 5,
        interval: '1h',
        splitExternalLocalOriginErrors: true,
      },
      connectionPool: { tcp: { maxConnections: 1, connectTimeout: '30ms' } },
      tls: { mode: 'ISTIO_MUTUAL' },
    },
    subsets: [{ name: 'v1', labels: { version: 'v1' } }],
  },
  Gateway: {
    selector: { istio: 'ingressgateway' },
    servers: [
      {
        port: { number: 443, name: 'https', protocol: 'HTTPS' },
        hosts: ['*'],
        tls: { mode: 1, credentialName: 'a', minProtocolVersion: 'TLSV1_2' },
      },
    ],
  },
  Sidecar: {
    workloadSelector: { labels: { app: 'a' } },
    egress: [{ hosts: ['./*'], captureMode: 'NONE', port: { number: 1, protocol: 'HTTP' } }],
    outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' },
  },
  ServiceEntry: {
    hosts: ['a.example'],
    ports: [{ number: 80, name: 'http', protocol: 'HTTP', targetPort: 8080 }],
    resolution: 'DNS',
    location: 'MESH_EXTERNAL',
    endpoints: [{ address: '1.2.3.4', ports: { http: 8080 }, weight: 4294967295 }],
  },
  WorkloadEntry: { address: '1.2.3.4', labels: { a: 'b' }, serviceAccount: 'x', locality: 'r/z' },
  MeshConfig: {
    rootNamespace: 'istio-system',
    connectTimeout: '10s',
    enableAutoMtls: false,
    outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' },
    configSources: [{ address: 'fs:///etc' }],
    defaultConfig: { drainDuration: '45s', concurrency: 0, proxyMetadata: { A: 'b' } },
    localityLbSetting: { failover: [{ from: 'a', to: 'b' }] },
    pathNormalization: { normalization: 'MERGE_SLASHES' },
  },
};

const bad: Record<string, readonly [unknown, readonly string[]][]> = {
  VirtualService: [
    [{ host: ['a'] }, ['spec.host: no such field in VirtualService']],
    [
      { http: [{}, { route: [{}, { weight: 'heavy' }] }] },
      ['spec.http[1].route[1].weight: expected an integer, got text'],
    ],
    [
      { http: [{ timeout: 5 }] },
      [expect.stringMatching(/^spec\.http\[0\]\.timeout: expected a dur.*got a number$/)],
    ],
    [
      { http: [{ timeout: '5 s' }] },
      [expect.stringMatching(/timeout: expected a duration such as/)],
    ],
    [
      { http: [{ match: [{ uri: { exact: '/a', prefix: '/b' } }] }] },
      ['spec.http[0].match[0].uri.prefix: only one of exact and prefix can be set'],
    ],
    [{ http: { route: [] } }, ['spec.http: expected a list, got an object']],
    [{ hosts: ['a', null] }, ['spec.hosts[1]: expected text, got null']],
    [
      { http: [{ match: [{ headers: { 'x-a': 'b' } }] }] },
      ['spec.http[0].match[0].headers.x-a: expected an object, got text'],
    ],
    [
      { http: [{ match: [{ headers: { 'a b': { regexp: 'b' } } }] }] },
      ['spec.http[0].match[0].headers["a b"].regexp: no such field in StringMatch'],
    ],
    [{ exportTo: [], export_to: [] }, ['spec.export_to: exportTo is set twice']],
    [[], ['spec: expected an object, got a list']],
    [null, ['spec: expected an object, got null']],
    [undefined, ['spec: expected an object, got nothing']],
  ],
  DestinationRule: [
    [
      { trafficPolicy: { tls: { mode: 'MUTUALS' } } },
      ['spec.trafficPolicy.tls.mode: expected one of DISABLE, SIMPLE, MUTUAL, ISTIO_MUTUAL'],
    ],
    [
      { trafficPolicy: { tls: { mode: 9 } } },
      ['spec.trafficPolicy.tls.mode: expected one of DISABLE, SIMPLE, MUTUAL, ISTIO_MUTUAL'],
    ],
    [
      { trafficPolicy: { outlierDetection: { consecutive5xxErrors: -1 } } },
      [
        'spec.trafficPolicy.outlierDetection.consecutive5xxErrors: expected an integer from 0 to 4294967295',
      ],
    ],
    [
      { trafficPolicy: { loadBalancer: { simple: 'RANDOM', consistentHash: {} } } },
      [
        'spec.trafficPolicy.loadBalancer.consistentHash: only one of simple and consistentHash can be set',
      ],
    ],
    [
      { subsets: [{ labels: { a: 1 } }] },
      ['spec.subsets[0].labels.a: expected text, got a number'],
    ],
    [{ host: '\ud800' }, ['spec.host: text is not valid Unicode']],
  ],
  Gateway: [
    [
      { servers: [{ port: { number: 1.5 } }] },
      ['spec.servers[0].port.number: expected an integer'],
    ],
    [
      { servers: [{ tls: { httpsRedirect: 'yes' } }] },
      ['spec.servers[0].tls.httpsRedirect: expected true or false, got text'],
    ],
  ],
  Sidecar: [
    [
      { egress: [{ captureMode: 'none' }] },
      ['spec.egress[0].captureMode: expected one of DEFAULT, IPTABLES, NONE'],
    ],
  ],
  ServiceEntry: [
    [
      { endpoints: [{ ports: { http: 4294967296 } }] },
      ['spec.endpoints[0].ports.http: expected an integer from 0 to 4294967295'],
    ],
    [
      { endpoints: [{ weight: NaN }] },
      ['spec.endpoints[0].weight: expected an integer, got a number'],
    ],
  ],
  WorkloadEntry: [[{ labels: ['a'] }, ['spec.labels: expected an object, got a list']]],
  MeshConfig: [
    [{ enableAutoMtls: 'true' }, ['spec.enableAutoMtls: expected true or false, got text']],
    [
      { defaultConfig: { concurrency: 3e9 } },
      ['spec.defaultConfig.concurrency: expected an integer from -2147483648 to 2147483647'],
    ],
    [
      { connectTimeout: '300000000000s' },
      ['spec.connectTimeout: the duration is longer than 292 years'],
    ],
  ],
};

for (const [kind, json] of Object.entries(good)) {
  test(`a good ${kind} has no problems`, () => {
    expect(reasons(kind, json)).toEqual([]);
  });
}

for (const [kind, cases] of Object.entries(bad)) {
  test.each(cases)(`a bad ${kind} is told with path and reason: %j`, (json, expected) => {
    expect(reasons(kind, json)).toEqual(expected);
  });
}

test('the typed message holds what the user wrote', () => {
  const { message } = decodeStrict(`${networking}.VirtualService`, good['VirtualService']);
  const [http] = virtualService.VirtualService.fromJSON(message).http;
  expect(http?.route.map(({ weight }) => weight)).toEqual([25, 75]);
  expect(http?.timeout).toEqual({ seconds: 0, nanos: 500_000_000 });
  expect(http?.retries?.perTryTimeout).toEqual({ seconds: 0, nanos: 250_000_000 });
  expect(http?.fault?.delay?.httpDelayType).toEqual({
    $case: 'fixedDelay',
    value: { seconds: 90, nanos: 0 },
  });
  const mesh = decodeStrict('istio.mesh.v1alpha1.MeshConfig', good['MeshConfig'], { path: '' });
  expect(MeshConfig.fromJSON(mesh.message).enableAutoMtls).toBe(false);
});

test('an unknown field alone leaves the rest usable; anything invalid does not', () => {
  const name = `${networking}.WorkloadEntry`;
  const unknown = decodeStrict(name, { address: 'a', adress: 'b' }, { path: '' });
  expect(unknown).toEqual({
    message: { address: 'a' },
    problems: [
      { path: 'adress', value: '"b"', reason: 'no such field in WorkloadEntry', kind: 'unknown' },
    ],
  });
  expect(decodeStrict(name, { address: 1 })).not.toHaveProperty('message');
});

test('keys named like parts of JavaScript are fields and labels like any other', () => {
  const json: unknown = JSON.parse(
    '{"__proto__": {}, "constructor": 1, "labels": {"__proto__": "a", "constructor": "b"}}',
  );
  const { message, problems } = decodeStrict(`${networking}.WorkloadEntry`, json);
  expect(problems.map(({ path }) => path)).toEqual(['spec.__proto__', 'spec.constructor']);
  expect(JSON.stringify(message)).toBe('{"labels":{"__proto__":"a","constructor":"b"}}');
});

describe('limits', () => {
  const name = `${networking}.VirtualService`;

  test('a document that contains itself is cut at the depth', () => {
    const labels: Record<string, unknown> = {};
    labels['a'] = labels;
    const mesh = decodeStrict('istio.mesh.v1alpha1.MeshConfig', {
      extensionProviders: [{ name: 'x', envoyOtelAls: { logFormat: { labels } } }],
    });
    expect(mesh.problems.map(({ reason }) => reason)).toEqual(['nested deeper than 64 levels']);
  });

  test('aliases cannot make a small document endless', () => {
    const half = Array.from({ length: 30 }, () => ({ destination: { host: 'a' } }));
    const http = Array.from({ length: 30 }, () => ({ mirrors: half, route: half }));
    const { problems } = decodeStrict(name, { http }, { limits: { values: 1000 } });
    expect(problems.map(({ reason }) => reason)).toEqual([
      'the document has more than 1000 values',
    ]);
  });

  test('problems are listed up to a number', () => {
    const hosts = Array.from({ length: 500 }, () => 1);
    const { problems } = decodeStrict(name, { hosts });
    expect(problems).toHaveLength(101);
    expect(problems.at(-1)?.reason).toBe('and more that is not listed');
  });

  test('a value is shown in at most 100 characters', () => {
    const { problems } = decodeStrict(name, { http: 'x'.repeat(1_000_000) });
    expect(problems[0]?.value.length).toBeLessThanOrEqual(100);
  });

  test('a list is shown by how many it has', () => {
    const { problems } = decodeStrict(name, { hosts: [['a'], ['a', 'b']] });
    expect(problems.map(({ value }) => value)).toEqual(['[1 element]', '[2 elements]']);
  });

  test('a name that is no message is a mistake of the caller', () => {
    expect(() => decodeStrict('istio.Nothing', {})).toThrow(RangeError);
  });
});

test('no document makes it throw, and what it passes can be encoded', () => {
  const names = ['hosts', 'http', 'route', 'timeout', 'match', 'uri', 'exact', 'weight', 'name'];
  const json = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 6 },
      fc.jsonValue({ maxDepth: 1 }),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom(...names), tie('value'), { maxKeys: 4 }),
    ),
  })).value;
  const { VirtualService } = virtualService;
  fc.assert(
    fc.property(json, (value) => {
      const { message, problems } = decodeStrict(`${networking}.VirtualService`, value);
      expect(message === undefined).toBe(problems.some(({ kind }) => kind === 'invalid'));
      if (message !== undefined) VirtualService.encode(VirtualService.fromJSON(message)).finish();
    }),
    { numRuns: 500 },
  );
});

// ----------------------------------------------- every field of Istio's API, against protobuf-es

const modules: readonly Readonly<Record<string, unknown>>[] = [
  destinationRule,
  gateway,
  meshConfig,
  networkProxyConfig,
  proxyConfig,
  selector,
  serviceEntry,
  sidecar,
  virtualService,
  workloadEntry,
  workloadGroup,
];

/** The generated codec: nested messages are named `Outer_Inner`. */
function codecOf(desc: DescMessage): Codec | undefined {
  const pkg = desc.file.proto.package;
  const name = desc.typeName.slice(pkg.length + 1).replaceAll('.', '_');
  const module = modules.find(
    (candidate) => candidate['protobufPackage'] === pkg && candidate[name] !== undefined,
  );
  return module?.[name] as Codec | undefined;
}

function sampleScalar(type: ScalarType): unknown {
  if (type === ScalarType.BOOL) return true;
  if (type === ScalarType.STRING) return 'text';
  if (type === ScalarType.BYTES) return 'AQI=';
  if (type === ScalarType.DOUBLE || type === ScalarType.FLOAT) return 1.5;
  return [ScalarType.INT64, ScalarType.UINT64].includes(type) ? '7' : 7;
}

function sampleOne(field: DescField): unknown {
  if (field.enum !== undefined) return field.enum.values.at(-1)!.name;
  if (field.message === undefined) return sampleScalar(field.scalar);
  if (isWrapperDesc(field.message)) return sampleScalar(field.message.fields[0].scalar);
  const { typeName } = field.message;
  if (typeName === 'google.protobuf.Duration') return '90.250s';
  if (typeName === 'google.protobuf.Timestamp') return '2030-01-31T12:00:00.250Z';
  if (typeName === 'google.protobuf.Struct') return { a: { b: [1, null, 'x'] } };
  return {};
}

function sample(field: DescField): unknown {
  if (field.fieldKind === 'list') return [sampleOne(field), sampleOne(field)];
  if (field.fieldKind === 'map') return { b: sampleOne(field), a: sampleOne(field) };
  return sampleOne(field);
}

function* allFields(desc: Iterable<DescMessage>): Generator<DescField> {
  for (const message of desc) {
    if (message.file.proto.package.startsWith('google.')) continue;
    if (message.proto.options?.mapEntry !== true) yield* message.fields;
  }
}

function* messages(): Generator<DescMessage> {
  for (const desc of istioRegistry) if (desc.kind === 'message') yield desc;
}

test('every field survives: strict JSON → generated types → bytes → protobuf-es → JSON', () => {
  let checked = 0;
  for (const field of allFields(messages())) {
    const codec = codecOf(field.parent);
    if (codec === undefined) continue;
    const isDefault = field.fieldKind === 'enum' && field.enum.values.length === 1;
    if (isDefault) continue;
    for (const name of [field.jsonName, field.name]) {
      const strict = decodeStrict(field.parent.typeName, { [name]: sample(field) });
      expect(strict.problems).toEqual([]);
      const bytes = codec.encode(codec.fromJSON(strict.message)).finish();
      const json = toJson(field.parent, fromBinary(field.parent, bytes), {
        registry: istioRegistry,
      });
      expect([field.parent.typeName, json]).toEqual([
        field.parent.typeName,
        { [field.jsonName]: sample(field) },
      ]);
    }
    checked += 1;
  }
  expect(checked).toBeGreaterThan(400);
});
