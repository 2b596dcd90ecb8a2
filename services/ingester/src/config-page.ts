/** `/debug/configz` and `/debug/resourcesz`: what is read, in istiod's shapes. */
import type { ObjectView } from './core/object-view.ts';
import { isObject } from './decode.ts';
import type { RawObject } from './kind.ts';

/**
 * Objects as Kubernetes has them, with where each is written (`origin`), whether it is used
 * (`state`) and why not (`reason`). Of an object, `metadata` and `spec` alone: Secrets have their
 * material elsewhere, and no page shows that.
 */
export function configObjects(objects: readonly ObjectView[]): readonly object[] {
  return objects.map(({ group, kind, namespace, name, raw, origin, state, reason }) => ({
    apiVersion: raw?.apiVersion ?? group,
    kind,
    metadata: {
      name,
      ...(namespace === '' ? {} : { namespace }),
      ...(raw === undefined ? {} : shown(raw)),
    },
    ...(raw?.['spec'] === undefined || kind === 'Secret' ? {} : { spec: raw['spec'] }),
    origin,
    state,
    ...(reason === undefined ? {} : { reason }),
  }));
}

const kept = ['labels', 'annotations', 'creationTimestamp', 'resourceVersion', 'generation'];
/** Kubectl's copy of the whole object. */
const copyOfAll = 'kubectl.kubernetes.io/last-applied-configuration';

function shown({ kind, metadata }: RawObject): Readonly<Record<string, unknown>> {
  const fields = kept.flatMap((field): [string, unknown][] => {
    const value = metadata[field];
    // Tools keep copies of what they wrote in annotations, and of a Secret that is its material.
    if (value === undefined || (field === 'annotations' && kind === 'Secret')) return [];
    if (field !== 'annotations' || !isObject(value)) return [[field, value]];
    return [
      [field, Object.fromEntries(Object.entries(value).filter(([key]) => key !== copyOfAll))],
    ];
  });
  return Object.fromEntries(fields);
}

/** Those that are in force, as they are written. */
export function authorizations(objects: readonly ObjectView[], rootNamespace: string): object {
  const policies = new Map<string, object[]>();
  for (const { kind, namespace, name, raw, state } of objects) {
    if (kind !== 'AuthorizationPolicy' || raw === undefined || state === 'refused') continue;
    const list = policies.get(namespace) ?? [];
    policies.set(namespace, list);
    const { annotations = null } = shown(raw);
    list.push({ name, namespace, annotations, spec: raw['spec'] ?? {} });
  }
  return {
    authorization_policies: {
      namespace_to_policies: Object.fromEntries(policies),
      root_namespace: rootNamespace,
    },
  };
}

/** Kinds as istiod lists them: each by its preferred version. */
export function kindNames(
  kinds: readonly { readonly apiVersions: readonly string[]; readonly kind: string }[],
): readonly object[] {
  return kinds.map(({ apiVersions, kind }) => {
    const [group = '', version] = (apiVersions[0] ?? '').split('/');
    return version === undefined ? { group: '', version: group, kind } : { group, version, kind };
  });
}
