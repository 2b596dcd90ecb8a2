/** Clusters: which ones a service has for a client, and the job that makes each. */
import type { Reader } from '@watershed/derive/graph.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import {
  ClientTlsMode,
  H2Upgrade,
  LbAlgorithm,
  type LoadBalancer,
} from '@watershed/model/gen/model.ts';
import type { LocalityArgument } from '../generators/addresses.ts';
import { cluster, type ClusterArgument, type Discovery } from '../generators/cluster.ts';
import type { UpstreamProtocol } from '../generators/connection-pool.ts';
import type { LoadBalancerArgument } from '../generators/load-balancer.ts';
import type { UpstreamTls } from '../generators/upstream-tls.ts';
import { caSuffix } from '../generators/tls.ts';
import { job, type Diagnostic, type ResourceKey } from '../plan.ts';
import { isAuto, originatedTls, type ClusterFacts, type FactsQuery } from './cluster-facts.ts';
import { nameOfCluster, parseCluster, type ClusterKey } from './cluster-key.ts';
import type { LocalityQueries } from './localities.ts';
import type { PlanOf } from './parts.ts';
import { localitiesOf, parsePlace, type ProxyPlace } from './placement.ts';
import { isHttp, isHttp2 } from './protocols.ts';

/** Plans of outbound clusters, by key. */
export function createClusterPlans(facts: FactsQuery, localities: LocalityQueries): PlanOf {
  return (read, key) => {
    const parsed = parseCluster(key.name, key.variant);
    const known = parsed && read.query(facts, parsed);
    if (parsed === undefined || known === undefined) return undefined;
    const eds = known.kind === 'eds' ? [key.name] : [];
    return {
      key,
      parts: [job(cluster, argumentOf(read, localities, parsed, known, parsePlace(key.variant)))],
      refs: [...eds, ...secretsOf(parsed, known)],
      follows: [],
      bypassesEpochs: false,
    };
  };
}

export function isClusterKey(key: ResourceKey): boolean {
  return key.typeUrl === resourceTypes.cluster && key.name.startsWith('outbound|');
}

function argumentOf(
  read: Reader,
  localities: LocalityQueries,
  key: ClusterKey,
  facts: ClusterFacts,
  place: ProxyPlace,
): ClusterArgument {
  const { traffic, mesh, port } = facts;
  const pool = traffic.connectionPool;
  return {
    name: nameOfCluster(key),
    discovery: discoveryOf(read, localities, key, facts, place),
    connectTimeoutMs: pool?.connectTimeoutMs ?? mesh.connectTimeoutMs,
    protocol: protocolOf(key, facts),
    http: isHttp(port.protocol),
    loadBalancer: loadBalancerOf(facts),
    pool: pool && { ...pool, connectTimeoutMs: undefined, tcpKeepalive: undefined },
    keepalive: pool?.tcpKeepalive ?? mesh.tcpKeepalive,
    outlier: traffic.outlierDetection,
    tls: tlsOf(read, localities, key, facts),
    proxyProtocol: traffic.proxyProtocol,
    drains: facts.service.drains,
    problems: problemsOf(key, facts),
  };
}

/**
 * Ports of unknown protocol speak what the client speaks; a gateway's clients negotiate on their
 * own.
 */
function protocolOf(key: ClusterKey, { traffic, port, mesh }: ClusterFacts): UpstreamProtocol {
  const pool = traffic.connectionPool;
  if (pool?.useClientProtocol === true) return 'client';
  if (isHttp2(port.protocol)) return 'http2';
  const upgrade = pool?.h2Upgrade ?? H2Upgrade.H2_UPGRADE_DEFAULT;
  if (upgrade === H2Upgrade.H2_UPGRADE_UPGRADE) return 'http2';
  if (isAuto(port.protocol) && !key.client.router) return 'client';
  const byDefault = upgrade === H2Upgrade.H2_UPGRADE_DEFAULT && mesh.h2Upgrade;
  return byDefault && isHttp(port.protocol) ? 'http2' : 'http1';
}

function loadBalancerOf({ traffic, locality }: ClusterFacts): LoadBalancerArgument {
  const settings: Partial<LoadBalancer> = traffic.loadBalancer ?? {};
  return {
    algorithm: settings.algorithm ?? LbAlgorithm.LB_ALGORITHM_UNSPECIFIED,
    hash: settings.hash,
    minimumRingSize: settings.minimumRingSize ?? 0,
    maglevTableSize: settings.maglevTableSize ?? 0,
    warmupMs: settings.warmupMs ?? 0,
    warmupAggression: settings.warmupAggression ?? 0,
    warmupMinimumPercent: settings.warmupMinimumPercent ?? 0,
    localityWeights:
      locality.distribute.length > 0 ||
      (locality.failover && locality.failoverTo.length + locality.failoverPriority.length > 0),
  };
}

// ---------------------------------------------------------------- endpoints by DNS

function discoveryOf(
  read: Reader,
  localities: LocalityQueries,
  key: ClusterKey,
  facts: ClusterFacts,
  place: ProxyPlace,
): Discovery {
  const { kind } = facts;
  if (kind === 'eds' || kind === 'original-dst') return { kind };
  const logical = kind === 'logical-dns';
  const known = localitiesOf(read, localities, facts, place);
  const all = known.length > 0 ? known : namedBy(key, facts);
  return { kind: 'dns', logical, localities: logical ? onlyFirst(all) : all };
}

/** The host itself, or the name that it stands for. */
function namedBy(key: ClusterKey, { service, port }: ClusterFacts): readonly LocalityArgument[] {
  const address = service.externalName === '' ? key.host : service.externalName;
  if (address.startsWith('*') || (service.externalName === '' && service.selective)) return [];
  const number = port.targetPort === 0 ? port.number : port.targetPort;
  const endpoint = { address, port: number, weight: 1, health: 'healthy', mtls: false } as const;
  return [{ region: '', zone: '', subZone: '', priority: 0, weight: 1, endpoints: [endpoint] }];
}

/** Envoy takes one name for a logical DNS cluster. */
function onlyFirst(all: readonly LocalityArgument[]): readonly LocalityArgument[] {
  return all.slice(0, 1).map((one) => ({ ...one, endpoints: one.endpoints.slice(0, 1) }));
}

// ---------------------------------------------------------------- TLS

function tlsOf(
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
  return {
    kind: 'originated',
    mutual: tls.mode === ClientTlsMode.CLIENT_TLS_MODE_MUTUAL,
    sni: tls.sni,
    subjectAltNames: tls.subjectAltNames.length > 0 ? tls.subjectAltNames : service.subjectAltNames,
    credential: tls.credential,
    certificateFile: tls.clientCertificate,
    keyFile: tls.privateKey,
    rootsFile: tls.caCertificates === '' ? 'system' : tls.caCertificates,
    insecure: tls.insecureSkipVerify,
  };
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

function problemsOf(key: ClusterKey, facts: ClusterFacts): readonly Diagnostic[] {
  const tls = originatedTls(facts.traffic);
  if (tls === undefined || !isWithheld(key, facts)) return [];
  const object = key.policies.split(' ')[0] ?? '';
  const name = nameOfCluster(key);
  if (tls.credential !== '') {
    const reason = `a sidecar gets a credential only by a rule with a workloadSelector (${name})`;
    return [{ object, field: 'trafficPolicy.tls.credentialName', value: tls.credential, reason }];
  }
  const reason = `MUTUAL needs a client certificate and its key (${name})`;
  return [{ object, field: 'trafficPolicy.tls.clientCertificate', value: '', reason }];
}

/** Names of secrets over SDS that a cluster needs. */
export function secretsOf(key: ClusterKey, facts: ClusterFacts): readonly string[] {
  const tls = originatedTls(facts.traffic);
  if (tls === undefined || tls.credential === '' || isWithheld(key, facts)) return [];
  const mutual = tls.mode === ClientTlsMode.CLIENT_TLS_MODE_MUTUAL;
  const roots = tls.insecureSkipVerify ? [] : [`${tls.credential}${caSuffix}`];
  return mutual ? [tls.credential, ...roots] : roots;
}
