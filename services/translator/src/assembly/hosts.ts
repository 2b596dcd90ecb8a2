/**
 * Host names as services, policies, routes and Sidecars write them: `a.b`, `*.b` or `*`, lower
 * case, no trailing dot. The rules are Istio's (pkg/config/host).
 */

export function isWildcard(host: string): boolean {
  return host.startsWith('*');
}

/** Whether all that `host` names is named by `other` too. */
export function isSubsetOf(host: string, other: string): boolean {
  if (!isWildcard(other)) return host === other;
  if (!isWildcard(host)) return host.endsWith(other.slice(1));
  return host.length >= other.length && host.slice(1).endsWith(other.slice(1));
}

/** Whether the two name anything in common. */
export function overlaps(a: string, b: string): boolean {
  return isSubsetOf(a, b) || isSubsetOf(b, a);
}

/** More specific first: exact hosts, then longer wildcards; equal ones by their characters. */
export function bySpecificity(a: string, b: string): number {
  if (isWildcard(a) !== isWildcard(b)) return isWildcard(a) ? 1 : -1;
  if (a.length !== b.length) return b.length - a.length;
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * The most specific of `hosts` that covers `host`: the exact one, else the longest wildcard.
 *
 * @param wildcards most specific first
 */
export function mostSpecific<V>(
  host: string,
  exact: ReadonlyMap<string, V>,
  wildcards: readonly (readonly [string, V])[],
): V | undefined {
  const known = exact.get(host);
  if (known !== undefined) return known;
  for (const [wildcard, value] of wildcards) if (isSubsetOf(host, wildcard)) return value;
  return undefined;
}
