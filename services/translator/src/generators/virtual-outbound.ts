/** The listener that intercepted connections come to: it hands them over by their destination. */
import { TrafficDirection } from '@watershed/proto/gen/envoy/config/core/v3/base.ts';
import { Listener } from '@watershed/proto/gen/envoy/config/listener/v3/listener.ts';
import { FilterChain } from '@watershed/proto/gen/envoy/config/listener/v3/listener_components.ts';
import type { Generator } from '../plan.ts';
import { accessLogs, type AccessLogArgument } from './access-log.ts';
import { addressOf } from './addresses.ts';
import { plainProxy } from './network-filters.ts';
import { blackHole } from './special-cluster.ts';

export interface VirtualOutboundArgument {
  readonly port: number;
  /** Interception by TPROXY. */
  readonly transparent: boolean;
  /** Where connections go that no listener takes. */
  readonly fallthrough: string;
  readonly accessLog: AccessLogArgument | undefined;
  /** Connections that nothing takes are logged, too. */
  readonly logUnmatched: boolean;
}

export const virtualOutboundName = 'virtualOutbound';

export const virtualOutbound: Generator<VirtualOutboundArgument> = {
  name: 'virtual-outbound',
  version: 1,
  generate({ port, transparent, fallthrough, accessLog, logUnmatched }) {
    const listener = Listener.fromPartial({
      name: virtualOutboundName,
      trafficDirection: TrafficDirection.OUTBOUND,
      useOriginalDst: true,
      maxConnectionsToAcceptPerSocketEvent: 1,
      ...(transparent ? { transparent: true } : {}),
    });
    listener.address = addressOf('0.0.0.0', port);
    // Who connects to the port itself would be sent round and round.
    const loop = FilterChain.fromPartial({
      name: 'virtualOutbound-blackhole',
      filterChainMatch: { destinationPort: port },
    });
    loop.filters = [plainProxy(blackHole, undefined)];
    const rest = FilterChain.fromPartial({ name: 'virtualOutbound-catchall-tcp' });
    rest.filters = [plainProxy(fallthrough, accessLog)];
    listener.filterChains = [loop, rest];
    if (logUnmatched) listener.accessLog = accessLogs(accessLog, ['NR']);
    return { bytes: Listener.encode(listener).finish() };
  },
};
