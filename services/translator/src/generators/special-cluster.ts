/** Clusters that stand for no service: where unknown traffic goes. Names are istiod's. */
import {
  Cluster,
  Cluster_DiscoveryType as DiscoveryType,
  Cluster_LbPolicy as LbPolicy,
} from '@watershed/proto/gen/envoy/config/cluster/v3/cluster.ts';
import { BindConfig } from '@watershed/proto/gen/envoy/config/core/v3/address.ts';
import type { TcpKeepalive } from '@watershed/model/gen/model.ts';
import type { Generator } from '../plan.ts';
import { circuitBreakers, connectionOptions, httpOptions, noAutoSni } from './connection-pool.ts';
import { durationOf } from './values.ts';

export const blackHole = 'BlackHoleCluster';
export const passthrough = 'PassthroughCluster';
export const inboundPassthrough = 'InboundPassthroughCluster';

/** Traffic from this address is not intercepted again: iptables let it through to the application. */
export const inboundSource = '127.0.0.6';

export interface SpecialClusterArgument {
  readonly name: typeof blackHole | typeof passthrough | typeof inboundPassthrough;
  readonly connectTimeoutMs: number;
  readonly keepalive: TcpKeepalive | undefined;
}

/** Five minutes: connections are per destination, idle ones would pile up. */
const idleTimeoutMs = 300_000;

export const specialCluster: Generator<SpecialClusterArgument> = {
  name: 'special-cluster',
  version: 1,
  generate({ name, connectTimeoutMs, keepalive }) {
    const message = Cluster.fromPartial({ name, altStatName: `${name};` });
    message.connectTimeout = durationOf(connectTimeoutMs);
    if (name === blackHole) {
      // No endpoints: every connection is refused.
      message.clusterDiscoveryType = { $case: 'type', value: DiscoveryType.STATIC };
      return { bytes: Cluster.encode(message).finish() };
    }
    message.clusterDiscoveryType = { $case: 'type', value: DiscoveryType.ORIGINAL_DST };
    message.lbPolicy = LbPolicy.CLUSTER_PROVIDED;
    message.circuitBreakers = circuitBreakers({});
    message.upstreamConnectionOptions = connectionOptions(keepalive);
    message.typedExtensionProtocolOptions = httpOptions('client', { idleTimeoutMs }, noAutoSni);
    if (name === inboundPassthrough) message.upstreamBindConfig = bindTo(inboundSource);
    return { bytes: Cluster.encode(message).finish() };
  },
};

export function bindTo(address: string): BindConfig {
  return BindConfig.fromPartial({
    sourceAddress: { address, portSpecifier: { $case: 'portValue', value: 0 } },
  });
}
