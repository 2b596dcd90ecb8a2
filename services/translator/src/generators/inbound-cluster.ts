/** A cluster from a sidecar to its own workload, `inbound|PORT||`. */
import {
  Cluster,
  Cluster_DiscoveryType as DiscoveryType,
  Cluster_LbPolicy as LbPolicy,
} from '@watershed/proto/gen/envoy/config/cluster/v3/cluster.ts';
import { ClusterLoadAssignment } from '@watershed/proto/gen/envoy/config/endpoint/v3/endpoint.ts';
import type { TcpKeepalive } from '@watershed/model/gen/model.ts';
import type { Generator } from '../plan.ts';
import { localityOf } from './addresses.ts';
import {
  circuitBreakers,
  connectionOptions,
  httpOptions,
  noAutoSni,
  type ConnectionLife,
  type PoolLimits,
  type UpstreamProtocol,
} from './connection-pool.ts';
import { bindTo, inboundSource } from './special-cluster.ts';
import { durationOf } from './values.ts';

export interface InboundClusterArgument {
  readonly name: string;
  /** Where the workload listens. Absent: where the connection was going to. */
  readonly endpoint?: { readonly address: string; readonly port: number };
  /** Another port than the connection was going to. */
  readonly portOverride?: number;
  readonly protocol: UpstreamProtocol;
  readonly connectTimeoutMs: number;
  readonly limits: PoolLimits;
  readonly life: ConnectionLife;
  readonly keepalive: TcpKeepalive | undefined;
}

/** The longest that Envoy takes: the one host of the cluster is never cleaned up (istiod). */
const neverSeconds = 9_223_372_035;

export const inboundCluster: Generator<InboundClusterArgument> = {
  name: 'inbound-cluster',
  version: 1,
  generate(argument) {
    const { name, endpoint, portOverride, limits, life } = argument;
    const message = Cluster.fromPartial({ name, altStatName: `${name};` });
    message.connectTimeout = durationOf(argument.connectTimeoutMs);
    message.circuitBreakers = circuitBreakers(limits);
    message.upstreamConnectionOptions = connectionOptions(argument.keepalive);
    message.typedExtensionProtocolOptions = httpOptions(argument.protocol, life, noAutoSni);
    if (endpoint === undefined) {
      message.clusterDiscoveryType = { $case: 'type', value: DiscoveryType.ORIGINAL_DST };
      message.lbPolicy = LbPolicy.CLUSTER_PROVIDED;
      message.cleanupInterval = { seconds: neverSeconds, nanos: 0 };
      if (portOverride !== undefined) {
        message.lbConfig = {
          $case: 'originalDstLbConfig',
          value: {
            upstreamPortOverride: portOverride,
            useHttpHeader: false,
            httpHeaderName: '',
            metadataKey: undefined,
          },
        };
      }
      message.upstreamBindConfig = bindTo(inboundSource);
    } else {
      message.clusterDiscoveryType = { $case: 'type', value: DiscoveryType.STATIC };
      message.loadAssignment = ClusterLoadAssignment.fromPartial({ clusterName: name });
      message.loadAssignment.endpoints = [
        localityOf({ ...nowhere, endpoints: [{ ...endpoint, ...only }] }),
      ];
    }
    return { bytes: Cluster.encode(message).finish() };
  },
};

const nowhere = { region: '', zone: '', subZone: '', priority: 0, weight: 0 };
const only = { weight: 1, health: 'healthy', mtls: false } as const;
