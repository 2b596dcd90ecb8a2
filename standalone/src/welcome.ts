import { join } from 'node:path';
import { type Config, sampleConfig } from './config.ts';

export interface Addresses {
  readonly grpc: string;
  /** Absent: TLS is not served. */
  readonly secureGrpc?: string;
  readonly monitoring: string;
}

/** What listens where, and what to do next: commands that work as they are, in a checkout. */
export function welcome(config: Config, addresses: Addresses): string {
  const { grpc, secureGrpc, monitoring } = addresses;
  const sample = sampleConfig(config);
  const sources = [config.configDir, config.meshConfig, sample].filter(
    (source) => source !== undefined,
  );
  return `
Watershed is ready.
  configuration   ${sources.join(', ')}
  xDS             ${grpc}   (plaintext gRPC)${secureGrpc === undefined ? '' : `\n                  ${secureGrpc}   (TLS)`}
  monitoring      http://${monitoring}   /ready /metrics /version /debug
  log             ${config.kafkaBrokers.join(', ') || join(config.dataDir, 'log')}

Next, in another shell, see it route traffic to sample backends through a real Envoy:
  npm run demo
or connect ${sample === undefined ? 'an Envoy' : 'the gateway of the sample shop, which then listens on port 8080'}:
${connect(config, addresses, sample !== undefined)}
and see what is connected:
  npx xdsctl proxy-status --monitoringAddr ${monitoring}

`;
}

function connect({ dataDir }: Config, { grpc }: Addresses, sample: boolean): string {
  const file = join(dataDir, 'envoy.json');
  const label = '--label gateway.networking.k8s.io/gateway-name=shop ';
  const node = sample
    ? 'router~127.0.0.1~gateway.shop~shop.svc.cluster.local'
    : 'sidecar~127.0.0.1~web-1.default~default.svc.cluster.local';
  return `  npx xdsctl bootstrap envoy --node ${node} \\
    ${sample ? label : ''}--xds-address ${grpc} > ${file}
  $(npx xdsctl fetch envoy) -c ${file}`;
}
