/**
 * Names of credentials. Istio's name secrets of the _proxy's_ namespace, which is not known here,
 * so their keys are without one: `kubernetes://name`. A key with a namespace is an authorised
 * reference to it (the Gateway API's, after its ReferenceGrants), so a user of Istio's API must not
 * be able to write one: a Gateway of one team could fetch the keys of another (CVE-2021-34824).
 */
const secretName = /^[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?$/u;
const maxName = 253;
const scheme = 'kubernetes://';

/** The name of the Secret. */
export function credentialName(name: string): string {
  return name.startsWith(scheme) ? name.slice(scheme.length) : name;
}

/** Why a credential's name cannot be used; undefined if it can. */
export function credentialProblem(name: string): string | undefined {
  const bare = credentialName(name);
  if (bare.includes('/')) {
    return bare.includes('://')
      ? 'must be the name of a secret: other sources of credentials are not supported'
      : "must be the name of a secret in the proxy's own namespace, without a namespace";
  }
  return bare.length <= maxName && secretName.test(bare)
    ? undefined
    : 'must be the name of a secret';
}

/** For a name without a problem. */
export function credentialKey(name: string): string {
  return name.startsWith(scheme) ? name : `${scheme}${name}`;
}

/** The key of a secret that the object was authorised to use. */
export function secretKey(namespace: string, name: string): string {
  return `${scheme}${namespace}/${name}`;
}
