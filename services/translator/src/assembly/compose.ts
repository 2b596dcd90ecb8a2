/** The parts of a client's set, put together. */
import type { Query, Reader } from '@watershed/derive/graph.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import type { ScopeClass } from '@watershed/model/gen/record.ts';
import { resourceId } from '../plan.ts';
import type {
  Diagnostic,
  ManifestPlan,
  ManifestTypePlan,
  Plans,
  ResourceKey,
  ResourcePlan,
} from '../plan.ts';
import { createAssignments } from './assignments.ts';
import { createFactsQuery } from './cluster-facts.ts';
import { parseCluster } from './cluster-key.ts';
import {
  assignmentsFor,
  clustersFor,
  clusterListKey,
  createClusterLists,
  type ClusterEntry,
  type ClusterListQueries,
} from './cluster-lists.ts';
import { createClusterPlans, isClusterKey } from './clusters.ts';
import { clientOf, type Client, type Core } from './core.ts';
import { sameData } from './equal.ts';
import { createInbound, type InboundResources } from './inbound-resources.ts';
import { createWorkloadPorts, scopeId } from './inbound.ts';
import { sameManifest, samePlan } from './jobs.ts';
import { isOutboundListener } from './listener-key.ts';
import { createLocalityQueries } from './localities.ts';
import { createOutboundListeners, type OutboundListeners } from './outbound-listeners.ts';
import { createOutboundLayout } from './outbound.ts';
import { createProxyless, isProxylessListener, type Proxyless } from './proxyless.ts';
import { nativeTypes } from './native-types.ts';
import type { NativeType, PlanOf, RouterPlans, SidecarRoutes } from './parts.ts';
import { isRouteTable } from './route-table.ts';
import { createSecretPlans, lackOf, secretKeys } from './secrets.ts';
import { createSpecialClusters, specialClustersOf } from './special-clusters.ts';
import { destinationWords } from './user-fields.ts';

interface Parts {
  readonly clusters: PlanOf;
  readonly special: PlanOf;
  readonly assignments: PlanOf;
  readonly lists: ClusterListQueries;
  readonly outbound: OutboundListeners;
  readonly inbound: Query<ScopeClass, InboundResources>;
  readonly routes: SidecarRoutes;
  readonly routers: RouterPlans;
  readonly proxyless: Proxyless;
  readonly secrets: PlanOf;
  readonly natives: ReadonlyMap<string, Native>;
}

type Native = Pick<NativeType, 'proxies'> & ReturnType<NativeType['plans']>;

export function composePlans(core: Core, routes: SidecarRoutes, routers: RouterPlans): Plans {
  const { inputs } = core;
  const { graph } = inputs;
  const client = graph.query<ScopeClass, Client>({
    name: 'client',
    id: scopeId,
    compute: (read, scope) => clientOf(core, read, scope),
    equal: sameData,
  });
  const localities = createLocalityQueries(inputs);
  const facts = createFactsQuery(core, localities);
  const ports = createWorkloadPorts(core, (read, scope) => read.query(client, scope));
  const parts: Parts = {
    clusters: createClusterPlans(facts, localities),
    special: createSpecialClusters(core),
    assignments: createAssignments(inputs, facts, localities),
    lists: createClusterLists(core, facts),
    outbound: createOutboundListeners(core, createOutboundLayout(core)),
    inbound: createInbound(core, ports),
    routes,
    routers,
    proxyless: createProxyless(core, ports),
    secrets: createSecretPlans(core),
    natives: new Map(
      nativeTypes.map(({ typeUrl, proxies, plans }) => [typeUrl, { proxies, ...plans(core) }]),
    ),
  };
  const shared = graph.query<ResourceKey, ResourcePlan | undefined>({
    name: 'shared',
    id: resourceId,
    compute: (read, key) => planOf(parts, read, key),
    equal: samePlan,
  });
  const manifest = graph.query<ScopeClass, ManifestPlan>({
    name: 'manifest',
    id: scopeId,
    compute: (read, scope) => {
      const native = nativeSet(parts.natives, read, scope);
      if (native.length > 0) return { types: native };
      const known = read.query(client, scope);
      const clusters = clusterTypes(parts, read, known);
      const of = (types: readonly ManifestTypePlan[], problems: readonly Diagnostic[] = []) => ({
        types: merged([...clusters.types, ...types]),
        diagnostics: [...clusters.problems, ...problems],
      });
      if (scope.proxyless) return of(proxylessTypes(parts, read, known));
      if (!known.router) return of(sidecarTypes(parts, read, known));
      const { types, problems } = read.query(routers.set, scope);
      return of(types, problems);
    },
    equal: sameManifest,
  });
  const whole = new Set(parts.natives.keys());
  return { shared, manifest, selectors: core.selectors.selectors, whole };
}

/** Of a scope that has types of its own: those, and nothing of Envoy's. */
function nativeSet(
  natives: Parts['natives'],
  read: Reader,
  { type }: ScopeClass,
): readonly ManifestTypePlan[] {
  return [...natives].flatMap(([typeUrl, { proxies, keys }]) =>
    proxies.includes(type) ? keys(read).map((shared) => ({ typeUrl, shared, own: [] })) : [],
  );
}

function planOf(parts: Parts, read: Reader, key: ResourceKey): ResourcePlan | undefined {
  const native = parts.natives.get(key.typeUrl);
  if (native !== undefined) return native.plan(read, key);
  switch (key.typeUrl) {
    case resourceTypes.cluster:
      return isClusterKey(key) ? parts.clusters(read, key) : parts.special(read, key);
    case resourceTypes.endpoint:
      return parts.assignments(read, key);
    case resourceTypes.secret:
      return parts.secrets(read, key);
    case resourceTypes.listener:
      if (isProxylessListener(key)) return parts.proxyless.shared(read, key);
      if (isOutboundListener(key)) return parts.outbound.shared(read, key);
      break;
    case resourceTypes.route:
      if (isRouteTable(key)) return read.query(parts.routes.shared, key);
      break;
  }
  return read.query(parts.routers.shared, key);
}

/** Clusters, their assignments and their secrets: those of sidecars and routers alike. */
function clusterTypes(
  parts: Parts,
  read: Reader,
  client: Client,
): { readonly types: readonly ManifestTypePlan[]; readonly problems: readonly Diagnostic[] } {
  const { scope } = client;
  const entries = read.query(parts.lists.list, clusterListKey(client));
  const names = new Set(entries.flatMap((entry) => entry.secrets));
  const secrets = Object.groupBy(secretKeys([...names].sort(), scope), (key) =>
    parts.secrets(read, key) === undefined ? 'absent' : 'there',
  );
  const clusters = clustersFor(entries, scope);
  const types = [
    typePlan(resourceTypes.cluster, [...specialClustersOf(client), ...clusters]),
    typePlan(resourceTypes.endpoint, assignmentsFor(entries, scope)),
    typePlan(resourceTypes.secret, secrets.there ?? []),
  ];
  const { absent = [] } = secrets;
  return { types, problems: absent.map(({ name }) => absentSecret(name, entries, scope)) };
}

/** A client waits for what it named: its cluster is not used until the secret is there. */
function absentSecret(
  name: string,
  entries: readonly ClusterEntry[],
  { namespace }: ScopeClass,
): Diagnostic {
  const cluster = entries.find(({ secrets }) => secrets.includes(name))?.cluster;
  const key = cluster && parseCluster(cluster.name, cluster.variant);
  const { secret, lack } = lackOf(name, namespace);
  const reason = `${lack}: ${destinationWords(cluster?.name ?? '')} waits for it`;
  const object = key?.policies.split(' ')[0] ?? '';
  return { object, field: 'spec.trafficPolicy.tls.credentialName', value: secret, reason };
}

function sidecarTypes(parts: Parts, read: Reader, client: Client): readonly ManifestTypePlan[] {
  const { outbound } = parts;
  const { listeners, clusters } = read.query(parts.inbound, client.scope);
  return [
    typePlan(resourceTypes.cluster, [], clusters),
    typePlan(resourceTypes.listener, outbound.listenersOf(read, client), listeners),
    typePlan(resourceTypes.route, outbound.tablesOf(read, client)),
  ];
}

function proxylessTypes(
  { proxyless }: Parts,
  read: Reader,
  client: Client,
): readonly ManifestTypePlan[] {
  return [
    typePlan(resourceTypes.listener, proxyless.listenersOf(read, client)),
    typePlan(resourceTypes.route, proxyless.tablesOf(read, client)),
  ];
}

function typePlan(
  typeUrl: string,
  shared: readonly ResourceKey[],
  own: readonly ResourcePlan[] = [],
): ManifestTypePlan {
  return { typeUrl, shared, own };
}

/** One entry per type, by type; a type without resources is not in it. */
function merged(plans: readonly ManifestTypePlan[]): readonly ManifestTypePlan[] {
  const byType = new Map<string, ManifestTypePlan>();
  for (const plan of plans) {
    const known = byType.get(plan.typeUrl);
    byType.set(plan.typeUrl, {
      typeUrl: plan.typeUrl,
      shared: distinct([...(known?.shared ?? []), ...plan.shared]),
      own: [...(known?.own ?? []), ...plan.own],
    });
  }
  const all = [...byType.values()].filter((plan) => plan.shared.length + plan.own.length > 0);
  return all.sort((a, b) => (a.typeUrl < b.typeUrl ? -1 : 1));
}

/** Two parts may name one secret. */
function distinct(keys: readonly ResourceKey[]): readonly ResourceKey[] {
  if (keys[0]?.typeUrl !== resourceTypes.secret) return keys;
  return [...new Map(keys.map((key) => [key.name, key])).values()];
}
