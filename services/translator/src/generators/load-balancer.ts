/** How a cluster spreads requests: DestinationRule's `loadBalancer`, with istiod's defaults. */
import {
  Cluster_LbPolicy as LbPolicy,
  Cluster_SlowStartConfig as SlowStart,
  type Cluster,
} from '@watershed/proto/gen/envoy/config/cluster/v3/cluster.ts';
import { LbAlgorithm, type HashKey } from '@watershed/model/gen/model.ts';
import { durationOf } from './values.ts';

export interface LoadBalancerArgument {
  readonly algorithm: LbAlgorithm;
  readonly hash: HashKey | undefined;
  readonly minimumRingSize: number;
  readonly maglevTableSize: number;
  readonly warmupMs: number;
  readonly warmupAggression: number;
  readonly warmupMinimumPercent: number;
  /** Localities get shares of their own, whatever they have of endpoints. */
  readonly localityWeights: boolean;
}

type Settings = Pick<Cluster, 'lbPolicy' | 'lbConfig'>;

/** Envoy's default, and the size that istiod writes where none is asked for. */
const defaultRingSize = 1024;

export function loadBalancer(argument: LoadBalancerArgument): Settings {
  const { algorithm, hash, minimumRingSize, maglevTableSize } = argument;
  if (algorithm === LbAlgorithm.LB_ALGORITHM_MAGLEV) {
    return {
      lbPolicy: LbPolicy.MAGLEV,
      lbConfig:
        maglevTableSize === 0
          ? undefined
          : { $case: 'maglevLbConfig', value: { tableSize: maglevTableSize } },
    };
  }
  if (hash !== undefined || algorithm === LbAlgorithm.LB_ALGORITHM_RING_HASH) {
    const size = minimumRingSize === 0 ? defaultRingSize : minimumRingSize;
    return {
      lbPolicy: LbPolicy.RING_HASH,
      lbConfig: {
        $case: 'ringHashLbConfig',
        value: { minimumRingSize: size, hashFunction: 0, maximumRingSize: undefined },
      },
    };
  }
  return simple(algorithm, slowStartOf(argument));
}

function simple(algorithm: LbAlgorithm, slowStartConfig: SlowStart | undefined): Settings {
  switch (algorithm) {
    case LbAlgorithm.LB_ALGORITHM_RANDOM:
      return { lbPolicy: LbPolicy.RANDOM, lbConfig: undefined };
    case LbAlgorithm.LB_ALGORITHM_ROUND_ROBIN:
      return {
        lbPolicy: LbPolicy.ROUND_ROBIN,
        lbConfig: slowStartConfig && { $case: 'roundRobinLbConfig', value: { slowStartConfig } },
      };
    case LbAlgorithm.LB_ALGORITHM_PASSTHROUGH:
      return { lbPolicy: LbPolicy.CLUSTER_PROVIDED, lbConfig: undefined };
    default:
      return {
        lbPolicy: LbPolicy.LEAST_REQUEST,
        lbConfig: slowStartConfig && {
          $case: 'leastRequestLbConfig',
          value: { slowStartConfig, choiceCount: undefined, activeRequestBias: undefined },
        },
      };
  }
}

/**
 * Aggression 1 is a linear ramp; 10 % is Envoy's own start. The runtime key is one that nobody
 * sets.
 */
function slowStartOf(argument: LoadBalancerArgument): SlowStart | undefined {
  if (argument.warmupMs === 0) return undefined;
  return SlowStart.fromPartial({
    slowStartWindow: durationOf(argument.warmupMs),
    aggression: { defaultValue: argument.warmupAggression || 1, runtimeKey: '(' },
    minWeightPercent: { value: argument.warmupMinimumPercent || 10 },
  });
}
