/** Clusters of services: what makes each. */
import type { Reader } from '@watershed/derive/graph.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import { H2Upgrade, LbAlgorithm, type LoadBalancer } from '@watershed/model/gen/model.ts';
import type { LocalityArgument } from '../generators/addresses.ts';
import { cluster, type ClusterArgument, type Discovery } from '../generators/cluster.ts';
import type { UpstreamProtocol } from '../generators/connection-pool.ts';
import type { BalanceArgument, Warmup } from '../generators/load-balancer.ts';
import { proxylessCluster } from '../generators/proxyless-cluster.ts';
import { job, type Job, type ResourceKey } from '../plan.ts';
import { isAuto, type ClusterFacts, type FactsQuery } from './cluster-facts.ts';
import { nameOfCluster, parseCluster, type ClusterKey } from './cluster-key.ts';
import { problemsOf, secretsOf, tlsOf } from './cluster-tls.ts';
import type { LocalityQueries } from './localities.ts';
import type { PlanOf } from './parts.ts';
import { localitiesOf, parsePlace, type ProxyPlace } from './placement.ts';
import { lifeOf, limitsOf } from './pools.ts';
import { isHttp, isHttp2 } from './protocols.ts';
import { proxylessArgument } from './proxyless-clusters.ts';
import type { Traffic } from './traffic.ts';

/** Plans of outbound clusters, by key. */
export function createClusterPlans(facts: FactsQuery, localities: LocalityQueries): PlanOf {
  return (read, key) => {
    const parsed = parseCluster(key.name, key.variant);
    const known = parsed && read.query(facts, parsed);
    if (parsed === undefined || known === undefined) return undefined;
    const eds = known.kind === 'eds' ? [key.name] : [];
    return {
      key,
      parts: [jobOf(read, localities, parsed, known, parsePlace(key.variant))],
      refs: parsed.client.proxyless ? eds : [...eds, ...secretsOf(parsed, known)],
      bypassesEpochs: false,
    };
  };
}

export function isClusterKey(key: ResourceKey): boolean {
  return key.typeUrl === resourceTypes.cluster && key.name.startsWith('outbound|');
}

function jobOf(
  read: Reader,
  localities: LocalityQueries,
  key: ClusterKey,
  facts: ClusterFacts,
  place: ProxyPlace,
): Job {
  if (!key.client.proxyless) return job(cluster, argumentOf(read, localities, key, facts, place));
  const discovery = discoveryOf(read, localities, key, facts, place);
  const named = discovery.kind === 'dns' ? discovery.localities : [];
  return job(proxylessCluster, proxylessArgument(read, localities, key, facts, named));
}

function argumentOf(
  read: Reader,
  localities: LocalityQueries,
  key: ClusterKey,
  facts: ClusterFacts,
  place: ProxyPlace,
): ClusterArgument {
  const { traffic, mesh, port, locality } = facts;
  const pool = traffic.connectionPool;
  const protocol = protocolOf(key, facts);
  const discovery = discoveryOf(read, localities, key, facts, place);
  const problems = problemsOf(key, facts);
  return {
    name: nameOfCluster(key),
    discovery,
    connectTimeoutMs: pool?.connectTimeoutMs ?? mesh.connectTimeoutMs,
    protocol,
    http: isHttp(port.protocol),
    balance: discovery.kind === 'original-dst' ? originalDestination : balanceFrom(traffic),
    localityWeights:
      locality.distribute.length > 0 ||
      (locality.failover && locality.failoverTo.length + locality.failoverPriority.length > 0),
    limits: limitsOf(pool),
    life: lifeOf(pool, protocol),
    keepalive: pool?.tcpKeepalive ?? mesh.tcpKeepalive,
    outlier: traffic.outlierDetection,
    tls: tlsOf(read, localities, key, facts),
    proxyProtocol: traffic.proxyProtocol,
    drains: facts.service.drains,
    streams: key.client.streams,
    ...(problems.length === 0 ? {} : { problems }),
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

const originalDestination: BalanceArgument = { by: 'original-destination' };

/** Envoy's default, and the size that istiod writes where none is asked for. */
const defaultRingSize = 1024;

function balanceFrom({ loadBalancer: settings }: Traffic): BalanceArgument {
  if (settings === undefined) return { by: 'least-request' };
  const { algorithm, hash, minimumRingSize, maglevTableSize: size } = settings;
  if (algorithm === LbAlgorithm.LB_ALGORITHM_MAGLEV) {
    return { by: 'maglev', ...(size === 0 ? {} : { size }) };
  }
  if (hash !== undefined || algorithm === LbAlgorithm.LB_ALGORITHM_RING_HASH) {
    return { by: 'ring-hash', minimumSize: minimumRingSize || defaultRingSize };
  }
  const warmup = warmupOf(settings);
  const slowly = warmup === undefined ? {} : { warmup };
  switch (algorithm) {
    case LbAlgorithm.LB_ALGORITHM_RANDOM:
      return { by: 'random' };
    case LbAlgorithm.LB_ALGORITHM_PASSTHROUGH:
      return originalDestination;
    case LbAlgorithm.LB_ALGORITHM_ROUND_ROBIN:
      return { by: 'round-robin', ...slowly };
    default:
      return { by: 'least-request', ...slowly };
  }
}

/** Aggression 1 is a linear ramp; 10 % is Envoy's own start. */
function warmupOf(settings: LoadBalancer): Warmup | undefined {
  if (settings.warmupMs === 0) return undefined;
  return {
    windowMs: settings.warmupMs,
    aggression: settings.warmupAggression || 1,
    minimumPercent: settings.warmupMinimumPercent || 10,
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
