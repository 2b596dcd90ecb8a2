/** Which hosts a Sidecar's egress listener names, by the namespace of what has them. */
import type { EgressHost } from '@watershed/model/gen/model.ts';
import { isSubsetOf, isWildcard, overlaps } from './hosts.ts';

export interface HostFilter {
  /** Namespaces named, `*` for any. */
  readonly namespaces: readonly string[];
  /** Every host named is exact, in a namespace named: nothing else need be looked at. */
  readonly exact: readonly EgressHost[] | undefined;
  /** Of services: whether what the service's host names is covered. */
  covers(namespace: string, host: string): boolean;
  /** Of routes: whether a host of the route and a host named have anything in common. */
  touches(namespace: string, host: string): boolean;
}

/** All that is exported to the client. */
export const allHosts: readonly EgressHost[] = [{ namespace: '*', host: '*' }];

/** @param clientNamespace what a namespace "." stands for, in the root namespace's Sidecar */
export function hostFilter(hosts: readonly EgressHost[], clientNamespace: string): HostFilter {
  const byNamespace = new Map<string, string[]>();
  const resolved = hosts
    .filter((entry) => entry.namespace !== '~')
    .map((entry) => (entry.namespace === '.' ? { ...entry, namespace: clientNamespace } : entry));
  for (const { namespace, host } of resolved) {
    const known = byNamespace.get(namespace);
    if (known === undefined) byNamespace.set(namespace, [host]);
    else known.push(host);
  }
  const anywhere = byNamespace.get('*') ?? [];
  const some = (namespace: string, test: (named: string) => boolean): boolean =>
    (byNamespace.get(namespace)?.some(test) ?? false) || anywhere.some(test);
  const narrow = resolved.every(({ namespace, host }) => namespace !== '*' && !isWildcard(host));
  return {
    namespaces: [...byNamespace.keys()].sort(),
    exact: narrow ? resolved : undefined,
    covers: (namespace, host) => some(namespace, (named) => isSubsetOf(host, named)),
    touches: (namespace, host) => some(namespace, (named) => overlaps(host, named)),
  };
}
