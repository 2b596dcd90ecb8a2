/**
 * Who may connect, as resources: `istio.security.Authorization`. Named `namespace/name`, as the
 * policies of users are; what follows from PeerAuthentications has names that no user can give.
 */
import type { Reader } from '@watershed/derive/graph.ts';
import { AuthorizationAction } from '@watershed/model/gen/model.ts';
import { ProxyType } from '@watershed/model/gen/record.ts';
import { convertedRules, plainTextRules } from '../../assembly/authentication.ts';
import type { Core } from '../../assembly/core.ts';
import type { NativeType } from '../../assembly/parts.ts';
import { everything } from '../../inputs.ts';
import { job, type ResourceKey, type ResourcePlan } from '../../plan.ts';
import { authorization, type AuthorizationArgument } from './generator.ts';

const typeUrl = 'type.googleapis.com/istio.security.Authorization';

export const authorizations: NativeType = {
  typeUrl,
  proxies: [ProxyType.PROXY_TYPE_ZTUNNEL],
  plans(core) {
    const known = core.inputs.graph.query<string, ReadonlyMap<string, AuthorizationArgument>>({
      name: 'authorizations',
      id: (at) => at,
      compute: (read) => argumentsOf(core, read),
    });
    return {
      keys: (read) => [
        [...read.query(known, everything).keys()].map((name) => ({ typeUrl, name, variant: '' })),
      ],
      plan: (read, key) => planOf(key, read.query(known, everything).get(key.name)),
    };
  },
};

function planOf(key: ResourceKey, known: AuthorizationArgument | undefined) {
  if (known === undefined) return undefined;
  const plan: ResourcePlan = {
    key,
    parts: [job(authorization, known)],
    refs: [],

    bypassesEpochs: false,
  };
  return plan;
}

/** By name, in its order. Policies are few: they are looked through as a whole. */
function argumentsOf(core: Core, read: Reader): ReadonlyMap<string, AuthorizationArgument> {
  const found: AuthorizationArgument[] = [];
  for (const { value } of read.lookup(core.inputs.indexes.authorizations, everything)) {
    const { namespace, name, cluster } = value;
    const { selector, action, rules } = value.value;
    const rootNamespace = rootOf(core, read, cluster);
    const all = namespace === rootNamespace ? 'mesh' : 'namespace';
    const reach = Object.keys(selector).length > 0 ? 'workloads' : all;
    found.push({ name, namespace, reach, action, rules });
  }
  for (const { value } of read.lookup(core.inputs.indexes.peerAuthentications, everything)) {
    const rootNamespace = rootOf(core, read, value.cluster);
    const { AUTHORIZATION_ACTION_DENY: action } = AuthorizationAction;
    const deny = { reach: 'workloads', action } as const;
    found.push({ ...deny, ...plainTextRules, namespace: rootNamespace });
    const converted = convertedRules(core, read, value, rootNamespace);
    if (converted !== undefined) found.push({ ...deny, ...converted });
  }
  const byName = new Map<string, AuthorizationArgument>();
  for (const one of found) {
    const name = `${one.namespace}/${one.name}`;
    if (!byName.has(name)) byName.set(name, one);
  }
  return new Map([...byName].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function rootOf(core: Core, read: Reader, cluster: string): string {
  return read.query(core.mesh.rootNamespace, read.query(core.mesh.refOf, cluster));
}
