/**
 * The endpoints behind a host, by locality. Each step cuts off what the next does not read: a
 * changed slice reaches the one locality whose endpoints it changes.
 */
import type { Query, Reader } from '@watershed/derive/graph.ts';
import { Health, type Endpoint } from '@watershed/model/gen/model.ts';
import type { EndpointArgument, LocalityArgument } from '../generators/addresses.ts';
import type { Inputs } from '../inputs.ts';
import { sameData } from './equal.ts';

type Labels = Readonly<Record<string, string>>;

export interface HostKey {
  readonly host: string;
  /** Of the service. */
  readonly namespace: string;
  /** Only endpoints that this cluster tells of; '' or absent: all. */
  readonly cluster?: string;
}

export interface LocalityKey extends HostKey {
  /** `region/zone/subZone` */
  readonly locality: string;
}

export interface LabelsKey extends HostKey {
  readonly labels: Labels;
}

/** Some of a locality's endpoints, as one cluster sees them. */
export interface ShareKey extends LocalityKey {
  readonly port: number;
  /** The service port's name: endpoints say their own number for it. */
  readonly portName: string;
  /** Only endpoints that have all of these. */
  readonly labels: Labels;
  /** Endpoints that are not ready are taken as ready. */
  readonly publishNotReady: boolean;
  /** Endpoints that drain stay, for the sessions that name them. */
  readonly drains: boolean;
  /** It is told which endpoints speak mutual TLS. */
  readonly mtls: boolean;
  /** Names are resolved by Envoy; else only addresses can be used. */
  readonly dns: boolean;
  /** Only endpoints of this rank, as `ranks` says; -1: all. */
  readonly rank: number;
  /** Label keys (`key` or `key=value`) whose agreement with the proxy's makes the rank. */
  readonly rankBy: readonly string[];
  readonly proxyLabels: Labels;
}

export interface LocalityQueries {
  /** Localities that a host has endpoints in, sorted. */
  readonly localities: Query<HostKey, readonly string[]>;
  /** With priority 0, and the sum of the endpoints' weights. `undefined`: no endpoint is left. */
  readonly share: Query<ShareKey, LocalityArgument | undefined>;
  /** The same, for who keeps what is made of it: it reads all that the locality's endpoints say. */
  shareOf(read: Reader, key: ShareKey): LocalityArgument | undefined;
  /** Ranks that a locality's endpoints have, from 0, the best; `rank` of the key is not read. */
  readonly ranks: Query<ShareKey, readonly number[]>;
  /** The identities behind a host, sorted. */
  readonly accounts: Query<HostKey, readonly string[]>;
  /** There are endpoints, and none of them has these labels. */
  readonly lacks: Query<LabelsKey, boolean>;
  /** There are endpoints, and all of them speak mutual TLS. */
  readonly allMtls: Query<HostKey, boolean>;
}

export function createLocalityQueries(inputs: Inputs): LocalityQueries {
  const { graph } = inputs;
  /** Changes with every slice. */
  const byLocality: ByLocality = graph.query({
    name: 'endpointsByLocality',
    id: hostId,
    compute: (read, key) => {
      const { host, namespace, cluster = '' } = key;
      const slices = read
        .lookup(inputs.indexes.endpointsByHost, host)
        .filter(({ value }) => cluster === '' || value.cluster === cluster)
        .map((entry) => entry.value.value)
        .filter((slice) => slice.namespace === namespace);
      return groupByLocality(slices.flatMap((slice) => slice.endpoints));
    },
  });
  const endpoints = graph.query<LocalityKey, readonly Endpoint[]>({
    name: 'localityEndpoints',
    id: (key) => `${hostId(key)}\n${key.locality}`,
    compute: (read, key) => read.query(byLocality, key).get(key.locality) ?? [],
    equal: sameData,
  });
  const shareId = (key: ShareKey): string => JSON.stringify(key);
  const sharePart = (read: Reader, key: ShareKey): LocalityArgument | undefined =>
    shareOf(key, usable(key, read.query(endpoints, key)));
  const share = graph.query<ShareKey, LocalityArgument | undefined>({
    name: 'localityShare',
    id: shareId,
    compute: sharePart,
    equal: sameData,
  });
  const ranks = graph.query<ShareKey, readonly number[]>({
    name: 'localityRanks',
    id: shareId,
    compute: (read, key) => {
      const all = usable({ ...key, rank: -1 }, read.query(endpoints, key));
      return [...new Set(all.map((endpoint) => rankOf(key, endpoint)))].sort((a, b) => a - b);
    },
    equal: sameData,
  });
  const localities = graph.query<HostKey, readonly string[]>({
    name: 'localities',
    id: hostId,
    compute: (read, key) => [...read.query(byLocality, key).keys()],
    equal: sameData,
  });
  return { localities, share, shareOf: sharePart, ranks, ...hostQueries(graph, byLocality) };
}

type ByLocality = Query<HostKey, ReadonlyMap<string, readonly Endpoint[]>>;

/** What is said of all endpoints of a host together. */
function hostQueries(
  graph: Inputs['graph'],
  byLocality: ByLocality,
): Pick<LocalityQueries, 'accounts' | 'lacks' | 'allMtls'> {
  const accounts = graph.query<HostKey, readonly string[]>({
    name: 'serviceAccounts',
    id: hostId,
    compute: (read, key) => {
      const all = [...read.query(byLocality, key).values()].flat();
      const named = all.map((endpoint) => endpoint.serviceAccount).filter((name) => name !== '');
      return [...new Set(named)].sort();
    },
    equal: sameData,
  });
  const allMtls = graph.query<HostKey, boolean>({
    name: 'allMtls',
    id: hostId,
    compute: (read, key) => {
      const all = [...read.query(byLocality, key).values()].flat();
      return all.length > 0 && all.every((endpoint) => endpoint.mtls);
    },
  });
  const lacks = graph.query<LabelsKey, boolean>({
    name: 'endpointsLackLabels',
    id: (key) => JSON.stringify(key),
    compute: (read, key) => {
      const { host, namespace, labels } = key;
      if (read.query(byLocality, { host, namespace }).size === 0) return false;
      const among = [...read.query(byLocality, key).values()].flat();
      return !among.some((endpoint) => isOf(labels, endpoint));
    },
  });
  return { accounts, lacks, allMtls };
}

function hostId({ host, namespace, cluster = '' }: HostKey): string {
  return `${host}\n${namespace}\n${cluster}`;
}

/** By name of the locality; an address that two slices have (while it moves) counts once. */
function groupByLocality(all: readonly Endpoint[]): ReadonlyMap<string, readonly Endpoint[]> {
  const byName = new Map<string, Endpoint[]>();
  const seen = new Set<string>();
  for (const endpoint of all) {
    const id = `${endpoint.address}\n${JSON.stringify(endpoint.ports)}`;
    if (seen.has(id)) continue;
    seen.add(id);
    const name = localityName(endpoint);
    const known = byName.get(name);
    if (known === undefined) byName.set(name, [endpoint]);
    else known.push(endpoint);
  }
  return new Map([...byName].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function localityName({ locality }: Endpoint): string {
  if (locality === undefined) return '//';
  return `${locality.region}/${locality.zone}/${locality.subZone}`;
}

function usable(key: ShareKey, endpoints: readonly Endpoint[]): readonly Endpoint[] {
  return endpoints.filter(
    (endpoint) =>
      isServing(key, endpoint) &&
      isOf(key.labels, endpoint) &&
      (isUnix(endpoint) || endpoint.ports[key.portName] !== undefined) &&
      (key.dns || isUnix(endpoint) || isAddress(endpoint.address)) &&
      (key.rank < 0 || rankOf(key, endpoint) === key.rank),
  );
}

/**
 * What istiod makes labels of, beside a workload's own: where it is. (The cluster of an endpoint is
 * a part of the key; its node is not known.)
 */
const places = new Map<string, (place: Place) => string | undefined>([
  ['topology.kubernetes.io/region', ({ locality }) => locality?.region],
  ['topology.kubernetes.io/zone', ({ locality }) => locality?.zone],
  ['topology.istio.io/subzone', ({ locality }) => locality?.subZone],
  ['topology.istio.io/network', ({ network }) => network],
]);

type Place = Pick<Endpoint, 'locality' | 'network' | 'labels'>;

/** The label of an endpoint, or of a proxy; '' if it has none. */
export function labelOf(place: Place, name: string): string {
  return places.get(name)?.(place) || (place.labels[name] ?? '');
}

function isOf(labels: Labels, endpoint: Endpoint): boolean {
  return Object.entries(labels).every(([name, value]) => labelOf(endpoint, name) === value);
}

function isServing(key: ShareKey, { health }: Endpoint): boolean {
  if (health === Health.HEALTH_DRAINING) return key.drains;
  return health === Health.HEALTH_HEALTHY || key.publishNotReady;
}

function isUnix({ address }: Endpoint): boolean {
  return address.startsWith('unix://');
}

const address = /^(?:\d{1,3}\.){3}\d{1,3}$|^[\da-f]*:[\da-f:.]*$/i;

export function isAddress(text: string): boolean {
  return address.test(text);
}

/** istiod's failoverPriority: the more of the first labels agree, the better. */
function rankOf({ rankBy, proxyLabels }: ShareKey, endpoint: Endpoint): number {
  for (const [at, label] of rankBy.entries()) {
    const [name, wanted] = label.split('=');
    const value = wanted ?? proxyLabels[name ?? ''] ?? '';
    if (labelOf(endpoint, name ?? '') !== value) return rankBy.length - at;
  }
  return 0;
}

function shareOf(key: ShareKey, endpoints: readonly Endpoint[]): LocalityArgument | undefined {
  if (endpoints.length === 0) return undefined;
  const [region = '', zone = '', subZone = ''] = key.locality.split('/');
  const all = endpoints.map((endpoint) => endpointArgument(key, endpoint));
  const weight = all.reduce((sum, endpoint) => sum + endpoint.weight, 0);
  // Envoy's limit: the weights of a priority must fit 32 bits.
  return {
    region,
    zone,
    subZone,
    priority: 0,
    weight: Math.min(weight, 0xffffffff),
    endpoints: all,
  };
}

function endpointArgument(key: ShareKey, endpoint: Endpoint): EndpointArgument {
  return {
    address: endpoint.address,
    port: endpoint.ports[key.portName] ?? 0,
    weight: endpoint.weight === 0 ? 1 : endpoint.weight,
    health: endpoint.health === Health.HEALTH_DRAINING ? 'draining' : 'healthy',
    mtls: key.mtls && endpoint.mtls,
  };
}
