import { type Config, sampleConfig } from './config.ts';

/** What listens where, and what to do next. */
export function welcome(
  config: Config,
  { grpc, monitoring }: { readonly grpc: string; readonly monitoring: string },
): string {
  const source = sampleConfig(config) ?? config.configDir ?? config.meshConfig ?? '';
  const node = 'router~127.0.0.1~gateway.shop~shop.svc.cluster.local';
  const label = 'gateway.networking.k8s.io/gateway-name=shop';
  return `
Watershed is ready.
  configuration   ${source}
  xDS             ${grpc}   (plaintext gRPC)
  monitoring      http://${monitoring}   /ready /metrics /version /debug
  data            ${config.dataDir}

Next: see it route traffic through a real Envoy, in another shell:
  npm run demo
or connect an Envoy of your own:
  npx xdsctl bootstrap envoy --node ${node} \\
    --label ${label} --xds-address ${grpc} > envoy.json && envoy -c envoy.json
  npx xdsctl proxy-status --monitoringAddr ${monitoring}

`;
}
