/**
 * The bootstrap of gRPC without a proxy (GRPC_XDS_BOOTSTRAP), as grpc-go, grpc-js, Python and C++
 * read it (gRFC A27, A29, A36, A65). Names are istio's.
 */
import { formatAddress, type Address } from '@watershed/runtime/address.ts';
import type { XdsTls } from './bootstrap-tls.ts';
import { nodeOf, type NodeOptions } from './bootstrap.ts';

export interface ProxylessBootstrapOptions extends NodeOptions {
  readonly xdsHost: string;
  readonly xdsPort: number;
  /** Tried in that order by clients that fall back (gRFC A71). */
  readonly otherXds?: readonly Address[];
  /** How the control plane is reached; absent: in plaintext. */
  readonly tls?: XdsTls | undefined;
}

/** JSON-ready, keys in a stable order. */
export function proxylessBootstrap(options: ProxylessBootstrapOptions): Record<string, unknown> {
  const { xdsHost, xdsPort, otherXds = [], tls, certDir } = options;
  const node = nodeOf(options);
  return {
    xds_servers: [{ host: xdsHost, port: xdsPort }, ...otherXds].map((address) => ({
      server_uri: formatAddress(address),
      channel_creds: [tls === undefined ? { type: 'insecure' } : credsOf(tls)],
      server_features: ['xds_v3'],
    })),
    // grpc-js refuses a node without a locality.
    node: { ...node, locality: {}, metadata: { ...node.metadata, GENERATOR: 'grpc' } },
    ...(certDir === undefined ? {} : { certificate_providers: { default: watcher(certDir) } }),
    server_listener_resource_name_template: 'xds.istio.io/grpc/lds/inbound/%s',
  };
}

function credsOf({ certDir, rootCertFile }: XdsTls): Record<string, unknown> {
  return { type: 'tls', config: filesOf(certDir, rootCertFile) };
}

function watcher(certDir: string): Record<string, unknown> {
  return { plugin_name: 'file_watcher', config: filesOf(certDir, `${certDir}/root-cert.pem`) };
}

function filesOf(dir: string | undefined, roots: string): Record<string, unknown> {
  return {
    ...(dir === undefined
      ? {}
      : { certificate_file: `${dir}/cert-chain.pem`, private_key_file: `${dir}/key.pem` }),
    ca_certificate_file: roots,
    refresh_interval: '900s',
  };
}
