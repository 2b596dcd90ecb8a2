/** A cluster as gRPC without a proxy takes it (gRFC A27, A29, A32, A37, A42). */
import {
  Cluster,
  Cluster_DiscoveryType as DiscoveryType,
  Cluster_EdsClusterConfig as EdsClusterConfig,
} from '@watershed/proto/gen/envoy/config/cluster/v3/cluster.ts';
import { ClusterLoadAssignment } from '@watershed/proto/gen/envoy/config/endpoint/v3/endpoint.ts';
import type { Diagnostic, Generator } from '../plan.ts';
import { localityOf } from './addresses.ts';
import { balanceOf } from './load-balancer.ts';
import { proxylessClientSocket } from './proxyless-tls.ts';
import { configSource } from './config-source.ts';

export interface ProxylessClusterArgument {
  readonly name: string;
  /** A name of DNS, and a port; `undefined`: by EDS. */
  readonly dns: { readonly name: string; readonly port: number } | undefined;
  readonly balance:
    | { readonly by: 'round-robin' }
    | { readonly by: 'ring-hash'; readonly minimumSize: number };
  /** How many calls may be open at once; `undefined`: any number. */
  readonly maxRequests: number | undefined;
  /** Identities of its servers, for mutual TLS; `undefined`: plain text. */
  readonly identities: readonly string[] | undefined;
  /** Absent: none. */
  readonly problems?: readonly Diagnostic[];
}

/** gRPC's own default would be 1,024. */
const unlimited = 0xffffffff;

export const proxylessCluster: Generator<ProxylessClusterArgument> = {
  name: 'proxyless-cluster',
  version: 1,
  generate({ name, dns, balance, maxRequests = unlimited, identities, problems }) {
    const message = Cluster.fromPartial({
      name,
      circuitBreakers: { thresholds: [{ maxRequests }] },
      ...balanceOf(balance),
    });
    if (identities !== undefined) message.transportSocket = proxylessClientSocket(identities);
    if (dns === undefined) {
      message.clusterDiscoveryType = { $case: 'type', value: DiscoveryType.EDS };
      message.edsClusterConfig = EdsClusterConfig.fromPartial({ serviceName: name });
      message.edsClusterConfig.edsConfig = configSource('');
    } else {
      message.clusterDiscoveryType = { $case: 'type', value: DiscoveryType.LOGICAL_DNS };
      message.loadAssignment = ClusterLoadAssignment.fromPartial({ clusterName: name });
      message.loadAssignment.endpoints = [placeOf(dns.name, dns.port)];
    }
    const bytes = Cluster.encode(message).finish();
    return problems === undefined ? { bytes } : { bytes, diagnostics: problems };
  },
};

/** One locality of one endpoint: anything else is refused. */
function placeOf(address: string, port: number) {
  const endpoint = { address, port, weight: 1, health: 'healthy', mtls: false } as const;
  const nowhere = { region: '', zone: '', subZone: '' };
  return localityOf({ ...nowhere, priority: 0, weight: 1, endpoints: [endpoint] });
}
