/**
 * A mesh of one service and two stock Envoys, with a control plane that serves xDS over TLS as
 * well: enough to ask what proxies have.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from 'xdsctl/components/ports.ts';
import { makeAuthority } from '../../components/certificates.ts';
import type { TestEnvoy } from '../../components/envoy.ts';
import { ConfigDir } from './config-dir.ts';
import { ControlPlane } from './control-plane.ts';
import { httpGateway, routeTo, service } from './objects.ts';
import { startProxy } from './proxy.ts';

const authority = makeAuthority('mesh roots');
const labels = { app: 'edge' };

export interface SmallMesh extends AsyncDisposable {
  readonly plane: ControlPlane;
  /** `edge-1.shop`, over delta. */
  readonly gateway: TestEnvoy;
  /** `edge-2.shop`, over state of the world. */
  readonly other: TestEnvoy;
  readonly config: ConfigDir;
  /** A directory as istio's agent keeps it, of the account `default` of a namespace. */
  certificatesOf(namespace: string): Promise<string>;
}

export async function startSmallMesh(): Promise<SmallMesh> {
  const directory = await mkdtemp(join(tmpdir(), 'watershed-mesh-'));
  const at = (file: string): string => join(directory, file);
  const server = authority.issue({
    commonName: 'istiod',
    names: ['istiod.istio-system.svc', '127.0.0.1'],
  });
  await writeFile(at('ca.crt'), authority.certificate);
  await writeFile(at('tls.crt'), server.certificate);
  await writeFile(at('tls.key'), server.key);
  const config = await ConfigDir.create();
  await config.write(
    'shop',
    ...service({ name: 'cart', namespace: 'shop', port: 80, workloads: [{ port: 9 }] }),
    httpGateway('shop', 'edge', labels, await freePort()),
    routeTo({
      ...{ namespace: 'shop', name: 'cart', host: 'cart.test', gateways: ['edge'] },
      to: { host: 'cart' },
    }),
  );
  const plane = await ControlPlane.start({
    configDir: config.path,
    args: [
      ...['--secureGRPCAddr', '127.0.0.1:0', '--caCertFile', at('ca.crt')],
      ...['--tlsCertFile', at('tls.crt'), '--tlsKeyFile', at('tls.key')],
    ],
  });
  const proxies: TestEnvoy[] = [];
  const start = async (workload: string, protocol: 'delta' | 'sotw'): Promise<TestEnvoy> => {
    const options = { type: 'router', workload, protocol, xds: plane.xds, labels } as const;
    const proxy = await startProxy({ ...options, metadata: { ISTIO_VERSION: '1.29.1' } });
    proxies.push(proxy);
    return proxy;
  };
  const dispose = async (): Promise<void> => {
    for (const proxy of proxies) await proxy.stop();
    await plane.delete();
    await config.delete();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    return {
      plane,
      gateway: await start('edge-1.shop', 'delta'),
      other: await start('edge-2.shop', 'sotw'),
      config,
      certificatesOf: (namespace) => certificatesOf(namespace, at(`certificates-${namespace}`)),
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function certificatesOf(namespace: string, to: string): Promise<string> {
  await mkdir(to, { recursive: true });
  const { certificate, key } = authority.issue({
    commonName: 'default',
    names: [`spiffe://cluster.local/ns/${namespace}/sa/default`],
  });
  await writeFile(join(to, 'cert-chain.pem'), certificate);
  await writeFile(join(to, 'key.pem'), key);
  await writeFile(join(to, 'root-cert.pem'), authority.certificate);
  return to;
}
