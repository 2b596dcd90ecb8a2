/** Under which names a service is called: the domains of its virtual host (istiod's). */

export interface CalledService {
  readonly host: string;
  readonly addresses: readonly string[];
  /** Single pods are called by a name in front of the service's. */
  readonly headless: boolean;
}

/**
 * The host first, then its short forms, its addresses last. Ports are left to the table, which
 * ignores them.
 *
 * @param dnsDomain the client's: `namespace.svc.cluster.local`
 */
export function domainsOf(service: CalledService, dnsDomain: string): readonly string[] {
  const names = [service.host, ...shortNames(service.host, dnsDomain)];
  if (service.headless) names.push(...names.map((name) => `*.${name}`));
  for (const address of service.addresses) {
    if (isCalled(address)) names.push(bracketed(address));
  }
  return names;
}

/**
 * Where the port tells virtual hosts apart (an HTTP proxy's table): every domain with the port;
 * those of port 80 without, too.
 */
export function withPort(domains: readonly string[], port: number): readonly string[] {
  return domains.flatMap((domain) => {
    const full = `${domain}:${port}`;
    return port === 80 ? [domain, full] : [full];
  });
}

/** Forms of a host's name that a resolver of the client's search domains completes. */
export function shortNames(host: string, dnsDomain: string): readonly string[] {
  const absolute = isAddress(host) ? [] : [`${host}.`];
  return [...absolute, ...(dnsDomain.includes('.svc.') ? ofKubernetes : ofDomain)(host, dnsDomain)];
}

/**
 * `name.namespace.svc.suffix` under the client's suffix; other names could be taken for a
 * service's.
 */
function ofKubernetes(host: string, dnsDomain: string): readonly string[] {
  const at = dnsDomain.indexOf('.svc.');
  if (!host.endsWith(dnsDomain.slice(at))) return [];
  const [name = '', namespace, ...rest] = host.slice(0, host.indexOf('.svc.')).split('.');
  if (namespace === undefined || rest.length > 0) return [];
  const qualified = [`${name}.${namespace}`, `${name}.${namespace}.svc`];
  return namespace === dnsDomain.slice(0, at) ? [name, ...qualified] : qualified;
}

/** What the two have in common at the end may be left out. */
function ofDomain(host: string, dnsDomain: string): readonly string[] {
  const labels = host.split('.');
  const own = dnsDomain.split('.');
  let shared = 0;
  while (
    shared < Math.min(labels.length, own.length) &&
    labels.at(-1 - shared) === own.at(-1 - shared)
  ) {
    shared++;
  }
  const unique = labels.slice(0, labels.length - shared);
  if (shared === 0 || unique.length === 0) return [];
  const name = unique.join('.');
  return unique.length === 2 ? [name, `${name}.${own[own.length - shared] ?? ''}`] : [name];
}

function isAddress(host: string): boolean {
  return /^[\d.]+$/.test(host) || host.includes(':');
}

/** A block of addresses is nobody's Host. */
function isCalled(address: string): boolean {
  return !['', '0.0.0.0', '::'].includes(address) && !address.includes('/');
}

function bracketed(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}
