import { afterAll, beforeAll, expect, test } from 'vitest';
import { startBackend, startHttp2Backend, type Backend } from './backends.ts';
import { ask, askHttp2, echoOf } from './clients.ts';
import { startTestEnvoy, validateWithEnvoy, type TestEnvoy } from './envoy.ts';

interface Upstream {
  readonly name: string;
  readonly port: number;
  readonly http2: boolean;
}

function cluster({ name, port, http2 }: Upstream): object {
  const address = { socket_address: { address: '127.0.0.1', port_value: port } };
  const protocol = {
    '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
    explicit_http_config: http2 ? { http2_protocol_options: {} } : { http_protocol_options: {} },
  };
  return {
    name,
    type: 'STATIC',
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': protocol,
    },
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }],
    },
  };
}

function bootstrapOf(upstreams: readonly Upstream[]): object {
  const routes = upstreams.map(({ name }) => ({
    match: { prefix: `/${name}` },
    route: { cluster: name, prefix_rewrite: '/' },
  }));
  const manager = {
    '@type':
      'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    stat_prefix: 'ingress',
    route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes }] },
    http_filters: [
      {
        name: 'router',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router',
        },
      },
    ],
  };
  const listener = {
    name: 'ingress',
    address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
    filter_chains: [{ filters: [{ name: 'http', typed_config: manager }] }],
  };
  return { static_resources: { listeners: [listener], clusters: upstreams.map(cluster) } };
}

const backends: Backend[] = [];
let running: TestEnvoy;
let port = 0;

beforeAll(async () => {
  backends.push(await startBackend({ name: 'one' }), await startHttp2Backend({ name: 'two' }));
  const upstreams = backends.map(({ name, port: at }) => ({
    name,
    port: at,
    http2: name === 'two',
  }));
  running = await startTestEnvoy({ bootstrap: bootstrapOf(upstreams) });
  await running.envoy.waitReady();
  const listeners = await running.envoy.admin.listeners();
  port = Number(listeners.get('ingress')?.split(':').at(-1));
});

afterAll(async () => {
  await running?.stop();
  await Promise.all(backends.map((backend) => backend.stop()));
});

test('a fetched Envoy routes HTTP/1.1 to the backend that says its name, path and headers', async () => {
  const answer = await ask({
    port,
    path: '/one?status=201',
    authority: 'shop.example',
    headers: { 'x-test': 'yes' },
  });
  expect(answer.status).toBe(201);
  const echo = echoOf(answer);
  expect(echo).toMatchObject({ name: 'one', protocol: 'HTTP/1.1', authority: 'shop.example' });
  expect(echo.headers['x-test']).toBe('yes');
});

test('a fetched Envoy routes HTTP/2 and gRPC to the same backend', async () => {
  const plain = echoOf(await askHttp2({ port, path: '/two', authority: 'shop.example' }));
  expect(plain).toMatchObject({ name: 'two', protocol: 'HTTP/2.0', authority: 'shop.example' });
  const call = await askHttp2({ port, path: '/two/Echo/Say', grpc: true, body: 'hello' });
  expect(call.grpcStatus).toBe('0');
  expect(echoOf(call)).toMatchObject({ name: 'two', body: 'hello' });
  const failed = await askHttp2({
    port,
    path: '/two/Echo/Say',
    grpc: true,
    headers: { 'x-grpc-status': '14' },
  });
  expect(failed.grpcStatus).toBe('14');
});

test('the admin interface tells counters, clusters, the configuration and warnings', async () => {
  const { admin } = running.envoy;
  await ask({ port, path: '/one' });
  expect(await admin.stat('http.ingress.downstream_rq_total')).toBeGreaterThan(0);
  expect(await admin.clusters()).toContain('one::');
  expect(JSON.stringify(await admin.configDump())).toContain('"ingress"');
  const warnings = await running.envoy.warnings();
  expect(warnings.filter((line) => /deprecated/iu.test(line))).toEqual([]);
});

test('a deprecated field is among the warnings', async () => {
  const cluster = { name: 'old', type: 'STATIC', http2_protocol_options: {} };
  const bootstrap = { static_resources: { clusters: [cluster] } };
  await using started = await startTestEnvoy({ bootstrap });
  await started.envoy.waitReady();
  expect((await started.envoy.warnings()).join('\n')).toMatch(
    /deprecated.*http2_protocol_options/u,
  );
});

test('a bootstrap that Envoy cannot read fails to start with the end of its log', async () => {
  await expect(startTestEnvoy({ bootstrap: { nonsense: true } })).rejects.toThrow(/nonsense/u);
});

test('a bootstrap is judged without being run', async () => {
  expect(await validateWithEnvoy(bootstrapOf([]))).toMatchObject({ valid: true });
  const judged = await validateWithEnvoy('static_resources: {clusters: [{name: ""}]}');
  expect(judged.valid).toBe(false);
  expect(judged.output).toContain('Name: value length');
});
