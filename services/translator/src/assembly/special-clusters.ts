/** Clusters of unknown traffic: the same for all clients of a mesh. */
import type { Query } from '@watershed/derive/graph.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import type { TcpKeepalive } from '@watershed/model/gen/model.ts';
import {
  blackHole,
  inboundPassthrough,
  passthrough,
  specialCluster,
} from '../generators/special-cluster.ts';
import { job, type Job, type ResourceKey, type ResourcePlan } from '../plan.ts';
import type { Client, Core } from './core.ts';
import { sameJob } from './jobs.ts';
import { decodeVariant, encodeVariant, field } from './variant.ts';

const names = [blackHole, inboundPassthrough, passthrough] as const;

interface Connecting {
  readonly connectTimeoutMs: number;
  readonly keepalive: TcpKeepalive | undefined;
}

/** A router has no original destination to pass anything through to. */
export function specialClustersOf({ router, mesh }: Client): readonly ResourceKey[] {
  const variant = encodeVariant({ m: mesh });
  return (router ? [blackHole] : names).map((name) => ({
    typeUrl: resourceTypes.cluster,
    name,
    variant,
  }));
}

export function createSpecialClusters(core: Core): Query<ResourceKey, ResourcePlan | undefined> {
  const { graph } = core.inputs;
  const connecting = core.mesh.facet('connecting', (mesh): Connecting => ({
    connectTimeoutMs: mesh.connectTimeoutMs,
    keepalive: mesh.tcpKeepalive,
  }));
  const clusterJob = graph.query<ResourceKey, Job | undefined>({
    name: 'specialCluster',
    id: (key) => `${key.name}\n${key.variant}`,
    compute: (read, key) => {
      const name = names.find((one) => one === key.name);
      if (name === undefined) return undefined;
      const mesh = read.query(connecting, field(decodeVariant(key.variant), 'm'));
      return job(specialCluster, { name, ...mesh });
    },
    equal: sameJob,
  });
  return graph.query<ResourceKey, ResourcePlan | undefined>({
    name: 'specialClusterPlan',
    id: (key) => `${key.name}\n${key.variant}`,
    compute: (read, key) => {
      const made = read.query(clusterJob, key);
      return made && { key, parts: [made], refs: [], follows: [], bypassesEpochs: false };
    },
  });
}
