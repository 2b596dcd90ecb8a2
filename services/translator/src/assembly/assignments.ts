/** ClusterLoadAssignments: a head, and a fragment per locality (and priority). */
import type { Reader } from '@watershed/derive/graph.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import type { ScopeClass } from '@watershed/model/gen/record.ts';
import type { LocalityArgument } from '../generators/addresses.ts';
import { assignmentHead, localityEndpoints } from '../generators/endpoints.ts';
import type { Inputs } from '../inputs.ts';
import { job, type Job, type ResourceKey } from '../plan.ts';
import type { ClusterFacts, FactsQuery, LocalityFacts } from './cluster-facts.ts';
import { clusterResource, clusterVariant, nameOfCluster, parseCluster } from './cluster-key.ts';
import type { ClusterKey } from './cluster-key.ts';
import { pickLabels } from './core.ts';
import { sameJob } from './jobs.ts';
import type { LocalityQueries, ShareKey } from './localities.ts';
import type { PlanOf } from './parts.ts';
import { localityPlan, type Placed } from './priorities.ts';
import { decodeLabels, decodeVariant, encodeLabels, encodeVariant, field } from './variant.ts';

type Labels = Readonly<Record<string, string>>;

/** Where a proxy is, as far as an assignment depends on it. */
export interface ProxyPlace {
  /** `region/zone/subZone`; '' where it does not matter. */
  readonly locality: string;
  readonly labels: Labels;
}

const nowhere: ProxyPlace = { locality: '', labels: {} };

/** What of a proxy's place the assignment of a cluster depends on. */
export function placeOf(facts: LocalityFacts, scope: ScopeClass): ProxyPlace {
  const { distribute, failover, failoverPriority } = facts;
  if (distribute.length === 0 && !failover) return nowhere;
  const names = failoverPriority.map((label) => label.split('=')[0] ?? '');
  const byLabels = distribute.length === 0 && failoverPriority.length > 0;
  const byPlace = !byLabels || facts.failoverTo.length > 0;
  const place = `${scope.region}/${scope.zone}/${scope.subZone}`;
  return {
    locality: byPlace && place !== '//' ? place : '',
    labels: byLabels ? pickLabels(scope.labels, names) : {},
  };
}

export function assignmentResource(key: ClusterKey, place: ProxyPlace): ResourceKey {
  const own = encodeVariant({ l: place.locality, f: encodeLabels(place.labels) });
  const ofCluster = clusterVariant(key);
  const variant = own === '' ? ofCluster : ofCluster === '' ? own : `${ofCluster};${own}`;
  return { typeUrl: resourceTypes.endpoint, name: nameOfCluster(key), variant, host: key.host };
}

function parsePlace(variant: string): ProxyPlace {
  const fields = decodeVariant(variant);
  return { locality: field(fields, 'l'), labels: decodeLabels(field(fields, 'f')) };
}

interface Fragment {
  readonly share: ShareKey;
  readonly priority: number;
  /** -1: what the endpoints weigh together. */
  readonly weight: number;
}

export function createAssignments(
  inputs: Inputs,
  facts: FactsQuery,
  localities: LocalityQueries,
): PlanOf {
  /** A locality whose endpoints are unchanged keeps its job. */
  const fragment = inputs.graph.query<Fragment, Job | undefined>({
    name: 'assignmentFragment',
    id: (key) => JSON.stringify(key),
    compute: (read, { share, priority, weight }) => {
      const known = localities.shareOf(read, share);
      if (known === undefined) return undefined;
      const argument: LocalityArgument = {
        ...known,
        priority,
        weight: weight < 0 ? known.weight : weight,
      };
      return job(localityEndpoints, argument);
    },
    equal: sameJob,
  });
  return (read, key) => {
    const cluster = parseCluster(key.name, key.variant);
    const known = cluster && read.query(facts, cluster);
    if (cluster === undefined || known?.kind !== 'eds') return undefined;
    const fragments = fragmentsOf(read, localities, known, parsePlace(key.variant));
    const jobs = fragments.flatMap((one) => read.query(fragment, one) ?? []);
    return {
      key,
      parts: [job(assignmentHead, { clusterName: key.name }), ...jobs],
      refs: [],
      follows: [clusterResource(cluster)],
      bypassesEpochs: true,
    };
  };
}

/** What of a locality's endpoints a cluster takes. */
export function shareKey(facts: ClusterFacts, locality: string): ShareKey {
  const { service, port, kind } = facts;
  return {
    host: service.host,
    namespace: service.namespace,
    locality,
    port: port.number,
    portName: port.name,
    labels: facts.subsetLabels,
    publishNotReady: service.publishNotReady,
    drains: service.drains,
    mtls: facts.meshTls === 'by-endpoint',
    dns: kind === 'dns' || kind === 'logical-dns',
    rank: -1,
    rankBy: [],
    proxyLabels: {},
  };
}

function fragmentsOf(
  read: Reader,
  localities: LocalityQueries,
  facts: ClusterFacts,
  place: ProxyPlace,
): readonly Fragment[] {
  const { host, namespace } = facts.service;
  const names = read.query(localities.localities, { host, namespace });
  const shares = names.map((name) => shareKey(facts, name));
  const { distribute, failover } = facts.locality;
  if (distribute.length === 0 && !failover) {
    return shares.map((share) => ({ share, priority: 0, weight: -1 }));
  }
  const rankBy = distribute.length === 0 ? facts.locality.failoverPriority : [];
  const placed = shares.flatMap((share): readonly Placed[] => {
    if (rankBy.length === 0) return placedOf(read, localities, share, 0);
    const ranked = { ...share, rankBy, proxyLabels: place.labels };
    return read
      .query(localities.ranks, ranked)
      .flatMap((rank) => placedOf(read, localities, { ...ranked, rank }, rank));
  });
  return localityPlan(placed, facts.locality, place.locality);
}

function placedOf(
  read: Reader,
  localities: LocalityQueries,
  share: ShareKey,
  rank: number,
): readonly Placed[] {
  const known = read.query(localities.share, share);
  return known === undefined ? [] : [{ share, rank, weight: known.weight }];
}
