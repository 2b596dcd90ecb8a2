import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Backend } from '../components/backends.ts';
import { makeAuthority } from '../components/certificates.ts';
import { answeredBy, ask } from '../components/clients.ts';
import type { TestEnvoy } from '../components/envoy.ts';
import { startServed } from './harness/backends.ts';
import { ConfigDir } from './harness/config-dir.ts';
import { ControlPlane } from './harness/control-plane.ts';
import { httpGateway, routeTo } from './harness/objects.ts';
import { freePort } from 'xdsctl/components/ports.ts';
import { rejections, startProxy } from './harness/proxy.ts';

const ns = 'edge';
/** An interval with what Envoy adds to it, the time-out, and a reconnect. */
const leftMs = 15_000 * 1.15 + 10_000 + 5_000;
const edges = ['ads', 'apart', 'secure-ads', 'secure-apart'] as const;
type Edge = (typeof edges)[number];

let backends: readonly Backend[] = [];
/** One of each pair has all streams of its kind, by the ring. */
const pairs: { readonly plain: ControlPlane[]; readonly secure: ControlPlane[] } = {
  plain: [],
  secure: [],
};
const ports = new Map<Edge, number>();
const envoys: TestEnvoy[] = [];
let certificates: string;
let config: ConfigDir;

function route(to: string): ReturnType<typeof routeTo> {
  return routeTo({
    namespace: ns,
    name: 'shop',
    host: 'shop.test',
    gateways: [...edges],
    to: { host: to },
  });
}

async function served(edge: Edge): Promise<string> {
  return answeredBy(await ask({ port: ports.get(edge) ?? 0, authority: 'shop.test' }));
}

async function streamsOf(plane: ControlPlane): Promise<number> {
  return (await plane.metrics()).sum('watershed_streams');
}

/** As istio's agent keeps them, for both sides. */
async function writeCertificates(): Promise<void> {
  const mesh = makeAuthority('mesh roots');
  const names = ['127.0.0.1', `spiffe://cluster.local/ns/${ns}/sa/gateway`];
  const { certificate, key } = mesh.issue({ commonName: 'both', names });
  await writeFile(join(certificates, 'cert-chain.pem'), certificate);
  await writeFile(join(certificates, 'key.pem'), key);
  await writeFile(join(certificates, 'root-cert.pem'), mesh.certificate);
}

async function startEdge(edge: Edge): Promise<void> {
  const isSecure = edge.startsWith('secure');
  const addresses = isSecure
    ? pairs.secure.map(({ secureXds }) => secureXds)
    : pairs.plain.map(({ xds }) => xds);
  const [first, second] = addresses;
  if (first === undefined || second === undefined) throw new Error('two are started');
  const isApart = edge.endsWith('apart');
  const envoy = await startProxy({
    ...{ type: 'router', workload: `${edge}.${ns}`, labels: { edge }, xds: first },
    protocol: isApart ? 'sotw' : 'delta',
    ...(isSecure ? { certDir: certificates } : {}),
    flags: [
      ...['--xds-address', `${second.host}:${second.port}`],
      ...(isApart ? ['--separate-streams'] : []),
      ...(isSecure ? ['--tls'] : []),
    ],
  });
  envoys.push(envoy);
}

beforeAll(async () => {
  certificates = await mkdtemp(join(tmpdir(), 'watershed-failover-'));
  await writeCertificates();
  config = await ConfigDir.create();
  backends = await startServed(['one', 'other'], { config, namespace: ns });
  await config.write('route', route('one'));
  for (const edge of edges) {
    ports.set(edge, await freePort());
    await config.write(edge, httpGateway(ns, edge, { edge }, ports.get(edge) ?? 0));
  }
  const at = (file: string): string => join(certificates, file);
  const args = [
    ...['--secureGRPCAddr', '127.0.0.1:0', '--caCertFile', at('root-cert.pem')],
    ...['--tlsCertFile', at('cert-chain.pem'), '--tlsKeyFile', at('key.pem')],
  ];
  for (const _ of [1, 2]) {
    pairs.plain.push(await ControlPlane.start({ configDir: config.path }));
    pairs.secure.push(await ControlPlane.start({ configDir: config.path, args }));
  }
  for (const edge of edges) await startEdge(edge);
});

afterAll(async () => {
  for (const envoy of envoys) await envoy.stop();
  for (const plane of [...pairs.plain, ...pairs.secure]) {
    plane.resume();
    await plane.delete();
  }
  await config.delete();
  for (const backend of backends) await backend.stop();
  await rm(certificates, { recursive: true, force: true });
});

test('Envoys leave a pusher that hangs, though its kernel answers for it, with TLS as without', async () => {
  for (const edge of edges) expect(await served(edge)).toBe('one');
  for (const planes of Object.values(pairs)) {
    const counts = await Promise.all(planes.map(streamsOf));
    expect(counts.filter((count) => count > 0)).toHaveLength(1);
    planes.find((_, at) => (counts[at] ?? 0) > 0)?.pause();
  }
  await config.write('route', route('other'));
  await Promise.all(
    edges.map(async (edge, at) => {
      const isServed = async (): Promise<boolean> => (await served(edge)) === 'other';
      await envoys[at]?.envoy.waitFor('the other pusher', isServed, 2 * leftMs);
    }),
  );
  for (const envoy of envoys) expect(await rejections(envoy)).toBe(0);
});
