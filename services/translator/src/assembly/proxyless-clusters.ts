/** Clusters of gRPC without a proxy: of what a policy says, that which gRPC can do. */
import type { Reader } from '@watershed/derive/graph.ts';
import { LbAlgorithm } from '@watershed/model/gen/model.ts';
import type { LocalityArgument } from '../generators/addresses.ts';
import type { ProxylessClusterArgument } from '../generators/proxyless-cluster.ts';
import type { Diagnostic } from '../plan.ts';
import { originatedTls, type ClusterFacts } from './cluster-facts.ts';
import { nameOfCluster, type ClusterKey } from './cluster-key.ts';
import { tlsOf } from './cluster-tls.ts';
import type { LocalityQueries } from './localities.ts';
import { limitsOf } from './pools.ts';
import { clusterWords } from './user-fields.ts';

/** @param named endpoints that are named with the cluster, for discovery by DNS */
export function proxylessArgument(
  read: Reader,
  localities: LocalityQueries,
  key: ClusterKey,
  facts: ClusterFacts,
  named: readonly LocalityArgument[],
): ProxylessClusterArgument {
  const { meshTls, traffic } = facts;
  const tls = meshTls === 'none' ? undefined : tlsOf(read, localities, key, facts);
  const problems = problemsOf(key, facts, named);
  return {
    name: nameOfCluster(key),
    dns: facts.kind === 'eds' ? undefined : dnsOf(key, facts, named),
    balance: balanceFrom(facts),
    maxRequests: limitsOf(traffic.connectionPool).maxRequests,
    identities: tls?.subjectAltNames,
    ...(problems.length === 0 ? {} : { problems }),
  };
}

/** gRPC resolves one name; its resolver takes addresses as they are. */
function dnsOf(
  { host }: ClusterKey,
  { service, port }: ClusterFacts,
  named: readonly LocalityArgument[],
): ProxylessClusterArgument['dns'] {
  const first = named.flatMap(({ endpoints }) => endpoints)[0];
  if (first !== undefined && !first.address.startsWith('unix://')) {
    return { name: first.address, port: first.port };
  }
  return { name: service.externalName || host, port: port.targetPort || port.number };
}

/** gRPC's maximum; its own default is 1,024 as well. */
const maxRingSize = 8_388_608;

function balanceFrom({ traffic }: ClusterFacts): ProxylessClusterArgument['balance'] {
  const settings = traffic.loadBalancer;
  const asked = settings?.algorithm === LbAlgorithm.LB_ALGORITHM_RING_HASH;
  if (settings?.hash === undefined && !asked) return { by: 'round-robin' };
  return { by: 'ring-hash', minimumSize: Math.min(settings?.minimumRingSize || 1024, maxRingSize) };
}

const balancers: Readonly<Partial<Record<LbAlgorithm, string>>> = {
  [LbAlgorithm.LB_ALGORITHM_RANDOM]: 'RANDOM',
  [LbAlgorithm.LB_ALGORITHM_MAGLEV]: 'MAGLEV',
  [LbAlgorithm.LB_ALGORITHM_PASSTHROUGH]: 'PASSTHROUGH',
};

function problemsOf(
  key: ClusterKey,
  { traffic }: ClusterFacts,
  named: readonly LocalityArgument[],
): readonly Diagnostic[] {
  const problems: Diagnostic[] = [];
  const object = key.policies.split(' ')[0] ?? '';
  const refuse = (field: string, value: string, reason: string): void => {
    if (object === '') return;
    const full = `gRPC without a proxy: ${reason} (${clusterWords(key)})`;
    problems.push({ object, field: `spec.trafficPolicy.${field}`, value, reason: full });
  };
  const { loadBalancer, outlierDetection } = traffic;
  const other = loadBalancer && balancers[loadBalancer.algorithm];
  if (other !== undefined) {
    refuse('loadBalancer', other, 'such a balancer is not known, so calls go round robin');
  }
  if (outlierDetection !== undefined) {
    refuse('outlierDetection', '', 'endpoints are not taken out for errors in a row');
  }
  const tls = originatedTls(traffic);
  if (tls !== undefined) refuse('tls.mode', '', 'TLS is with the certificates of the mesh alone');
  const [called, ...others] = named.flatMap(({ endpoints }) => endpoints);
  if (called !== undefined && others.length > 0) {
    // Of the host: which of its objects has the endpoints is not known here.
    const reason = 'gRPC without a proxy: of several names the first alone is called';
    problems.push({ object: key.host, field: 'endpoints', value: called.address, reason });
  }
  return problems;
}
