/** Which clusters and assignments a client has: those of every service that its view shows. */
import type { Query, Reader } from '@watershed/derive/graph.ts';
import type { ScopeClass } from '@watershed/model/gen/record.ts';
import type { ResourceKey } from '../plan.ts';
import { assignmentResource } from './assignments.ts';
import { isPassthrough, type FactsQuery, type LocalityFacts } from './cluster-facts.ts';
import { clusterResource, type ClusterClient, type ClusterKey } from './cluster-key.ts';
import { secretsOf } from './cluster-tls.ts';
import { policyOf, type Client, type Core } from './core.ts';
import { sameData, sameElements } from './equal.ts';
import { byKey } from './jobs.ts';
import { nowhere, placedVariant, placeOf } from './placement.ts';
import { isUdp } from './protocols.ts';
import { streamsOf } from './own-streams.ts';
import { namespaceOf } from './services.ts';
import type { VisibleService } from './visibility.ts';

/** What two clients must have in common to have the same clusters. */
export interface ClusterListKey {
  readonly view: string;
  readonly policies: string;
  readonly client: ClusterClient;
}

export interface ClusterEntry {
  readonly cluster: ResourceKey;
  /** For a proxy whose place does not matter. `undefined`: the cluster has its endpoints with it. */
  readonly assignment: ResourceKey | undefined;
  /** Set where the place matters: what has the endpoints is another one then. */
  readonly placed: { readonly key: ClusterKey; readonly locality: LocalityFacts } | undefined;
  /** Names of secrets over SDS. */
  readonly secrets: readonly string[];
}

export interface ClusterListQueries {
  /** All that a client has, by name of the cluster. */
  readonly list: Query<ClusterListKey, readonly ClusterEntry[]>;
}

interface ServiceKey {
  readonly service: VisibleService;
  readonly policies: string;
  readonly client: ClusterClient;
}

export function clusterListKey(client: Client): ClusterListKey {
  const { view, policies, router, mesh, scope } = client;
  const { certificates, interception, proxyless } = scope;
  const direct = !router && interception === 'NONE';
  const streams = streamsOf(scope);
  return { view, policies, client: { router, certificates, direct, proxyless, mesh, streams } };
}

export function createClusterLists(core: Core, facts: FactsQuery): ClusterListQueries {
  const { graph } = core.inputs;
  const ofService = graph.query<ServiceKey, readonly ClusterEntry[]>({
    name: 'serviceClusters',
    id: ({ service, policies, client }) =>
      `${service.host}\n${service.ref}\n${service.ports.join()}\n${policies}\n${clientId(client)}`,
    compute: (read, key) => entriesOf(core, facts, read, key),
    equal: sameData,
  });
  const list = graph.query<ClusterListKey, readonly ClusterEntry[]>({
    name: 'clusterList',
    id: (key) => `${key.view}\n${key.policies}\n${clientId(key.client)}`,
    compute: (read, { view, policies, client }) => {
      const { mesh } = client;
      const { services } = read.query(core.visibility.view, view);
      const entries = services.flatMap((service) => {
        const named = { ...service, namespace: namespaceOf(service.ref) };
        const own = policyOf(core, read, named, { policies, mesh });
        return read.query(ofService, { service, policies: own, client });
      });
      return entries.sort((a, b) => byKey(a.cluster, b.cluster));
    },
    equal: sameElements,
  });
  return { list };
}

function clientId(client: ClusterClient): string {
  const { router, certificates, direct, proxyless, mesh, streams } = client;
  return `${streams}${Number(router)}${Number(certificates)}${Number(direct)}${Number(proxyless)}${mesh}`;
}

/** The clusters of a list, for a proxy of the scope. */
export function clustersFor(
  entries: readonly ClusterEntry[],
  scope: ScopeClass,
): readonly ResourceKey[] {
  return entries.map(({ cluster, assignment, placed }) => {
    if (assignment !== undefined || placed === undefined) return cluster;
    const variant = placedVariant(cluster.variant, placeOf(placed.locality, scope));
    return { ...cluster, variant };
  });
}

/** The assignments that go with the clusters of a list, for a proxy of the scope. */
export function assignmentsFor(
  entries: readonly ClusterEntry[],
  scope: ScopeClass,
): readonly ResourceKey[] {
  return entries.flatMap(({ assignment, placed }) => {
    if (assignment === undefined) return [];
    if (placed === undefined) return [assignment];
    return [assignmentResource(placed.key, placeOf(placed.locality, scope))];
  });
}

function entriesOf(
  core: Core,
  facts: FactsQuery,
  read: Reader,
  { service, policies, client }: ServiceKey,
): readonly ClusterEntry[] {
  const known = read.query(core.services.service, service);
  if (known === undefined) return [];
  // Nobody can call a name with a wildcard without a proxy.
  if (client.proxyless && service.host.startsWith('*')) return [];
  const subsets = read.query(core.policies.policy, policies)?.subsets ?? [];
  // Only where it matters, so that others share what is made.
  const direct = client.direct && isPassthrough(known);
  const entries: ClusterEntry[] = [];
  for (const port of known.ports) {
    if (isUdp(port.protocol)) continue;
    if (service.ports.length > 0 && !service.ports.includes(port.number)) continue;
    for (const subset of ['', ...subsets.map((one) => one.name)]) {
      const key: ClusterKey = {
        host: service.host,
        port: port.number,
        subset,
        service: service.ref,
        policies,
        client: { ...client, direct },
      };
      entries.push(...entryOf(facts, read, key));
    }
  }
  return entries;
}

function entryOf(facts: FactsQuery, read: Reader, key: ClusterKey): readonly ClusterEntry[] {
  const known = read.query(facts, key);
  if (known === undefined) return [];
  const cluster = clusterResource(key);
  const secrets = key.client.proxyless ? [] : secretsOf(key, known);
  const { distribute, failover } = known.locality;
  const matters = known.kind !== 'original-dst' && (distribute.length > 0 || failover);
  // However they are asked for, they are the same.
  const shared = { ...key, client: { ...key.client, streams: '' } as const };
  const endpoints = key.client.proxyless ? sidecarsKey(facts, read, shared) : shared;
  return [
    {
      cluster,
      assignment: known.kind === 'eds' ? assignmentResource(endpoints, nowhere) : undefined,
      placed: matters ? { key: endpoints, locality: known.locality } : undefined,
      secrets,
    },
  ];
}

/** A sidecar's endpoints are as good, where it has any: one assignment serves both. */
function sidecarsKey(facts: FactsQuery, read: Reader, key: ClusterKey): ClusterKey {
  const ofSidecar = { ...key, client: { ...key.client, proxyless: false } };
  return read.query(facts, ofSidecar)?.kind === 'eds' ? ofSidecar : key;
}
