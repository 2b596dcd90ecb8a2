/**
 * Host names as istiod reads them: labels of RFC 1123 (upper case allowed, because users write it),
 * a wildcard in the first label, and short names that mean a service of the object's own
 * namespace.
 */
import { isIP } from 'node:net';

const maxHost = 255;
const maxLabel = 63;
const label = /^[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?$/u;
const wildcardLabel = /^(?:\*|(?:\*|\*-)?[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?)$/u;

export function isDnsLabel(value: string): boolean {
  return value.length <= maxLabel && label.test(value);
}

/** Why the text is no fully qualified name; undefined if it is one. A trailing dot is allowed. */
export function nameProblem(name: string): string | undefined {
  return lengthProblem(name) ?? labelsProblem(name.split('.'));
}

/** The same, with `*`, `*.` or `*-` allowed at the front. */
export function wildcardNameProblem(name: string): string | undefined {
  const [first = '', ...rest] = name.split('.');
  const problem = lengthProblem(name);
  if (problem !== undefined) return problem;
  if (first.length > maxLabel || !wildcardLabel.test(first)) {
    return `is no host: its label ${JSON.stringify(first)} is not a DNS label or a wildcard`;
  }
  return rest.length === 0 ? undefined : labelsProblem(rest);
}

function lengthProblem(name: string): string | undefined {
  if (name === '') return 'must not be empty';
  return name.length > maxHost ? `must have at most ${maxHost} characters` : undefined;
}

function labelsProblem(labels: readonly string[]): string | undefined {
  if (/^[0-9]+$/u.test(labels.at(-1) ?? '')) return 'is no host: its last label is a number';
  for (const [index, part] of labels.entries()) {
    // A dot at the end.
    if (part === '' && index === labels.length - 1) return undefined;
    if (!isDnsLabel(part)) {
      return `is no host: its label ${JSON.stringify(part)} is not a DNS label`;
    }
  }
  return undefined;
}

export function isAddress(value: string): boolean {
  return isIP(value) !== 0;
}

export function isWildcard(host: string): boolean {
  return host.startsWith('*');
}

/** Lower case, no trailing dot: `Reviews.Default.` is `reviews.default`. */
export function canonicalHost(host: string): string {
  const lower = host.toLowerCase();
  return lower.length > 1 && lower.endsWith('.') ? lower.slice(0, -1) : lower;
}

/**
 * A host that a user wrote in an object of the namespace, in full form. A name without any dot is a
 * service's (`reviews` → `reviews.ns.svc.cluster.local`), everything else is taken as it is,
 * `reviews.ns` too (istiod's ResolveShortnameToFQDN).
 */
export function fullHost(host: string, namespace: string, domain: string): string {
  if (host === '' || host === '*' || host.includes('.') || isAddress(host)) {
    return canonicalHost(host);
  }
  return canonicalHost(`${host}.${namespace}.svc.${domain}`);
}

export function serviceHost(name: string, namespace: string, domain: string): string {
  return canonicalHost(`${name}.${namespace}.svc.${domain}`);
}

/** The service that a host in full form is of; `undefined`: it is of none. */
export function serviceAt(
  host: string,
  domain: string,
): { readonly namespace: string; readonly name: string } | undefined {
  const [name = '', namespace = '', ...rest] = host.split('.');
  return rest.join('.') === `svc.${domain}` ? { namespace, name } : undefined;
}

/** Whether some name is matched by both: `*.com` and `shop.com`, `*.com` and `*.shop.com`. */
export function hostsOverlap(a: string, b: string): boolean {
  if (isWildcard(a) && isWildcard(b)) {
    return a.slice(1).endsWith(b.slice(1)) || b.slice(1).endsWith(a.slice(1));
  }
  if (isWildcard(a)) return b.endsWith(a.slice(1));
  if (isWildcard(b)) return a.endsWith(b.slice(1));
  return a === b;
}

/** The wildcards that match all of a host, the longest first: `*.b.c` and `*.c` of `a.b.c`. */
export function wildcardsOver(host: string): readonly string[] {
  const labels = host.split('.');
  return labels.slice(1).map((_, at) => `*.${labels.slice(at + 1).join('.')}`);
}

/** The narrower of two hosts that overlap; undefined if they do not. */
export function hostIntersection(a: string, b: string): string | undefined {
  if (!hostsOverlap(a, b)) return undefined;
  if (!isWildcard(a)) return a;
  if (!isWildcard(b)) return b;
  return a.length >= b.length ? a : b;
}

/** An IP address or a CIDR block, as istiod reads an address of a ServiceEntry. */
export function isSubnet(value: string): boolean {
  const [address = '', bits, more] = value.split('/');
  if (bits === undefined) return isAddress(value);
  if (more !== undefined || !/^(?:0|[1-9][0-9]{0,2})$/u.test(bits)) return false;
  const version = isIP(address);
  return version !== 0 && !address.includes('%') && Number(bits) <= (version === 4 ? 32 : 128);
}

/** `127.0.0.1:8080`, `[::1]:8080`, `:8080`; undefined if the text is not of this form. */
export function splitHostPort(value: string): { host: string; port: string } | undefined {
  const match = /^(?:\[(?<v6>[^\][]*)\]|(?<host>[^:[\]]*)):(?<port>[^:]*)$/u.exec(value);
  if (match?.groups === undefined) return undefined;
  return {
    host: match.groups['v6'] ?? match.groups['host'] ?? '',
    port: match.groups['port'] ?? '',
  };
}

export function byCodeUnit(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** Sorted, without duplicates: for lists whose order says nothing. */
export function sortedSet(values: Iterable<string>): string[] {
  return [...new Set(values)].sort(byCodeUnit);
}
