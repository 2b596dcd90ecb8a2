/** TLS of a cluster: the mesh's own, or as the user asks for it. */
import type { Reader } from '@watershed/derive/graph.ts';
import { ClientTlsMode, type ClientTls } from '@watershed/model/gen/model.ts';
import { caSuffix } from '../generators/tls.ts';
import type { ClientCertificate, Roots, UpstreamTls } from '../generators/upstream-tls.ts';
import type { Diagnostic } from '../plan.ts';
import { originatedTls, type ClusterFacts } from './cluster-facts.ts';
import type { ClusterKey } from './cluster-key.ts';
import type { LocalityQueries } from './localities.ts';
import { secretName } from './secrets.ts';
import { clusterWords } from './user-fields.ts';

/** `undefined`: plain text. */
export function tlsOf(
  read: Reader,
  localities: LocalityQueries,
  key: ClusterKey,
  facts: ClusterFacts,
): UpstreamTls | undefined {
  const { service, traffic, meshTls } = facts;
  if (meshTls !== 'none') {
    const own = traffic.tls?.subjectAltNames ?? [];
    const host = { host: service.host, namespace: service.namespace };
    const sni = traffic.tls?.sni ?? '';
    return {
      kind: 'mesh',
      byEndpoint: meshTls === 'by-endpoint',
      sni: sni === '' ? meshSni(key) : sni,
      subjectAltNames:
        own.length > 0 ? own : identities(facts, read.query(localities.accounts, host)),
    };
  }
  const tls = originatedTls(traffic);
  if (tls === undefined || isWithheld(key, facts)) return undefined;
  const { sni, credential, insecureSkipVerify } = tls;
  const mutual = tls.mode === ClientTlsMode.CLIENT_TLS_MODE_MUTUAL;
  return {
    kind: 'originated',
    ...(sni === '' ? {} : { sni }),
    subjectAltNames: tls.subjectAltNames.length > 0 ? tls.subjectAltNames : service.subjectAltNames,
    ...(mutual ? { client: clientOf(tls) } : {}),
    ...(insecureSkipVerify ? {} : { roots: rootsFrom(credential, tls.caCertificates) }),
  };
}

function clientOf({ credential, clientCertificate, privateKey }: ClientTls): ClientCertificate {
  if (credential !== '') return { secret: credential };
  return { chainFile: clientCertificate, keyFile: privateKey };
}

function rootsFrom(credential: string, file: string): Roots {
  if (credential !== '') return { secret: `${credential}${caSuffix}` };
  return { file: file === '' ? 'system' : file };
}

/** `outbound_.80_.v1_.host`: gateways between networks route by it. */
function meshSni({ port, subset, host }: ClusterKey): string {
  return `outbound_.${port}_.${subset}_.${host}`;
}

function identities(
  { service, mesh }: ClusterFacts,
  accounts: readonly string[],
): readonly string[] {
  const named = accounts.map((account) =>
    account.startsWith('spiffe://')
      ? account
      : `spiffe://${mesh.trustDomain}/ns/${service.namespace}/sa/${account}`,
  );
  return [...new Set([...named, ...service.subjectAltNames])].sort();
}

/**
 * Credentials go to sidecars only by a policy that selects them (istiod): others could not read
 * them.
 */
function isWithheld(key: ClusterKey, { traffic, selective }: ClusterFacts): boolean {
  const tls = originatedTls(traffic);
  if (tls === undefined) return false;
  if (tls.credential !== '') return !key.client.router && !selective;
  const mutual = tls.mode === ClientTlsMode.CLIENT_TLS_MODE_MUTUAL;
  return mutual && (tls.clientCertificate === '' || tls.privateKey === '');
}

/** What of a policy's TLS cannot be honoured. */
export function problemsOf(key: ClusterKey, facts: ClusterFacts): readonly Diagnostic[] {
  const tls = originatedTls(facts.traffic);
  if (tls === undefined || !isWithheld(key, facts)) return [];
  const object = key.policies.split(' ')[0] ?? '';
  const at = 'spec.trafficPolicy.tls';
  const name = clusterWords(key);
  if (tls.credential !== '') {
    const reason = `a sidecar gets a credential only by a rule with a workloadSelector (${name})`;
    const value = secretName(tls.credential);
    return [{ object, field: `${at}.credentialName`, value, reason }];
  }
  const reason = `MUTUAL needs a client certificate and its key (${name})`;
  return [{ object, field: `${at}.clientCertificate`, value: '', reason }];
}

/** Names of secrets over SDS that a cluster needs. */
export function secretsOf(key: ClusterKey, facts: ClusterFacts): readonly string[] {
  const tls = originatedTls(facts.traffic);
  if (tls === undefined || tls.credential === '' || isWithheld(key, facts)) return [];
  const mutual = tls.mode === ClientTlsMode.CLIENT_TLS_MODE_MUTUAL;
  const roots = tls.insecureSkipVerify ? [] : [`${tls.credential}${caSuffix}`];
  return mutual ? [tls.credential, ...roots] : roots;
}
