import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials } from '@grpc/grpc-js';
import { resourceTypes } from '@watershed/proto/any.ts';
import { exportJWK, SignJWT } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { deltaAds, DeltaClient, node } from '../../services/pusher/test/support/client.ts';
import type { Backend } from '../components/backends.ts';
import { makeAuthority, type Certificate } from '../components/certificates.ts';
import { echoOf } from '../components/clients.ts';
import type { TestEnvoy } from '../components/envoy.ts';
import { startServed } from './harness/backends.ts';
import { ConfigDir, type UserObject } from './harness/config-dir.ts';
import { ControlPlane } from './harness/control-plane.ts';
import { gatewayApi, tlsSecret } from './harness/objects.ts';
import { freePort } from 'xdsctl/components/ports.ts';
import { protocols, rejections, startProxy, type Protocol } from './harness/proxy.ts';
import { SecretsClient } from './harness/secrets-client.ts';
import { askTls } from './harness/tls-client.ts';
import { until } from './harness/wait.ts';

const ns = 'edge';
const issuer = 'https://kubernetes.default.svc.cluster.local';
const mesh = makeAuthority('mesh roots');
const web = makeAuthority('web roots');
const signing = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const ports = new Map<string, number>();
const proxies: TestEnvoy[] = [];
let directory: string;
let config: ConfigDir;
let plane: ControlPlane;
let backends: readonly Backend[] = [];

/** A directory as istio's agent keeps it: `cert-chain.pem`, `key.pem`, `root-cert.pem`. */
async function certificatesOf(namespace: string, account: string): Promise<string> {
  const at = await mkdtemp(join(directory, `${account}-`));
  const names = [`spiffe://cluster.local/ns/${namespace}/sa/${account}`];
  const { certificate, key } = mesh.issue({ commonName: account, names });
  await writeFile(join(at, 'cert-chain.pem'), certificate);
  await writeFile(join(at, 'key.pem'), key);
  await writeFile(join(at, 'root-cert.pem'), mesh.certificate);
  return at;
}

async function writeServer({ certificate, key }: Certificate): Promise<void> {
  for (const [file, text] of [
    ['tls.key', key],
    ['tls.crt', certificate],
  ] as const) {
    await writeFile(join(directory, `${file}.new`), text);
    await rename(join(directory, `${file}.new`), join(directory, file));
  }
}

function serverCertificate(commonName: string): Certificate {
  return mesh.issue({ commonName, names: ['istiod.istio-system.svc', '127.0.0.1'] });
}

/** As kube-apiserver makes them for a Pod. */
async function tokenOf(namespace: string, account: string, pod: string): Promise<string> {
  const file = join(directory, `${pod}.token`);
  const token = new SignJWT({
    'kubernetes.io': { namespace, pod: { name: pod }, serviceaccount: { name: account } },
  })
    .setProtectedHeader({ alg: 'ES256', kid: 'k1' })
    .setIssuer(issuer)
    .setAudience('istio-ca')
    .setSubject(`system:serviceaccount:${namespace}:${account}`)
    .setIssuedAt()
    .setExpirationTime('1h');
  await writeFile(file, await token.sign(signing.privateKey));
  return file;
}

const gateways = protocols.flatMap((protocol) =>
  ['certificate', 'token', 'token-apart'].map((by) => `${by}-${protocol}`),
);

function gateway(name: string): UserObject {
  return gatewayApi('Gateway', ns, name, {
    gatewayClassName: 'watershed',
    listeners: [
      {
        ...{ name: 'https', port: ports.get(name), protocol: 'HTTPS', hostname: 'web.test' },
        tls: { mode: 'Terminate', certificateRefs: [{ name: 'cert', namespace: 'certs' }] },
      },
    ],
  });
}

const grant = {
  apiVersion: 'gateway.networking.k8s.io/v1beta1',
  kind: 'ReferenceGrant',
  metadata: { name: 'edge', namespace: 'certs' },
  spec: {
    from: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', namespace: ns }],
    to: [{ group: '', kind: 'Secret' }],
  },
};

const labelsOf = (name: string): Record<string, string> => ({
  'gateway.networking.k8s.io/gateway-name': name,
});

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'watershed-identity-'));
  config = await ConfigDir.create();
  backends = await startServed(['one'], { config, namespace: ns });
  for (const name of gateways) ports.set(name, await freePort());
  await writeServer(serverCertificate('first'));
  await writeFile(join(directory, 'ca.crt'), mesh.certificate);
  const jwk = { ...(await exportJWK(signing.publicKey)), kid: 'k1' };
  await writeFile(join(directory, 'jwks.json'), JSON.stringify({ keys: [jwk] }));
  const pair = web.issue({ commonName: 'web', names: ['web.test'] });
  await config.write('grant', grant);
  await config.write(
    'edge',
    {
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'GatewayClass',
      metadata: { name: 'watershed' },
      spec: { controllerName: 'watershed.dev/gateway-controller' },
    },
    tlsSecret('certs', 'cert', pair),
    ...gateways.map(gateway),
    gatewayApi('HTTPRoute', ns, 'one', {
      parentRefs: gateways.map((name) => ({ name })),
      rules: [{ backendRefs: [{ name: 'one', port: 80 }] }],
    }),
  );
  const at = (file: string): string => join(directory, file);
  plane = await ControlPlane.start({
    configDir: config.path,
    args: [
      ...['--secureGRPCAddr', '127.0.0.1:0', '--caCertFile', at('ca.crt')],
      ...['--tlsCertFile', at('tls.crt'), '--tlsKeyFile', at('tls.key')],
      ...['--jwtIssuer', issuer, '--jwtKeys', at('jwks.json')],
    ],
  });
});

afterAll(async () => {
  for (const proxy of proxies) await proxy.stop();
  await plane?.delete();
  await config?.delete();
  for (const backend of backends) await backend.stop();
  await rm(directory, { recursive: true, force: true });
});

async function start(options: {
  readonly name: string;
  readonly protocol: Protocol;
  readonly certDir?: string;
  readonly flags: readonly string[];
  readonly waitReady?: boolean;
}): Promise<TestEnvoy> {
  const proxy = await startProxy({
    ...{ type: 'router', workload: `${options.name}.${ns}`, xds: plane.secureXds },
    labels: labelsOf(options.name),
    ...options,
  });
  proxies.push(proxy);
  return proxy;
}

async function served(name: string): Promise<string> {
  const port = ports.get(name) ?? 0;
  return echoOf(await askTls({ port, host: 'web.test', ca: web.certificate })).name;
}

test.each(protocols)(
  'an Envoy with a certificate of its account gets its configuration and its secrets over mutual TLS (%s)',
  async (protocol) => {
    const name = `certificate-${protocol}`;
    const proxy = await start({
      ...{ name, protocol, certDir: await certificatesOf(ns, 'gateway') },
      flags: ['--tls', '--server-name', 'istiod.istio-system.svc'],
    });
    expect(await until('it serves', () => served(name))).toBe('one');
    expect(await rejections(proxy)).toBe(0);
  },
);

test.each(
  protocols.flatMap((protocol) => [
    { by: 'token', protocol, more: [] },
    { by: 'token-apart', protocol, more: ['--separate-streams'] },
  ]),
)(
  'an Envoy with a token of its Pod gets its configuration and its secrets over TLS ($by, $protocol)',
  async ({ by, protocol, more }) => {
    const name = `${by}-${protocol}`;
    const token = await tokenOf(ns, 'gateway', name);
    await start({
      ...{ name, protocol },
      flags: ['--token-file', token, '--root-cert', join(directory, 'ca.crt'), ...more],
    });
    expect(await until('it serves', () => served(name))).toBe('one');
  },
);

test('a token that its file gets later is sent with the next stream', async () => {
  const file = join(directory, 'later.token');
  await writeFile(file, 'expired');
  const proxy = await start({
    ...{ name: 'token-delta', protocol: 'delta', waitReady: false },
    flags: ['--token-file', file, '--root-cert', join(directory, 'ca.crt')],
  });
  await until('the refusal is counted', async () => {
    const metrics = await plane.metrics();
    return metrics.sum('watershed_xds_refusals_total', { reason: 'unauthenticated' }) > 0;
  });
  await rename(await tokenOf(ns, 'gateway', 'token-delta'), file);
  await proxy.envoy.waitReady();
});

test('an Envoy with a certificate of another namespace gets nothing, and that is told', async () => {
  const [name = ''] = gateways;
  const proxy = await start({
    ...{ name, protocol: 'delta', certDir: await certificatesOf('bank', 'gateway') },
    ...{ flags: ['--tls'], waitReady: false },
  });
  await until('the refusal is counted', async () => {
    const metrics = await plane.metrics();
    return metrics.sum('watershed_xds_refusals_total', { reason: 'denied' }) > 0;
  });
  expect(await plane.log()).toMatch(/claims to be.*bank\/gateway.*a client was refused/u);
  await until("Envoy's own log tells", async () => {
    return (await proxy.envoy.warnings()).some((line) => line.includes('bank/gateway'));
  });
  const updates = await proxy.envoy.admin.stats('cluster_manager.cds.update_success$');
  expect([...updates.values()]).toEqual([0]);
});

test('new certificates of the control plane are shown while its streams go on', async () => {
  const streams = async (): Promise<number> => (await plane.metrics()).sum('watershed_streams');
  const before = await streams();
  await writeServer(serverCertificate('second'));
  await until('they were read', async () => (await plane.log()).includes('were read again'));
  const shown = await SecretsClient.shownCertificate(plane.secureXds.port, mesh.certificate);
  expect(shown).toBe('second');
  expect(await streams()).toBe(before);
});

test('a secret leaves a live stream in one push when its ReferenceGrant goes, and Envoy closes its port', async () => {
  const [name = ''] = gateways;
  const secret = 'kubernetes://certs/cert';
  const client = new SecretsClient({
    port: plane.secureXds.port,
    roots: mesh.certificate,
    ...mesh.issue({ commonName: 'x', names: [`spiffe://cluster.local/ns/${ns}/sa/gateway`] }),
    node: {
      id: `router~127.0.0.1~${name}.${ns}~${ns}.svc.cluster.local`,
      metadata: { LABELS: labelsOf(name) },
    },
  });
  client.subscribe(secret);
  const first = await until('the secret', () => client.responses[0]);
  expect(first.resources.map((one) => one.name)).toEqual([secret]);
  await config.remove('grant');
  const second = await until('its removal', () => client.responses[1]);
  expect([second.resources, second.removedResources]).toEqual([[], [secret]]);
  for (const gatewayName of gateways) {
    await until('the port is closed', async () => {
      try {
        await served(gatewayName);
        return false;
      } catch {
        return true;
      }
    });
  }
  expect(client.responses).toHaveLength(2);
  for (const proxy of proxies) expect(await rejections(proxy)).toBe(0);
  client.close();
  expect(await plane.log()).not.toContain('PRIVATE KEY');
});

test('what one proxy refused is sent to whoever connects, after a restart on the same data too', async () => {
  const cluster = `outbound|80||one.${ns}.svc.cluster.local`;
  const certDir = await certificatesOf(ns, 'refuses');
  const [roots, key, chain] = await Promise.all(
    ['root-cert.pem', 'key.pem', 'cert-chain.pem'].map((file) => readFile(join(certDir, file))),
  );
  const clients: DeltaClient[] = [];
  /** Whether it is sent the cluster, which it then refuses if it is to. */
  const isSent = async (pod: string, refuses = false): Promise<boolean> => {
    const by = credentials.createSsl(roots, key, chain);
    const of = node(`sidecar~10.0.0.1~${pod}.${ns}~${ns}.svc.cluster.local`);
    const client = new DeltaClient(plane.secureXds.port, of, deltaAds, by);
    clients.push(client);
    client.request(resourceTypes.cluster, { resourceNamesSubscribe: [cluster] });
    const seen = await client.next();
    if (refuses) client.nack(seen, `cannot bind ${cluster}: Address already in use`);
    else client.ack(seen);
    expect(await client.quiet(500)).toBe(true);
    return seen.resources.some(({ name }) => name === cluster);
  };
  expect(await isSent('web-1', true)).toBe(true);
  expect(await isSent('web-1', true)).toBe(true);
  // While it is connected, so that nobody takes back what was told of it.
  await plane.kill();
  await plane.start();
  for (const pod of ['web-1', 'web-2']) expect(await isSent(pod)).toBe(true);
  for (const client of clients) client.close();
});
