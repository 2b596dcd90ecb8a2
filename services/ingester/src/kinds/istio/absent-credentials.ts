/**
 * Secrets that objects of Istio's API name and nobody could find. A proxy looks in its own
 * namespace, which is not known here; so what is told of is what no namespace has, and the rest the
 * translator tells, of the proxies that there are. Istio leaves this to `istioctl analyze`
 * (IST0101), which goes by the gateways' Pods.
 */
import type { Reader } from '@watershed/derive/graph.ts';
import {
  ClientTLSSettings_TLSmode as ClientMode,
  type DestinationRule,
  type TrafficPolicy,
} from '@watershed/proto/istio/networking/v1alpha3/destination_rule.ts';
import {
  ServerTLSSettings_TLSmode as ServerMode,
  type Gateway,
} from '@watershed/proto/istio/networking/v1alpha3/gateway.ts';
import { show } from '../../decode.ts';
import type { ObjectRef, Problem, World } from '../../kind.ts';
import { butRefused, wasRefused } from '../common/absent.ts';
import { maxTold } from '../common/told.ts';
import { nameIndex, secretKind } from '../core/secret.ts';
import { credentialName } from './credentials.ts';
import { isTerminating } from './tls-check.ts';

interface Wanted {
  readonly field: string;
  /** As it is written. */
  readonly name: string;
  /** A certificate with its key, or roots (those of a Secret beside it, `NAME-cacert`, go first). */
  readonly of: 'certificate' | 'roots';
}

const caSuffix = '-cacert';

/** `namespace`: that of the proxies, where it is known. */
export function absentCredentials(
  read: Reader,
  world: World,
  wanted: Iterable<Wanted>,
  namespace?: string,
): readonly Problem[] {
  const told = new Map<string, Problem>();
  for (const { field, name, of } of wanted) {
    if (told.has(field)) continue;
    const bare = credentialName(name);
    const names = of === 'roots' ? rootNames(bare) : [bare];
    const reason = whyUnusable(read, world, { names, of, namespace });
    if (reason === undefined) continue;
    told.set(field, { severity: 'warning', field, value: show(name), reason });
    if (told.size === maxTold) break;
  }
  return [...told.values()];
}

function rootNames(name: string): readonly string[] {
  const owner = name.endsWith(caSuffix) ? name.slice(0, -caSuffix.length) : name;
  return [`${owner}${caSuffix}`, owner];
}

interface Search extends Pick<Wanted, 'of'> {
  readonly names: readonly string[];
  readonly namespace: string | undefined;
}

function whyUnusable(
  read: Reader,
  world: World,
  { names, of, namespace }: Search,
): string | undefined {
  const isThere = (ref: ObjectRef): boolean => {
    return namespace === undefined || ref.namespace === namespace;
  };
  const index = world.index(secretKind, nameIndex);
  const secrets = names.flatMap((name) =>
    read.lookup(index, name).flatMap(({ value }) => (isThere(value.ref) ? [value] : [])),
  );
  const entry = of === 'roots' ? 'caCertificates' : 'certificateChain';
  if (secrets.some(({ spec }) => (spec.material?.[entry].length ?? 0) > 0)) return undefined;
  const refused = names.flatMap((name) => world.refused(read, secretKind, name)).filter(isThere);
  const [first] = secrets;
  if (first === undefined) {
    if (refused.length > 0) return wasRefused(refused);
    return namespace === undefined
      ? 'no namespace has such a Secret; proxies look in their own'
      : `namespace ${namespace} has no such Secret`;
  }
  const lacks = of === 'roots' ? 'CA certificate' : 'certificate with its key';
  const reason = `Secret ${first.ref.namespace}/${first.ref.name} has no ${lacks}`;
  return `${reason}${butRefused(refused)}`;
}

export function* credentialsOfServers({ servers }: Gateway): Iterable<Wanted> {
  for (const [index, { tls }] of servers.entries()) {
    if (tls === undefined || !isTerminating(tls.mode) || tls.mode === ServerMode.ISTIO_MUTUAL) {
      continue;
    }
    const field = `spec.servers[${index}].tls`;
    const several = tls.credentialNames.map((name, at) => ({
      field: `${field}.credentialNames[${at}]`,
      name,
    }));
    const one = { field: `${field}.credentialName`, name: tls.credentialName };
    const certificates = one.name === '' ? several : [one];
    for (const certificate of certificates) yield { ...certificate, of: 'certificate' };
    if (tls.mode === ServerMode.SIMPLE) continue;
    const ca = { field: `${field}.caCertCredentialName`, name: tls.caCertCredentialName };
    const roots = ca.name === '' ? certificates[0] : ca;
    if (roots !== undefined) yield { ...roots, of: 'roots' };
  }
}

export function* credentialsOfRule(rule: DestinationRule): Iterable<Wanted> {
  yield* credentialsOfPolicy(rule.trafficPolicy, 'spec.trafficPolicy');
  for (const [index, { trafficPolicy }] of rule.subsets.entries()) {
    yield* credentialsOfPolicy(trafficPolicy, `spec.subsets[${index}].trafficPolicy`);
  }
}

function* credentialsOfPolicy(policy: TrafficPolicy | undefined, field: string): Iterable<Wanted> {
  const ports = policy?.portLevelSettings ?? [];
  const places = [
    { tls: policy?.tls, at: `${field}.tls` },
    ...ports.map(({ tls }, index) => ({ tls, at: `${field}.portLevelSettings[${index}].tls` })),
  ];
  for (const { tls, at } of places) {
    if (tls === undefined || tls.credentialName === '') continue;
    const wanted = { field: `${at}.credentialName`, name: tls.credentialName };
    if (tls.mode === ClientMode.MUTUAL) yield { ...wanted, of: 'certificate' };
    if (tls.insecureSkipVerify !== true) yield { ...wanted, of: 'roots' };
  }
}
