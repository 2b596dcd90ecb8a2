/** A gateway's own tables, in a real Envoy, asked for what is easily got wrong. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { resourceTypes } from '@watershed/proto/any.ts';
import { anyToJson } from '@watershed/proto/registry.ts';
import { startBackend, type Backend } from '../../../../test/components/backends.ts';
import { ask, echoOf, type Ask } from '../../../../test/components/clients.ts';
import { startTestEnvoy, type TestEnvoy } from '../../../../test/components/envoy.ts';
import { scopeOf, World, type Given } from './support/world.ts';

type Json = Record<string, unknown>;

const ports = [80, 8080];
const backendHost = 'web.shop.svc.cluster.local';
const to = { host: backendHost, port: 80, weight: 1 };
const forward = { backends: [to] };
const respond = (status: number): Json => ({ directResponse: { status } });
const prefix = (pathPrefix: string): Json => ({ path: { pathPrefix } });

let envoy: TestEnvoy | undefined;
let backend: Backend | undefined;
const listening = new Map<number, number>();

function route(
  id: string,
  hosts: readonly string[],
  rules: readonly Json[],
  fields: Json = {},
): Given {
  const parents = [{ gateway: { namespace: 'edge', name: 'one' } }];
  const value = { hosts, parents, rules, exportTo: ['*'], bySpecificity: true, ...fields };
  return { kind: 'route', namespace: 'shop', name: id, value };
}

const given: readonly Given[] = [
  {
    kind: 'service',
    namespace: 'shop',
    name: 'web',
    value: {
      host: backendHost,
      namespace: 'shop',
      name: 'web',
      exportTo: ['*'],
      ports: [{ number: 80, name: 'http', protocol: 'PROTOCOL_HTTP' }],
    },
  },
  {
    kind: 'gateway',
    namespace: 'edge',
    name: 'one',
    value: {
      selector: { app: 'edge' },
      listeners: ports.map((port) => ({
        name: `p${port}`,
        port,
        protocol: 'PROTOCOL_HTTP',
        hosts: [{ namespace: '*', host: '*' }],
      })),
    },
  },
  route(
    'order',
    ['order.test'],
    [
      { matches: [prefix('/')], ...respond(210) },
      { matches: [prefix('/a')], ...respond(211) },
      { matches: [{ ...prefix('/a'), headers: [header('x-a', '1')] }], ...respond(212) },
      { matches: [{ path: { exact: '/a' } }], ...respond(213) },
      { matches: [prefix('/a/long')], ...respond(214) },
      { matches: [{ ...prefix('/a'), method: { exact: 'PUT' } }], ...respond(215) },
    ],
  ),
  route('order-younger', ['order.test'], [{ matches: [prefix('/a')], ...respond(299) }], {
    createdMs: 9,
  }),
  route(
    'paths',
    ['paths.test'],
    [
      { matches: [prefix('/one')], forward, rewrite: { prefix: '/two' } },
      { matches: [prefix('/slash/')], forward, rewrite: { prefix: '/two/' } },
      { matches: [prefix('/strip.me')], forward, rewrite: { prefix: '/' } },
      {
        matches: [prefix('/full')],
        forward,
        rewrite: { path: '/whole\\1', authority: 'inner.test' },
      },
      { matches: [prefix('/moved')], redirect: { prefix: '/to', code: 302 } },
      { matches: [prefix('/bare')], redirect: { prefix: '/', code: 301 } },
      {
        matches: [prefix('/secure')],
        redirect: { scheme: 'https', portFromProtocol: true, code: 301 },
      },
      { matches: [prefix('/port')], redirect: { port: 8443, host: 'other.test', code: 308 } },
    ],
  ),
  route('root', ['root.test'], [{ matches: [prefix('/')], forward, rewrite: { prefix: '/sub' } }]),
  route(
    'missing',
    ['missing.test'],
    [
      { matches: [prefix('/invalid')], forward: { backends: [{ weight: 1, invalid: 'absent' }] } },
      { matches: [prefix('/zero')], forward: { backends: [{ ...to, weight: 0 }] } },
      {
        matches: [prefix('/unknown')],
        forward: { backends: [{ host: 'nobody.test', weight: 1 }] },
      },
    ],
  ),
  route('wild', ['*.wild.test'], [respond(220)]),
  route('wild-exact', ['one.wild.test'], [respond(221)]),
  route(
    'headers',
    ['headers.test'],
    [
      {
        matches: [{ headers: [{ ...header('x-no', 'no'), invert: true }, header('x-yes', 'yes')] }],
        forward: { backends: [{ ...to, requestHeaders: { add: { 'x-in': 'backend' } } }] },
        requestHeaders: { set: { 'x-in': 'rule' }, remove: ['x-drop'] },
        responseHeaders: { set: { 'x-out': 'rule' } },
      },
    ],
  ),
  route(
    'istio',
    ['istio.test'],
    [
      { matches: [{ path: { prefix: '/api/' } }], forward, rewrite: { prefix: '/' } },
      { matches: [{ path: { regex: '/v(\\d+)/.*' } }], forward, rewrite: { prefix: '/whole' } },
      { matches: [{ path: { prefix: '/MiXed' }, ignorePathCase: true }], ...respond(230) },
      { ...respond(231) },
    ],
    { bySpecificity: false },
  ),
];

function header(name: string, exact: string): Json {
  return { name, value: { exact } };
}

/** The tables as the listeners of a bootstrap have them. */
function bootstrap(world: World, target: number): Json {
  const scope = scopeOf({ namespace: 'edge', type: 'PROXY_TYPE_ROUTER', labels: { app: 'edge' } });
  const { resources } = world.look(scope);
  const listeners = resources
    .filter(({ key }) => key.typeUrl === resourceTypes.listener)
    .map(({ key, bytes }) => anyToJson({ typeUrl: key.typeUrl, value: bytes }) as Json);
  const tables = new Map(
    resources
      .filter(({ key }) => key.typeUrl === resourceTypes.route)
      .map(({ key, bytes }) => {
        const { '@type': _type, ...table } = anyToJson({
          typeUrl: key.typeUrl,
          value: bytes,
        }) as Json;
        return [key.name, table] as const;
      }),
  );
  const address = { socketAddress: { address: '127.0.0.1', portValue: target } };
  const name = `outbound|80||${backendHost}`;
  const cluster = {
    name,
    type: 'STATIC',
    loadAssignment: {
      clusterName: name,
      endpoints: [{ lbEndpoints: [{ endpoint: { address } }] }],
    },
  };
  const text = JSON.stringify(listeners.map(onFreePort), (key, value: unknown) =>
    key === 'rds' ? undefined : value,
  );
  const inlined: unknown = JSON.parse(text, function (this: Json, key, value: unknown) {
    if (key !== 'statPrefix') return value;
    const port = /_(\d+);$/.exec(String(value))?.[1] ?? '';
    this['routeConfig'] = tables.get(`http.${port}`);
    return value;
  });
  return { staticResources: { listeners: inlined, clusters: [cluster] } };
}

function onFreePort({ '@type': _type, ...listener }: Json): Json {
  const address = { socketAddress: { address: '127.0.0.1', portValue: 0 } };
  return { ...listener, address };
}

beforeAll(async () => {
  backend = await startBackend({ name: 'web' });
  const world = new World();
  world.give(...given);
  envoy = await startTestEnvoy({ bootstrap: bootstrap(world, backend.port) });
  await envoy.envoy.waitReady();
  const listeners = await envoy.envoy.admin.listeners();
  for (const port of ports) {
    listening.set(port, Number(listeners.get(`0.0.0.0_${port}`)?.split(':').at(-1)));
  }
});

afterAll(async () => {
  await envoy?.stop();
  await backend?.stop();
});

function request(authority: string, path: string, more: Partial<Ask> = {}, port = 80) {
  return ask({ port: listening.get(port) ?? 0, authority, path, ...more });
}

test.each([
  ['/', {}, 210],
  ['/ab', {}, 210],
  ['/a', {}, 213],
  ['/a/', {}, 211],
  ['/a/b', {}, 211],
  ['/a/b', { headers: { 'x-a': '1' } }, 212],
  ['/a/b', { headers: { 'x-a': '1' }, method: 'PUT' }, 215],
  ['/a/longer', {}, 211],
  ['/a/long/er', { method: 'PUT' }, 214],
] as const)('%s %j is answered by the rule that asks for most', async (path, more, status) => {
  expect((await request('order.test', path, more)).status).toBe(status);
});

test.each([
  ['paths.test', '/one', '/two'],
  ['paths.test', '/one/', '/two/'],
  ['paths.test', '/one/x?q=1', '/two/x?q=1'],
  ['paths.test', '/slash', '/two'],
  ['paths.test', '/slash/x', '/two/x'],
  ['paths.test', '/strip.me', '/'],
  ['paths.test', '/strip.me?q=1', '/?q=1'],
  ['paths.test', '/strip.me/x/y', '/x/y'],
  ['paths.test', '/full/x?q=1', '/whole\\1?q=1'],
  ['root.test', '/', '/sub/'],
  ['root.test', '/x?q=1', '/sub/x?q=1'],
  ['istio.test', '/api/x', '/x'],
  ['istio.test', '/v12/x', '/whole'],
])('%s%s comes to the backend as %s', async (authority, path, wanted) => {
  expect(echoOf(await request(authority, path)).path).toBe(wanted);
});

test.each([
  [80, '/moved/x?q=1', 302, 'http://paths.test/to/x?q=1'],
  [8080, '/moved', 302, 'http://paths.test:8080/to'],
  [80, '/bare/x', 301, 'http://paths.test/x'],
  [80, '/bare', 301, 'http://paths.test/'],
  [80, '/secure/x', 301, 'https://paths.test/secure/x'],
  [80, '/port/x', 308, 'http://other.test:8443/port/x'],
] as const)('port %d %s is redirected with %d to %s', async (port, path, status, location) => {
  const answer = await request('paths.test', path, {}, port);
  expect({ status: answer.status, location: answer.headers['location'] }).toEqual({
    status,
    location,
  });
});

test.each(['/invalid', '/zero', '/unknown'])(
  'what cannot be reached at %s is 500',
  async (path) => {
    expect((await request('missing.test', path)).status).toBe(500);
  },
);

test.each([
  ['one.wild.test', 221],
  ['two.wild.test', 220],
  ['a.b.wild.test', 220],
  ['one.wild.test:8080', 221],
  ['wild.test', 404],
  ['order.test.', 404],
])('requests for %s get %d', async (authority, status) => {
  expect((await request(authority, '/')).status).toBe(status);
});

test('a host is rewritten for the backend', async () => {
  expect(echoOf(await request('paths.test', '/full')).authority).toBe('inner.test');
});

test('a backend’s headers are added to the rule’s; a header that is not wanted may be missing', async () => {
  const headers = { 'x-yes': 'yes', 'x-drop': 'gone', 'x-in': 'client' };
  const answer = await request('headers.test', '/', { headers });
  const echo = echoOf(answer);
  expect(echo.headers['x-in']).toBe('rule, backend');
  expect(echo.headers['x-drop']).toBeUndefined();
  expect(answer.headers['x-out']).toBe('rule');
  const refused = { ...headers, 'x-no': 'no' };
  expect((await request('headers.test', '/', { headers: refused })).status).toBe(404);
});

test('paths may be compared without case', async () => {
  expect((await request('istio.test', '/mixED/x')).status).toBe(230);
  expect((await request('istio.test', '/other')).status).toBe(231);
});
