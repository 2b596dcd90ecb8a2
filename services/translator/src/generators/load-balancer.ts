/** How a cluster spreads requests: DestinationRule's `loadBalancer`, with istiod's defaults. */
import {
  Cluster_LbPolicy as LbPolicy,
  Cluster_SlowStartConfig as SlowStart,
  type Cluster,
} from '@watershed/proto/gen/envoy/config/cluster/v3/cluster.ts';
import { durationOf } from './values.ts';

export type BalanceArgument =
  | { readonly by: 'random' | 'original-destination' }
  | { readonly by: 'round-robin' | 'least-request'; readonly warmup?: Warmup }
  | { readonly by: 'ring-hash'; readonly minimumSize: number }
  /** Without a size: Envoy's own. */
  | { readonly by: 'maglev'; readonly size?: number };

/** New endpoints get their share slowly. */
export interface Warmup {
  readonly windowMs: number;
  /** 1: linear. */
  readonly aggression: number;
  readonly minimumPercent: number;
}

type Settings = Partial<Pick<Cluster, 'lbPolicy' | 'lbConfig'>>;

export function balanceOf(argument: BalanceArgument): Settings {
  switch (argument.by) {
    case 'original-destination':
      return { lbPolicy: LbPolicy.CLUSTER_PROVIDED };
    case 'random':
      return { lbPolicy: LbPolicy.RANDOM };
    case 'round-robin': {
      const lbPolicy = LbPolicy.ROUND_ROBIN;
      if (argument.warmup === undefined) return { lbPolicy };
      const slowStartConfig = slowStartOf(argument.warmup);
      return { lbPolicy, lbConfig: { $case: 'roundRobinLbConfig', value: { slowStartConfig } } };
    }
    case 'least-request': {
      const lbPolicy = LbPolicy.LEAST_REQUEST;
      if (argument.warmup === undefined) return { lbPolicy };
      const slowStartConfig = slowStartOf(argument.warmup);
      const value = { slowStartConfig, choiceCount: undefined, activeRequestBias: undefined };
      return { lbPolicy, lbConfig: { $case: 'leastRequestLbConfig', value } };
    }
    case 'ring-hash': {
      const minimumRingSize = argument.minimumSize;
      const value = { minimumRingSize, hashFunction: 0, maximumRingSize: undefined } as const;
      return { lbPolicy: LbPolicy.RING_HASH, lbConfig: { $case: 'ringHashLbConfig', value } };
    }
    case 'maglev': {
      const lbPolicy = LbPolicy.MAGLEV;
      if (argument.size === undefined) return { lbPolicy };
      const value = { tableSize: argument.size };
      return { lbPolicy, lbConfig: { $case: 'maglevLbConfig', value } };
    }
  }
}

/** The runtime key is one that nobody sets. */
function slowStartOf({ windowMs, aggression, minimumPercent }: Warmup): SlowStart {
  return SlowStart.fromPartial({
    slowStartWindow: durationOf(windowMs),
    aggression: { defaultValue: aggression, runtimeKey: '(' },
    minWeightPercent: { value: minimumPercent },
  });
}
