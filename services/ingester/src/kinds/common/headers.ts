/** Names and values of HTTP headers, as Envoy takes them in routes. */

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/u;
// Bytes that protoc-gen-validate's strict header rule refuses: control characters other than tab.
// oxlint-disable-next-line no-control-regex -- they are what is refused
const control = /[\u0000-\u0008\u000a-\u001f\u007f]/u;
const pseudo = new Set([':method', ':scheme', ':authority', ':path', ':status']);

export function isHeaderName(name: string): boolean {
  return token.test(name);
}

export function isPseudoHeader(name: string): boolean {
  return pseudo.has(name);
}

export function isAuthorityHeader(name: string): boolean {
  const lower = name.toLowerCase();
  return lower === ':authority' || lower === 'host';
}

/** A match on a JWT's claims, in the form of a header's name. */
export function isClaimMatch(name: string): boolean {
  return /^@request\.auth\.claims(?:\..|\[.+\]$)/iu.test(name);
}

/** Envoy takes none in what becomes a part of a header (of a path or a host, too). */
export function controlProblem(text: string): string | undefined {
  return control.test(text) ? 'must not contain control characters' : undefined;
}
