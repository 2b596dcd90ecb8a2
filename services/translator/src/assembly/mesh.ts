/**
 * The mesh's settings, and narrow parts of them: who reads a part is not recomputed for another
 * one.
 */
import type { Query, Reader } from '@watershed/derive/graph.ts';
import { Mesh, type OutboundMode } from '@watershed/model/gen/model.ts';
import { everything, type Inputs } from '../inputs.ts';
import { sameData } from './equal.ts';

/** MeshConfig's own defaults, for as long as no source says anything. */
const defaultMesh: Mesh = Mesh.create({
  rootNamespace: 'istio-system',
  trustDomain: 'cluster.local',
  connectTimeoutMs: 10_000,
  autoMtls: true,
  defaultServiceExportTo: ['*'],
  defaultRouteExportTo: ['*'],
  defaultPolicyExportTo: ['*'],
  proxyListenPort: 15_001,
  proxyInboundListenPort: 15_006,
  domain: 'cluster.local',
});

export interface MeshQueries {
  /**
   * Which mesh settings hold for proxies of a cluster: '' for the first cluster's, and for those
   * equal to them; else the cluster's name.
   */
  readonly refOf: Query<string, string>;
  /** By reference. */
  readonly mesh: Query<string, Mesh>;
  readonly rootNamespace: Query<string, string>;
  readonly trustDomain: Query<string, string>;
  readonly outboundMode: Query<string, OutboundMode>;
  /** A part of the settings, by reference. */
  facet<F>(name: string, project: (mesh: Mesh) => F): Query<string, F>;
}

const sameKey = (key: string): string => key;

export function createMeshQueries(inputs: Inputs): MeshQueries {
  const { graph } = inputs;
  const all = (read: Reader) => read.lookup(inputs.indexes.meshes, everything);

  const refOf = graph.query<string, string>({
    name: 'meshRef',
    id: sameKey,
    compute: (read, cluster) => {
      const [first, ...others] = all(read);
      const own = others.find((entry) => entry.value.cluster === cluster);
      if (first === undefined || own === undefined) return '';
      return sameData(own.value.bytes, first.value.bytes) ? '' : cluster;
    },
  });

  const mesh = graph.query<string, Mesh>({
    name: 'mesh',
    id: sameKey,
    compute: (read, ref) => {
      const entries = all(read);
      const own = entries.find((entry) => ref !== '' && entry.value.cluster === ref) ?? entries[0];
      return own?.value.value ?? defaultMesh;
    },
  });

  const facet = <F>(name: string, project: (mesh: Mesh) => F): Query<string, F> =>
    graph.query<string, F>({
      name: `mesh.${name}`,
      id: sameKey,
      compute: (read, ref) => project(read.query(mesh, ref)),
      equal: sameData,
    });

  const rootNamespace = facet('rootNamespace', (value) => value.rootNamespace);
  const outboundMode = facet('outboundMode', (value) => value.outboundMode);
  const trustDomain = facet('trustDomain', (value) => value.trustDomain);
  return { refOf, mesh, rootNamespace, trustDomain, outboundMode, facet };
}
