/**
 * Which endpoints of a host a cluster takes, and how localities share the load, for a proxy
 * somewhere.
 */
import type { Reader } from '@watershed/derive/graph.ts';
import type { ScopeClass } from '@watershed/model/gen/record.ts';
import type { LocalityArgument } from '../generators/addresses.ts';
import type { ClusterFacts, LocalityFacts } from './cluster-facts.ts';
import { labelOf, type LabelsKey, type LocalityQueries, type ShareKey } from './localities.ts';
import { localityPlan, type Placed } from './priorities.ts';
import { decodeLabels, decodeVariant, encodeLabels, encodeVariant, field } from './variant.ts';

type Labels = Readonly<Record<string, string>>;

/** Where a proxy is, as far as an assignment depends on it. */
export interface ProxyPlace {
  /** `region/zone/subZone`; '' where it does not matter. */
  readonly locality: string;
  readonly labels: Labels;
}

export const nowhere: ProxyPlace = { locality: '', labels: {} };

/** What of a proxy's place the assignment of a cluster depends on. */
export function placeOf(facts: LocalityFacts, scope: ScopeClass): ProxyPlace {
  const { distribute, failover, failoverPriority } = facts;
  if (distribute.length === 0 && !failover) return nowhere;
  // With a value, the proxy's own is not read.
  const names = failoverPriority.filter((label) => !label.includes('='));
  const byLabels = distribute.length === 0 && failoverPriority.length > 0;
  const byPlace = !byLabels || facts.failoverTo.length > 0;
  const place = `${scope.region}/${scope.zone}/${scope.subZone}`;
  return {
    locality: byPlace && place !== '//' ? place : '',
    labels: byLabels ? labelsOf(scope, names) : {},
  };
}

function labelsOf(scope: ScopeClass, names: readonly string[]): Labels {
  const { region, zone, subZone, network, labels } = scope;
  const place = { locality: { region, zone, subZone }, network, labels };
  const all = names.map((name) => [name, labelOf(place, name)] as const);
  return Object.fromEntries(all.filter(([, value]) => value !== ''));
}

/** A cluster's variant with the place behind it. */
export function placedVariant(ofCluster: string, place: ProxyPlace): string {
  const own = encodeVariant({ l: place.locality, f: encodeLabels(place.labels) });
  return own === '' ? ofCluster : ofCluster === '' ? own : `${ofCluster};${own}`;
}

export function parsePlace(variant: string): ProxyPlace {
  const fields = decodeVariant(variant);
  return { locality: field(fields, 'l'), labels: decodeLabels(field(fields, 'f')) };
}

/** A part of a locality's endpoints, and its place among the others. */
export interface Fragment {
  readonly share: ShareKey;
  readonly priority: number;
  /** -1: what the endpoints weigh together. */
  readonly weight: number;
}

const clusterLabel = 'topology.istio.io/cluster';

/** The endpoints that a cluster is about: those of its host, or of the subset. */
export function subjectOf({ service, subsetLabels }: ClusterFacts): LabelsKey {
  const { host, namespace } = service;
  const { [clusterLabel]: cluster = '', ...labels } = subsetLabels;
  return { host, namespace, cluster, labels };
}

/** What of a locality's endpoints a cluster takes. */
function shareKey(facts: ClusterFacts, locality: string): ShareKey {
  const { service, port, kind } = facts;
  return {
    ...subjectOf(facts),
    locality,
    port: port.number,
    portName: port.name,
    publishNotReady: service.publishNotReady,
    drains: service.drains,
    mtls: facts.meshTls === 'by-endpoint',
    dns: kind === 'dns' || kind === 'logical-dns',
    rank: -1,
    rankBy: [],
    proxyLabels: {},
  };
}

export function fragmentsOf(
  read: Reader,
  localities: LocalityQueries,
  facts: ClusterFacts,
  place: ProxyPlace,
): readonly Fragment[] {
  const names = read.query(localities.localities, subjectOf(facts));
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

/** The whole of it, for a cluster that has its endpoints with it. */
export function localitiesOf(
  read: Reader,
  localities: LocalityQueries,
  facts: ClusterFacts,
  place: ProxyPlace,
): readonly LocalityArgument[] {
  return fragmentsOf(read, localities, facts, place).flatMap((fragment) => {
    const known = read.query(localities.share, fragment.share);
    return known === undefined ? [] : [placedAt(known, fragment)];
  });
}

export function placedAt(
  known: LocalityArgument,
  { priority, weight }: Fragment,
): LocalityArgument {
  return { ...known, priority, weight: weight < 0 ? known.weight : weight };
}
