import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startBackend, startHttp2Backend, type Backend } from '../components/backends.ts';
import { makeAuthority } from '../components/certificates.ts';
import { ask, askHttp2, echoOf, type Answer, type Ask } from '../components/clients.ts';
import type { TestEnvoy } from '../components/envoy.ts';
import { ConfigDir } from './harness/config-dir.ts';
import { ControlPlane } from './harness/control-plane.ts';
import { offBy, spread } from './harness/load.ts';
import { gatewayApi, httpGateway, istio, service, tlsSecret } from './harness/objects.ts';
import { freePort } from 'xdsctl/components/ports.ts';
import {
  configWarnings,
  protocols,
  rejections,
  startEdge,
  type Protocol,
} from './harness/proxy.ts';
import { askTls } from './harness/tls-client.ts';
import { until } from './harness/wait.ts';

interface Ports {
  readonly http: number;
  readonly https: number;
  readonly api: number;
  readonly apiTls: number;
}

const ns = 'edge';
const authority = makeAuthority('test root');
const names = ['a', 'b', 'mirror'] as const;
const backends = new Map<string, Backend>();
const ports = new Map<Protocol, Ports>();
const proxies = new Map<Protocol, TestEnvoy>();
let config: ConfigDir;
let plane: ControlPlane;

function certificate(commonName: string): { certificate: string; key: string } {
  return authority.issue({ commonName, names: ['tls.test', 'api-tls.test'] });
}

function portsOf(protocol: Protocol): Ports {
  const found = ports.get(protocol);
  if (found === undefined) throw new Error(`no ports of ${protocol}`);
  return found;
}

function backend(name: string): Backend {
  const found = backends.get(name);
  if (found === undefined) throw new Error(`no backend ${name}`);
  return found;
}

const to = (host: string, weight?: number): Record<string, unknown> => ({
  destination: { host },
  ...(weight === undefined ? {} : { weight }),
});

/** Istio's routes of all hosts, on the gateways of both proxies. */
const virtualServices = [
  {
    host: 'match.test',
    http: [
      { match: [{ headers: { 'x-user': { exact: 'jane' } } }], route: [to('b')] },
      { match: [{ uri: { prefix: '/b/' } }, { uri: { exact: '/b' } }], route: [to('b')] },
      { match: [{ uri: { regex: '/v[0-9]+/x' } }], route: [to('b')] },
      { match: [{ queryParams: { to: { exact: 'b' } } }], route: [to('b')] },
      { match: [{ method: { exact: 'DELETE' } }], route: [to('b')] },
      { match: [{ withoutHeaders: { 'x-stay': {} } }], route: [to('a')] },
      { directResponse: { status: 299, body: { string: 'stayed' } } },
    ],
  },
  { host: 'grpc.test', http: [{ route: [to('g')] }] },
  { host: 'weights.test', http: [{ route: [to('a', 80), to('b', 20)] }] },
  {
    host: 'retry.test',
    http: [
      {
        retries: { attempts: 2, perTryTimeout: '2s', retryOn: '5xx', backoff: '1ms' },
        route: [to('a')],
      },
    ],
  },
  { host: 'timeout.test', http: [{ timeout: '1s', route: [to('a')] }] },
  {
    host: 'fault.test',
    http: [
      {
        match: [{ uri: { prefix: '/abort' } }],
        fault: { abort: { percentage: { value: 100 }, httpStatus: 418 } },
        route: [to('a')],
      },
      {
        fault: { delay: { percentage: { value: 100 }, fixedDelay: '0.4s' } },
        route: [to('a')],
      },
    ],
  },
  {
    host: 'mirror.test',
    http: [{ mirror: { host: 'mirror' }, mirrorPercentage: { value: 100 }, route: [to('a')] }],
  },
  {
    host: 'change.test',
    http: [
      { match: [{ uri: { prefix: '/old' } }], redirect: { uri: '/new', authority: 'other.test' } },
      {
        match: [{ uri: { prefix: '/api/' } }],
        rewrite: { uri: '/', authority: 'inner.test' },
        headers: {
          request: { set: { 'x-set': 'yes' }, remove: ['x-drop'] },
          response: { add: { 'x-back': 'here' } },
        },
        route: [to('a')],
      },
    ],
  },
  { host: 'tls.test', http: [{ route: [to('a')] }] },
].map(({ host, http }) =>
  istio('VirtualService', ns, host.replace('.test', ''), {
    hosts: [host],
    gateways: protocols.flatMap((protocol) => [`edge-${protocol}`, `edge-tls-${protocol}`]),
    http,
  }),
);

function gatewaysFor(protocol: Protocol): readonly Record<string, unknown>[] {
  const { http, https, api, apiTls } = portsOf(protocol);
  const selector = { edge: protocol };
  const server = {
    port: { number: https, name: 'https', protocol: 'HTTPS' },
    hosts: ['*'],
    tls: { mode: 'SIMPLE', credentialName: 'edge-cert' },
  };
  return [
    httpGateway(ns, `edge-${protocol}`, selector, http),
    istio('Gateway', ns, `edge-tls-${protocol}`, { selector, servers: [server] }),
    gatewayApi('Gateway', ns, `api-${protocol}`, {
      gatewayClassName: 'watershed',
      listeners: [
        { name: 'http', port: api, protocol: 'HTTP' },
        {
          ...{ name: 'https', port: apiTls, protocol: 'HTTPS', hostname: 'api-tls.test' },
          tls: { mode: 'Terminate', certificateRefs: [{ name: 'api-cert' }] },
        },
      ],
    }),
  ];
}

const parentRefs = protocols.map((protocol) => ({ name: `api-${protocol}` }));

const httpRoutes = [
  gatewayApi('HTTPRoute', ns, 'matches', {
    parentRefs,
    hostnames: ['route.test', 'api-tls.test'],
    rules: [
      {
        matches: [
          { path: { type: 'PathPrefix', value: '/b' } },
          { headers: [{ name: 'x-user', value: 'jane' }] },
          { queryParams: [{ name: 'to', value: 'b' }] },
          { method: 'DELETE' },
        ],
        backendRefs: [{ name: 'b', port: 80 }],
      },
      { backendRefs: [{ name: 'a', port: 80 }] },
    ],
  }),
  gatewayApi('HTTPRoute', ns, 'weights', {
    parentRefs,
    hostnames: ['route-weights.test'],
    rules: [
      {
        backendRefs: [
          { name: 'a', port: 80, weight: 3 },
          { name: 'b', port: 80, weight: 1 },
        ],
      },
    ],
  }),
  gatewayApi('HTTPRoute', ns, 'filters', {
    parentRefs,
    hostnames: ['route-filters.test'],
    rules: [
      {
        matches: [{ path: { type: 'PathPrefix', value: '/api' } }],
        filters: [
          {
            type: 'URLRewrite',
            urlRewrite: { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/' } },
          },
          {
            type: 'RequestHeaderModifier',
            requestHeaderModifier: { set: [{ name: 'x-set', value: 'yes' }], remove: ['x-drop'] },
          },
        ],
        backendRefs: [{ name: 'a', port: 80 }],
      },
      {
        matches: [{ path: { type: 'PathPrefix', value: '/old' } }],
        filters: [
          { type: 'RequestRedirect', requestRedirect: { hostname: 'other.test', statusCode: 301 } },
        ],
      },
      {
        matches: [{ path: { type: 'PathPrefix', value: '/absent' } }],
        backendRefs: [{ name: 'nobody', port: 80 }],
      },
      {
        matches: [{ path: { type: 'PathPrefix', value: '/elsewhere' } }],
        backendRefs: [{ name: 'a', namespace: 'private', port: 80 }],
      },
    ],
  }),
];

async function writeConfig(): Promise<void> {
  const http = (name: string, namespace = ns): readonly Record<string, unknown>[] =>
    service({ name, namespace, port: 80, workloads: [{ port: backend(name).port }] });
  const grpc = { name: 'g', namespace: ns, port: 80, portName: 'grpc' };
  await config.write(
    'services',
    ...names.flatMap((name) => http(name)),
    ...http('a', 'private'),
    ...service({ ...grpc, workloads: [{ port: backend('g').port }] }),
  );
  await config.write('gateways', ...protocols.flatMap(gatewaysFor), {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'GatewayClass',
    metadata: { name: 'watershed' },
    spec: { controllerName: 'watershed.dev/gateway-controller' },
  });
  await config.write('secret', tlsSecret(ns, 'edge-cert', certificate('first')));
  await config.write('api-secret', tlsSecret(ns, 'api-cert', certificate('api')));
  await config.write('routes', ...virtualServices, ...httpRoutes);
}

beforeAll(async () => {
  for (const name of names) backends.set(name, await startBackend({ name }));
  backends.set('g', await startHttp2Backend({ name: 'g' }));
  for (const protocol of protocols) {
    const [http, https] = [await freePort(), await freePort()];
    const [api, apiTls] = [await freePort(), await freePort()];
    ports.set(protocol, { http, https, api, apiTls });
  }
  config = await ConfigDir.create();
  await writeConfig();
  plane = await ControlPlane.start({ configDir: config.path });
  for (const protocol of protocols) {
    const labels = { 'gateway.networking.k8s.io/gateway-name': `api-${protocol}` };
    const edge = { namespace: ns, xds: plane.xds, labels };
    proxies.set(protocol, await startEdge(protocol, edge));
  }
});

afterAll(async () => {
  for (const proxy of proxies.values()) await proxy.stop();
  await plane?.delete();
  await config?.delete();
  for (const running of backends.values()) await running.stop();
});

test('the control plane has no diagnostic about what it was given', async () => {
  const found = (await plane.json('/debug/diagnosticz')) as readonly { severity: string }[];
  const expected = /nobody|private/u;
  expect(found.filter((one) => !expected.test(JSON.stringify(one)))).toEqual([]);
});

describe.each(protocols)('a gateway over %s', (protocol) => {
  const get = (options: Omit<Ask, 'port'>): Promise<Answer> =>
    ask({ port: portsOf(protocol).http, ...options });
  const getApi = (options: Omit<Ask, 'port'>): Promise<Answer> =>
    ask({ port: portsOf(protocol).api, ...options });
  const answered = async (options: Omit<Ask, 'port'>): Promise<string> =>
    echoOf(await get(options)).name;

  test.each([
    ['a request that matches nothing special goes on', {}, 'a'],
    ['by header', { headers: { 'x-user': 'jane' } }, 'b'],
    ['not by another value of the header', { headers: { 'x-user': 'joe' } }, 'a'],
    ['by prefix', { path: '/b/1' }, 'b'],
    ['by exact path', { path: '/b' }, 'b'],
    ['not by the start of a longer segment', { path: '/bb' }, 'a'],
    ['by regular expression', { path: '/v12/x' }, 'b'],
    ['not by a part of one', { path: '/v12/xy' }, 'a'],
    ['by query', { path: '/?to=b' }, 'b'],
    ['by method', { method: 'DELETE' }, 'b'],
  ])('routes %s', async (_title, options: Omit<Ask, 'port'>, name) => {
    expect(await answered({ authority: 'match.test', ...options })).toBe(name);
  });

  test('answers by itself where no other rule holds', async () => {
    const answer = await get({ authority: 'match.test', headers: { 'x-stay': '1' } });
    expect(answer).toMatchObject({ status: 299, body: 'stayed' });
  });

  test('answers 404 for a host that nobody routes', async () => {
    expect(await get({ authority: 'unknown.test' })).toMatchObject({ status: 404 });
  });

  test('takes HTTP/2 and speaks HTTP/1.1 to a backend that is http', async () => {
    const { http } = portsOf(protocol);
    const answer = await askHttp2({ port: http, authority: 'match.test', path: '/two' });
    expect(echoOf(answer)).toMatchObject({ name: 'a', protocol: 'HTTP/1.1', path: '/two' });
  });

  test('carries gRPC with its trailers, and HTTP/2 to a backend whose port is grpc', async () => {
    const { http } = portsOf(protocol);
    const call = { port: http, authority: 'grpc.test', path: '/shop.Pay/Pay', grpc: true };
    const answer = await askHttp2({ ...call, body: 'hello' });
    expect(answer).toMatchObject({ status: 200, grpcStatus: '0' });
    expect(echoOf(answer)).toMatchObject({ name: 'g', protocol: 'HTTP/2.0', body: 'hello' });
    const failed = await askHttp2({ ...call, headers: { 'x-grpc-status': '7' } });
    expect(failed.grpcStatus).toBe('7');
  });

  test('divides 2,000 requests by weight, within 3 points', async () => {
    const { http } = portsOf(protocol);
    const to = { port: http, authority: 'weights.test' };
    const share = { count: 2_000, wanted: 20, within: 3 };
    expect(await offBy('b', share, (count) => spread(count, to))).toBeLessThan(3);
  });

  test('tries again as often as it was told', async () => {
    const before = backend('a').requests;
    const answer = await get({ authority: 'retry.test', path: '/?status=503' });
    expect(answer.status).toBe(503);
    expect(backend('a').requests - before).toBe(3);
  });

  test('ends a request that takes too long with 504', async () => {
    const answer = await get({ authority: 'timeout.test', path: '/?delay_ms=5000' });
    expect(answer.status).toBe(504);
    expect(echoOf(await get({ authority: 'timeout.test' })).name).toBe('a');
  });

  test('injects the faults that it was told', async () => {
    expect(await get({ authority: 'fault.test', path: '/abort' })).toMatchObject({ status: 418 });
    const startedAt = performance.now();
    expect(await answered({ authority: 'fault.test', path: '/slow' })).toBe('a');
    expect(performance.now() - startedAt).toBeGreaterThan(390);
  });

  test('mirrors requests, and answers without waiting for the copy', async () => {
    const before = backend('mirror').requests;
    const path = '/?seen=1';
    expect(await answered({ authority: 'mirror.test', path })).toBe('a');
    await until('the copy arrives', () => backend('mirror').requests === before + 1);
  });

  test('redirects, rewrites and changes headers', async () => {
    const moved = await get({ authority: 'change.test', path: '/old/x' });
    expect(moved).toMatchObject({
      status: 301,
      headers: { location: 'http://other.test/new' },
    });
    const answer = await get({
      authority: 'change.test',
      path: '/api/items',
      headers: { 'x-drop': '1' },
    });
    expect(answer.headers['x-back']).toBe('here');
    expect(echoOf(answer)).toMatchObject({ path: '/items', authority: 'inner.test' });
    expect(echoOf(answer).headers).toMatchObject({ 'x-set': 'yes' });
    expect(echoOf(answer).headers).not.toHaveProperty('x-drop');
  });

  test('ends TLS with the certificate of a Secret, sent by SDS, and follows its renewal', async () => {
    const options = { port: portsOf(protocol).https, host: 'tls.test', ca: authority.certificate };
    const commonName = protocol === 'sotw' ? 'second' : 'third';
    expect(echoOf(await askTls(options)).name).toBe('a');
    await config.write('secret', tlsSecret(ns, 'edge-cert', certificate(commonName)));
    await until('the new certificate is served', async () => {
      return (await askTls(options)).commonName === commonName;
    });
  });

  test("a Gateway API listener ends TLS with its Secret's certificate", async () => {
    const port = portsOf(protocol).apiTls;
    const answer = await askTls({ port, host: 'api-tls.test', ca: authority.certificate });
    expect(echoOf(answer).name).toBe('a');
    expect(answer.commonName).toBe('api');
    // No other name is served there.
    await expect(askTls({ port, host: 'tls.test', ca: authority.certificate })).rejects.toThrow();
  });

  test.each([
    ['what matches nothing special', {}, 'a'],
    ['by prefix', { path: '/b/x' }, 'b'],
    ['by whole segments of a prefix only', { path: '/bx' }, 'a'],
    ['by header', { headers: { 'x-user': 'jane' } }, 'b'],
    ['by query', { path: '/?to=b' }, 'b'],
    ['by method', { method: 'DELETE' }, 'b'],
  ])('an HTTPRoute takes %s', async (_title, options: Omit<Ask, 'port'>, name) => {
    expect(echoOf(await getApi({ authority: 'route.test', ...options })).name).toBe(name);
  });

  test('an HTTPRoute divides 2,000 requests by weight, within 3 points', async () => {
    const { api } = portsOf(protocol);
    const to = { port: api, authority: 'route-weights.test' };
    const share = { count: 2_000, wanted: 25, within: 3 };
    expect(await offBy('b', share, (count) => spread(count, to))).toBeLessThan(3);
  });

  test("an HTTPRoute's filters rewrite, set headers and redirect", async () => {
    const rewritten = echoOf(
      await getApi({
        authority: 'route-filters.test',
        path: '/api/items',
        headers: { 'x-drop': '1' },
      }),
    );
    expect(rewritten).toMatchObject({ path: '/items', headers: { 'x-set': 'yes' } });
    expect(rewritten.headers).not.toHaveProperty('x-drop');
    const moved = await getApi({ authority: 'route-filters.test', path: '/old/x' });
    expect(moved.status).toBe(301);
    expect(moved.headers['location']).toMatch(/^http:\/\/other\.test(:\d+)?\/old\/x$/u);
  });

  test.each(['/absent', '/elsewhere'])(
    'a backend that is absent or not granted (%s) is answered with 500',
    async (path) => {
      const answer = await getApi({ authority: 'route-filters.test', path });
      expect(answer.status).toBe(500);
    },
  );

  test('nothing was refused, and nothing that was sent is deprecated', async () => {
    const proxy = proxies.get(protocol);
    if (proxy === undefined) throw new Error('no proxy');
    expect(await rejections(proxy)).toBe(0);
    expect(await configWarnings(proxy)).toEqual([]);
  });
});
