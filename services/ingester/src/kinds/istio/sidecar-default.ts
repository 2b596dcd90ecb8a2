/** Which Sidecar is for all workloads of a namespace, and which of several has no effect. */
import type { Index } from '@watershed/derive/collection.ts';
import type { Reader } from '@watershed/derive/graph.ts';
import type { Sidecar } from '@watershed/proto/istio/networking/v1alpha3/sidecar.ts';
import type { Problem, SourceObject, World } from '../../kind.ts';
import { firstBefore, whyFirst } from '../common/precedence.ts';

/** By namespace, of those for all of its workloads. */
export const defaultIndex = 'default';

export function defaultNamespaces({ spec, ref }: SourceObject<Sidecar>): readonly string[] {
  return Object.keys(spec.workloadSelector?.labels ?? {}).length === 0 ? [ref.namespace] : [];
}

/** One Sidecar is a namespace's default: the oldest, as the translator chooses. */
export function lostDefault(
  read: Reader,
  object: SourceObject<Sidecar>,
  defaults: Index<SourceObject<Sidecar>>,
): readonly Problem[] {
  const [namespace] = defaultNamespaces(object);
  if (namespace === undefined) return [];
  const first = firstBefore(object, read.lookup(defaults, namespace), () => true);
  if (first === undefined) return [];
  const { name } = first.ref;
  return [
    {
      severity: 'warning',
      field: 'spec.workloadSelector',
      value: '',
      reason: `selects every workload of namespace ${namespace}, as that of Sidecar ${namespace}/${name} does, which goes first (${whyFirst(first, object)}): this one has no effect`,
    },
  ];
}

/** What `.` stands for. The root namespace's default is for clients of any: each one's own. */
export function ownNamespace(world: World, object: SourceObject<Sidecar>): string {
  const [namespace] = defaultNamespaces(object);
  return namespace === world.settings.rootNamespace ? '*' : object.ref.namespace;
}
