import type { Reader } from '@watershed/derive/graph.ts';
import { decode, isServed, list, object, optional, refine, required } from '../../decode.ts';
import type { Kind, World } from '../../kind.ts';
import { group, groupName, kindName, namespaceName, objectName } from './fields.ts';

interface GrantFrom {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
}

interface GrantTo {
  readonly group: string;
  readonly kind: string;
  /** Undefined: all of the kind. */
  readonly name: string | undefined;
}

/** Who may refer from other namespaces to what of the grant's own. */
export interface ReferenceGrant {
  readonly from: readonly GrantFrom[];
  readonly to: readonly GrantTo[];
}

const maxEntries = 16;

const from = refine(
  object({
    group: required(groupName),
    kind: required(kindName),
    namespace: required(namespaceName),
  }),
  (entry, at) => {
    const isOurs = entry.group === group && ['Gateway', 'HTTPRoute'].includes(entry.kind);
    if (!isOurs) {
      const value = `${entry.group}/${entry.kind}`;
      at.warn(value, `allows nothing: of ${group}, Gateway and HTTPRoute are read`);
    }
    return entry;
  },
);

const to = refine(
  object({ group: required(groupName), kind: required(kindName), name: optional(objectName) }),
  (entry, at) => {
    if (entry.group !== '' || !['Secret', 'Service'].includes(entry.kind)) {
      const value = `${entry.group}/${entry.kind}`;
      at.warn(value, 'allows nothing: of group "", Secret and Service are referred to');
    }
    return entry;
  },
);

const grant = object({
  from: required(list(from, { min: 1, max: maxEntries })),
  to: required(list(to, { min: 1, max: maxEntries })),
});

export const referenceGrantKind: Kind<ReferenceGrant> = {
  apiVersions: [`${group}/v1`, `${group}/v1beta1`, `${group}/v1alpha2`],
  kind: 'ReferenceGrant',
  namespaced: true,
  decode: (raw) =>
    decode<ReferenceGrant>(grant, raw['spec'] ?? {}, {
      path: 'spec',
      unknownFields: isServed(raw) ? 'warning' : 'error',
    }),
  // Read by those who refer.
  emit: () => ({ events: [], problems: [] }),
};

export interface Reference {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** Whether objects of a kind and namespace may refer to an object: always within the namespace. */
export function isGranted(read: Reader, world: World, from: GrantFrom, to: Reference): boolean {
  if (from.namespace === to.namespace) return true;
  const grants = read.lookup(world.index(referenceGrantKind, 'namespace'), to.namespace);
  return grants.some(({ value: { spec } }) => {
    const known = spec.from.some(
      (entry) =>
        entry.group === from.group &&
        entry.kind === from.kind &&
        entry.namespace === from.namespace,
    );
    return known && spec.to.some((entry) => isTarget(entry, to));
  });
}

function isTarget(entry: GrantTo, to: Reference): boolean {
  const sameKind = entry.group === to.group && entry.kind === to.kind;
  return sameKind && (entry.name === undefined || entry.name === to.name);
}
