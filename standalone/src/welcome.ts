import { join } from 'node:path';
import { formatAddress, nearAddress, parseAddress } from '@watershed/runtime/address.ts';
import { type Config, sampleConfig } from './config.ts';
import type { FirstProxy } from './first-proxy.ts';

export interface Addresses {
  readonly grpc: string;
  /** Absent: TLS is not served. */
  readonly secureGrpc?: string;
  readonly monitoring: string;
}

export interface Welcome {
  readonly config: Config;
  readonly addresses: Addresses;
  /** Absent: the configuration has nothing for any proxy. */
  readonly proxy: FirstProxy | undefined;
  readonly xdsctl: (command: string) => string;
}

/** What listens where, and what to do next: commands that work as they are, in a checkout. */
export function welcome({ config, addresses, proxy, xdsctl }: Welcome): string {
  const { grpc, secureGrpc, monitoring } = addresses;
  const sample = sampleConfig(config);
  const sources = [...config.configDirs, config.meshConfig, sample].filter(
    (source) => source !== undefined,
  );
  const demo = 'see it route traffic to sample backends through a real Envoy:\n  npm run demo\nor ';
  const next = [
    ...(sample === undefined ? [] : [demo]),
    ...(proxy === undefined ? [] : [connect(config, addresses, proxy)]),
  ].join('');
  return `
Watershed is ready.
  configuration   ${sources.join(', ')}
  xDS             ${grpc}   (plaintext gRPC)${secureGrpc === undefined ? '' : `\n                  ${secureGrpc}   (TLS)`}
  monitoring      http://${monitoring}   /ready /metrics /version /debug
  log             ${config.kafkaBrokers.join(', ') || join(config.dataDir, 'log')}

Next, in another shell, ${next}see what is connected:
  ${xdsctl('proxy-status')}

`;
}

function connect(
  { dataDir, clusterId }: Config,
  { grpc }: Addresses,
  { what, node, labels }: FirstProxy,
): string {
  const file = quote(join(dataDir, 'envoy.json'));
  const flags = Object.entries(labels).map(([key, value]) => `--label ${quote(`${key}=${value}`)}`);
  if (clusterId !== 'Kubernetes') {
    flags.push(`--metadata ${quote(JSON.stringify({ CLUSTER_ID: clusterId }))}`);
  }
  return `connect an Envoy as ${what}:
  npx xdsctl bootstrap envoy --node ${quote(node)} \\
    ${[...flags, `--xds-address ${near(grpc)}`].join(' \\\n    ')} > ${file}
  $(npx xdsctl fetch envoy) -c ${file}
and `;
}

function near(text: string): string {
  const address = parseAddress(text);
  return address === undefined ? text : formatAddress(nearAddress(address));
}

/** One word of a shell. */
function quote(text: string): string {
  return /^[\w@%+:,./~=-]+$/u.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
