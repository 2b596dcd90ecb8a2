/** Clusters of unknown traffic: the same for all clients of a mesh. */
import { resourceTypes } from '@watershed/proto/any.ts';
import type { TcpKeepalive } from '@watershed/model/gen/model.ts';
import {
  blackHole,
  inboundPassthrough,
  passthrough,
  specialCluster,
} from '../generators/special-cluster.ts';
import { job, type ResourceKey } from '../plan.ts';
import type { Client, Core } from './core.ts';
import type { PlanOf } from './parts.ts';
import { decodeVariant, encodeVariant, field } from './variant.ts';

const names = [blackHole, inboundPassthrough, passthrough] as const;

interface Connecting {
  readonly connectTimeoutMs: number;
  readonly keepalive: TcpKeepalive | undefined;
}

/** A router has no original destination to pass anything through to; gRPC calls what it knows. */
export function specialClustersOf({ router, mesh, scope }: Client): readonly ResourceKey[] {
  if (scope.proxyless) return [];
  const variant = encodeVariant({ m: mesh });
  return (router ? [blackHole] : names).map((name) => ({
    typeUrl: resourceTypes.cluster,
    name,
    variant,
  }));
}

export function createSpecialClusters(core: Core): PlanOf {
  const connecting = core.mesh.facet('connecting', (mesh): Connecting => ({
    connectTimeoutMs: mesh.connectTimeoutMs,
    keepalive: mesh.tcpKeepalive,
  }));
  return (read, key) => {
    const name = names.find((one) => one === key.name);
    if (name === undefined) return undefined;
    const mesh = read.query(connecting, field(decodeVariant(key.variant), 'm'));
    const parts = [job(specialCluster, { name, ...mesh })];
    return { key, parts, refs: [], bypassesEpochs: false };
  };
}
