/** A cluster of endpoints of one service port, or of one subset of them. */
import {
  Cluster,
  Cluster_CommonLbConfig as CommonLbConfig,
  Cluster_DiscoveryType as DiscoveryType,
  Cluster_EdsClusterConfig as EdsClusterConfig,
} from '@watershed/proto/gen/envoy/config/cluster/v3/cluster.ts';
import { ClusterLoadAssignment } from '@watershed/proto/gen/envoy/config/endpoint/v3/endpoint.ts';
import { DnsLookupFamily } from '@watershed/proto/gen/envoy/extensions/clusters/common/dns/v3/dns.ts';
import { DnsCluster } from '@watershed/proto/gen/envoy/extensions/clusters/dns/v3/dns_cluster.ts';
import { pack, typeUrls } from '@watershed/proto/any.ts';
import type { OutlierDetection, ProxyProtocol, TcpKeepalive } from '@watershed/model/gen/model.ts';
import type { Diagnostic, Generator } from '../plan.ts';
import { localityOf, type LocalityArgument } from './addresses.ts';
import { configSource, type Streams } from './config-source.ts';
import {
  circuitBreakers,
  connectionOptions,
  httpOptions,
  type ConnectionLife,
  type PoolLimits,
  type UpstreamProtocol,
} from './connection-pool.ts';
import { balanceOf, type BalanceArgument } from './load-balancer.ts';
import { outlierDetection } from './outlier.ts';
import { autoSni, sockets, type UpstreamTls } from './upstream-tls.ts';
import { durationOf } from './values.ts';

/** How Envoy finds the endpoints. */
export type Discovery =
  | { readonly kind: 'eds' }
  | { readonly kind: 'original-dst' }
  | {
      readonly kind: 'dns';
      /** One address at a time, connections stay when the answer changes (LOGICAL_DNS). */
      readonly logical: boolean;
      readonly localities: readonly LocalityArgument[];
    };

export interface ClusterArgument {
  readonly name: string;
  readonly discovery: Discovery;
  readonly connectTimeoutMs: number;
  readonly protocol: UpstreamProtocol;
  /** The port is known to speak HTTP. */
  readonly http: boolean;
  readonly balance: BalanceArgument;
  /** Localities get shares of their own, whatever they have of endpoints. */
  readonly localityWeights: boolean;
  readonly limits: PoolLimits;
  readonly life: ConnectionLife;
  readonly keepalive: TcpKeepalive | undefined;
  readonly outlier: OutlierDetection | undefined;
  readonly tls: UpstreamTls | undefined;
  readonly proxyProtocol: ProxyProtocol;
  /** Endpoints that drain are kept for the sessions that name them. */
  readonly drains: boolean;
  readonly streams: Streams;
  /** Absent: none. */
  readonly problems?: readonly Diagnostic[];
}

export const cluster: Generator<ClusterArgument> = {
  name: 'cluster',
  version: 1,
  generate(argument) {
    const message = Cluster.fromPartial({
      name: argument.name,
      // Envoy cuts statistics' names at the delimiter (istiod).
      altStatName: `${argument.name};`,
    });
    message.connectTimeout = durationOf(argument.connectTimeoutMs);
    message.circuitBreakers = circuitBreakers(argument.limits);
    message.upstreamConnectionOptions = connectionOptions(argument.keepalive);
    message.typedExtensionProtocolOptions = httpOptions(
      argument.protocol,
      argument.life,
      autoSni(argument.tls),
    );
    Object.assign(message, sockets(argument));
    balance(message, argument);
    discover(message, argument);
    const bytes = Cluster.encode(message).finish();
    return argument.problems === undefined ? { bytes } : { bytes, diagnostics: argument.problems };
  },
};

function balance(message: Cluster, argument: ClusterArgument): void {
  Object.assign(message, balanceOf(argument.balance));
  const common = CommonLbConfig.fromPartial({});
  let used = false;
  if (argument.outlier !== undefined) {
    message.outlierDetection = outlierDetection(argument.outlier);
    // istiod's default of 0 switches off panic routing: to send to all when too many are ejected.
    common.healthyPanicThreshold = { value: argument.outlier.minHealthPercent };
    used = true;
  }
  if (argument.localityWeights) {
    common.localityConfigSpecifier = { $case: 'localityWeightedLbConfig', value: {} };
    used = true;
  }
  if (argument.drains) {
    // HEALTHY, DRAINING, UNKNOWN, DEGRADED
    common.overrideHostStatus = { statuses: [1, 3, 0, 5] };
    used = true;
  }
  if (used) message.commonLbConfig = common;
}

function discover(message: Cluster, { name, discovery, streams }: ClusterArgument): void {
  switch (discovery.kind) {
    case 'eds': {
      message.clusterDiscoveryType = { $case: 'type', value: DiscoveryType.EDS };
      const eds = EdsClusterConfig.fromPartial({ serviceName: name });
      eds.edsConfig = configSource(streams);
      message.edsClusterConfig = eds;
      return;
    }
    case 'original-dst':
      message.clusterDiscoveryType = { $case: 'type', value: DiscoveryType.ORIGINAL_DST };
      return;
    case 'dns':
      message.clusterDiscoveryType = {
        $case: 'clusterType',
        value: {
          name: 'envoy.clusters.dns',
          typedConfig: pack(typeUrls.dnsCluster, DnsCluster, dnsOf(discovery.logical)),
        },
      };
      message.loadAssignment = ClusterLoadAssignment.fromPartial({ clusterName: name });
      message.loadAssignment.endpoints = discovery.localities.map(localityOf);
  }
}

/** istiod's: asked again after the answer's TTL, at the latest each minute, with 100 ms of jitter. */
function dnsOf(logical: boolean): DnsCluster {
  return DnsCluster.fromPartial({
    dnsRefreshRate: durationOf(60_000),
    respectDnsTtl: true,
    dnsJitter: durationOf(100),
    dnsLookupFamily: DnsLookupFamily.V4_ONLY,
    allAddressesInSingleEndpoint: logical,
  });
}
