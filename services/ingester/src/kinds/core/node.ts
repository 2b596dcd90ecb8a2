import type { Locality } from '@watershed/model/gen/model.ts';
import type { Kind, SourceObject } from '../../kind.ts';

/** Nothing of a Node is read but its labels. */
export interface NodeSpec {
  readonly empty: true;
}

export const nodeKind: Kind<NodeSpec> = {
  apiVersions: ['v1'],
  kind: 'Node',
  namespaced: false,
  decode: () => ({ spec: { empty: true }, problems: [] }),
  emit: () => ({ events: [], problems: [] }),
};

/** The labels that tell where a Node is; each with its name before Kubernetes 1.17. */
const regionLabels = ['topology.kubernetes.io/region', 'failure-domain.beta.kubernetes.io/region'];
const zoneLabels = ['topology.kubernetes.io/zone', 'failure-domain.beta.kubernetes.io/zone'];
const subZoneLabels = ['topology.istio.io/subzone'];

export function localityOfNode({ labels }: SourceObject<NodeSpec>): Locality | undefined {
  const first = (names: readonly string[]): string =>
    names.map((name) => labels[name] ?? '').find((value) => value !== '') ?? '';
  const locality = {
    region: first(regionLabels),
    zone: first(zoneLabels),
    subZone: first(subZoneLabels),
  };
  return locality.region === '' && locality.zone === '' ? undefined : locality;
}
