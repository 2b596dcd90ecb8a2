/**
 * The virtual hosts of a gateway's route table: which routes serve which host, narrowed by the
 * servers. What routes do with a request is not read here.
 */
import type { Query, Reader } from '@watershed/derive/graph.ts';
import type { GatewayHost, Route } from '@watershed/model/gen/model.ts';
import type { Inputs, Keyed } from '../inputs.ts';
import { sameData, sameElements } from './equal.ts';
import { isSubsetOf } from './hosts.ts';
import { byPreference } from './routes-shapes.ts';
import { isExportedTo } from './services.ts';

/** The servers whose routes one table holds. */
export interface TableKey {
  /** The route table's name. */
  readonly name: string;
  /** The router's namespace. */
  readonly namespace: string;
  readonly servers: readonly TableServer[];
}

export interface TableServer {
  /** `namespace|name` of the gateway. */
  readonly gateway: string;
  readonly listener: string;
  /** As the gateway says it. */
  readonly port: number;
  readonly hosts: readonly GatewayHost[];
  /** Plain HTTP is redirected to HTTPS. */
  readonly redirects: boolean;
}

/** One host of a table, and what serves it. */
export interface HostPlan {
  readonly host: string;
  readonly port: number;
  /** Config keys of routes, the preferred first, each once. */
  readonly routes: readonly string[];
  /** Of the gateways through which they are attached, sorted. */
  readonly parents: readonly string[];
  readonly requireTls: boolean;
}

/** What a route shows of itself to a gateway. */
interface AttachedRoute {
  readonly key: string;
  readonly namespace: string;
  readonly createdMs: number;
  readonly exported: boolean;
  readonly exportTo: readonly string[];
  readonly attachments: readonly Attachment[];
}

interface Attachment {
  /** '' for all of the gateway's. */
  readonly listener: string;
  readonly hosts: readonly string[];
}

export function createHostsQuery(inputs: Inputs): Query<TableKey, readonly HostPlan[]> {
  const { graph, indexes } = inputs;
  const attach = createAttach();
  /** By the gateway's `namespace|name`; the preferred first. */
  const attached = graph.query<string, readonly AttachedRoute[]>({
    name: 'gatewayRoutes',
    id: (gateway) => gateway,
    compute: (read, gateway) => {
      const entries = read.lookup(indexes.routesByGateway, gateway);
      return entries.map((entry) => attach(entry.value, gateway)).sort(byPreference);
    },
    equal: (a, b) => sameElements(a, b) || sameData(a, b),
  });
  return graph.query<TableKey, readonly HostPlan[]>({
    name: 'gatewayHosts',
    id: (key) => `${key.name}\n${key.namespace}\n${JSON.stringify(key.servers)}`,
    compute: (read, key) => hostsOf(attached, read, key),
    equal: sameData,
  });
}

/**
 * Thousands of routes may be attached to a gateway, and one of them changes at a time: what the
 * others show is kept, for as long as they are.
 */
function createAttach(): (route: Keyed<Route>, gateway: string) => AttachedRoute {
  const known = new WeakMap<Keyed<Route>, ReadonlyMap<string, AttachedRoute>>();
  return (route, gateway) => {
    let ofRoute = known.get(route);
    if (ofRoute === undefined) {
      ofRoute = attachedRoutes(route);
      known.set(route, ofRoute);
    }
    return ofRoute.get(gateway) ?? attachedRoute(route, []);
  };
}

/** By the gateway's `namespace|name`. */
function attachedRoutes(route: Keyed<Route>): ReadonlyMap<string, AttachedRoute> {
  const byGateway = new Map<string, Attachment[]>();
  for (const { to } of route.value.parents) {
    if (to?.$case !== 'gateway') continue;
    const { namespace, name, listener, hosts } = to.value;
    const wanted = hosts.length > 0 ? hosts : route.value.hosts;
    const attachment = { listener, hosts: wanted.length > 0 ? wanted : ['*'] };
    const gateway = `${namespace}|${name}`;
    byGateway.set(gateway, [...(byGateway.get(gateway) ?? []), attachment]);
  }
  const attached = [...byGateway].map(
    ([gateway, attachments]) => [gateway, attachedRoute(route, attachments)] as const,
  );
  return new Map(attached);
}

function attachedRoute(
  { key, namespace, value }: Keyed<Route>,
  attachments: readonly Attachment[],
): AttachedRoute {
  const { createdMs, exportTo } = value;
  return { key, namespace, createdMs, exported: exportTo.includes('*'), exportTo, attachments };
}

interface Building {
  readonly port: number;
  readonly routes: Map<string, AttachedRoute>;
  readonly parents: Set<string>;
  requireTls: boolean;
}

function hostsOf(
  attached: Query<string, readonly AttachedRoute[]>,
  read: Reader,
  key: TableKey,
): readonly HostPlan[] {
  const byHost = new Map<string, Building>();
  const building = (host: string, { port, redirects }: TableServer): Building => {
    let known = byHost.get(host);
    if (known === undefined) {
      known = { port, routes: new Map(), parents: new Set(), requireTls: false };
      byHost.set(host, known);
    }
    if (redirects) known.requireTls = true;
    return known;
  };
  for (const server of key.servers) {
    // A redirect needs no route.
    if (server.redirects) for (const { host } of server.hosts) building(host, server);
    for (const route of read.query(attached, server.gateway)) {
      if (!isExportedTo(route.exportTo, key.namespace)) continue;
      for (const host of servedHosts(route, server)) {
        const plan = building(host, server);
        plan.parents.add(server.gateway);
        plan.routes.set(route.key, route);
      }
    }
  }
  const hosts = [...byHost].sort(([a], [b]) => (a < b ? -1 : 1));
  return hosts.map(([host, { port, routes, parents, requireTls }]) => ({
    host,
    port,
    routes: [...routes.values()].sort(byPreference).map((route) => route.key),
    parents: [...parents].sort(),
    requireTls,
  }));
}

/** The route's hosts on this server: of each pair that overlaps, the narrower one. */
function servedHosts(route: AttachedRoute, server: TableServer): ReadonlySet<string> {
  const served = new Set<string>();
  for (const { listener, hosts } of route.attachments) {
    if (listener !== '' && listener !== server.listener) continue;
    for (const allowed of server.hosts) {
      if (allowed.namespace !== '*' && allowed.namespace !== route.namespace) continue;
      for (const host of hosts) {
        if (isSubsetOf(host, allowed.host)) served.add(host);
        else if (isSubsetOf(allowed.host, host)) served.add(allowed.host);
      }
    }
  }
  return served;
}
