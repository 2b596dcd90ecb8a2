/**
 * Secrets over SDS. A resource's name is `kubernetes://name` for a secret of the proxy's own
 * namespace, or `kubernetes://namespace/name`; with `-cacert` behind it, the roots of that secret
 * (istiod's names).
 */
import type { Reader } from '@watershed/derive/graph.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import type { Secret } from '@watershed/model/gen/model.ts';
import type { ScopeClass } from '@watershed/model/gen/record.ts';
import { sealedSecret } from '../generators/secret.ts';
import { caSuffix } from '../generators/tls.ts';
import type { Keyed } from '../inputs.ts';
import { job, type ResourceKey } from '../plan.ts';
import type { Core } from './core.ts';
import type { PlanOf } from './parts.ts';
import { decodeVariant, encodeVariant, field } from './variant.ts';

const scheme = 'kubernetes://';

/** Whether it is a reference into a namespace; else it is into that of the proxy. */
function namesNamespace(name: string): boolean {
  return name.slice(scheme.length).includes('/');
}

/** The Secret as users name it. */
export function secretName(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1);
}

/**
 * Of a name under which proxies of a namespace find nothing: which Secret users look for, and what
 * it lacks. Whether it is there and was refused is not known here.
 */
export function lackOf(name: string, own: string): { secret: string; lack: string } {
  const path = name.slice(scheme.length);
  const at = path.indexOf('/');
  const namespace = at < 0 ? own : path.slice(0, at);
  const whole = secretName(name);
  const isRoots = whole.endsWith(caSuffix);
  const secret = isRoots ? whole.slice(0, -caSuffix.length) : whole;
  const lack = isRoots
    ? `no CA certificate, in Secret ${secret} or ${whole}`
    : `no certificate in a Secret ${secret}`;
  return {
    secret,
    lack: `namespace ${namespace} has ${lack} (if it was refused, see its own diagnostics)`,
  };
}

/** Keys of the secrets that a proxy of the scope finds under these names. */
export function secretKeys(
  names: readonly string[],
  scope: Pick<ScopeClass, 'namespace' | 'cluster'>,
): readonly ResourceKey[] {
  return names
    .filter((name) => name.startsWith(scheme))
    .map((name) => ({
      typeUrl: resourceTypes.secret,
      name,
      variant: encodeVariant({
        n: namesNamespace(name) ? '' : scope.namespace,
        c: scope.cluster,
      }),
    }));
}

/** `undefined`: there is no such secret, or it has not what the name asks for. */
export function createSecretPlans(core: Core): PlanOf {
  return (read, key) => {
    const found = findSecret(core, read, key);
    if (found === undefined) return undefined;
    const parts = [job(sealedSecret, { record: found.bytes })];
    return { key, parts, refs: [], bypassesEpochs: false };
  };
}

function findSecret(core: Core, read: Reader, key: ResourceKey): Keyed<Secret> | undefined {
  const fields = decodeVariant(key.variant);
  const path = key.name.slice(scheme.length);
  const at = path.indexOf('/');
  const namespace = at < 0 ? field(fields, 'n') : path.slice(0, at);
  const name = path.slice(at + 1);
  const of = (wanted: string, has: (secret: Secret) => boolean): Keyed<Secret> | undefined => {
    const known = read
      .lookup(core.inputs.indexes.secretsByName, `${namespace}|${wanted}`)
      .map((entry) => entry.value)
      .filter((secret) => has(secret.value));
    return known.find((secret) => secret.cluster === field(fields, 'c')) ?? known[0];
  };
  if (!name.endsWith(caSuffix)) return of(name, (secret) => secret.hasCertificate);
  // Roots in a secret of their own go before those beside the certificate.
  const owner = name.slice(0, -caSuffix.length);
  return of(name, (secret) => secret.hasCa) ?? of(owner, (secret) => secret.hasCa);
}
