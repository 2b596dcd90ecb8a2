/**
 * The virtual hosts of a gateway's route table: which routes serve which host, narrowed by the
 * servers.
 */
import type { Query, Reader } from '@watershed/derive/graph.ts';
import type { GatewayHost, Parent, Route } from '@watershed/model/gen/model.ts';
import type { Inputs, Keyed } from '../inputs.ts';
import { sameData } from './equal.ts';
import type { Server } from './gateways.ts';
import { isSubsetOf } from './hosts.ts';
import { isExportedTo } from './services.ts';

/** The servers whose routes one table holds. */
export interface TableKey {
  /** The route table's name. */
  readonly name: string;
  /** The router's namespace. */
  readonly namespace: string;
  readonly servers: readonly Server[];
}

/** One host of a table, and what serves it, without what that says. */
export interface HostPlan {
  readonly host: string;
  /** Config keys of routes: the user's order of age, each once. */
  readonly routes: readonly string[];
  /** `namespace|name` of the gateways through which they are attached. */
  readonly parents: readonly string[];
  /** Requests without TLS are redirected to it. */
  readonly requireTls: boolean;
}

export function createHostsQuery(inputs: Inputs): Query<TableKey, readonly HostPlan[]> {
  return inputs.graph.query<TableKey, readonly HostPlan[]>({
    name: 'gatewayHosts',
    id: (key) => `${key.name}\n${key.namespace}\n${JSON.stringify(key.servers)}`,
    compute: (read, key) => hostsOf(inputs, read, key),
    equal: sameData,
  });
}

interface Building {
  readonly routes: Keyed<Route>[];
  readonly parents: Set<string>;
  requireTls: boolean;
}

function hostsOf(inputs: Inputs, read: Reader, key: TableKey): readonly HostPlan[] {
  const byHost = new Map<string, Building>();
  const building = (host: string): Building => {
    let known = byHost.get(host);
    if (known === undefined) {
      known = { routes: [], parents: new Set(), requireTls: false };
      byHost.set(host, known);
    }
    return known;
  };
  for (const server of key.servers) {
    const id = `${server.namespace}|${server.gateway}`;
    const redirects = server.listener.tls?.httpsRedirect === true;
    if (redirects) for (const { host } of server.listener.hosts) building(host).requireTls = true;
    for (const { value: route } of read.lookup(inputs.indexes.routesByGateway, id)) {
      if (!isExportedTo(route.value.exportTo, key.namespace)) continue;
      for (const host of servedHosts(route, server)) {
        const plan = building(host);
        if (redirects) plan.requireTls = true;
        plan.parents.add(id);
        if (!plan.routes.includes(route)) plan.routes.push(route);
      }
    }
  }
  const hosts = [...byHost].sort(([a], [b]) => (a < b ? -1 : 1));
  return hosts.map(([host, plan]) => ({
    host,
    routes: plan.routes.sort(byAge).map((route) => route.key),
    parents: [...plan.parents].sort(),
    requireTls: plan.requireTls,
  }));
}

function byAge(a: Keyed<Route>, b: Keyed<Route>): number {
  if (a.value.createdMs !== b.value.createdMs) return a.value.createdMs - b.value.createdMs;
  return a.key < b.key ? -1 : 1;
}

/** The route's hosts on this server: of each pair that overlaps, the narrower one. */
function servedHosts(route: Keyed<Route>, server: Server): readonly string[] {
  const served = new Set<string>();
  for (const parent of route.value.parents) {
    const wanted = attachedHosts(parent, route.value, server);
    for (const allowed of server.listener.hosts) {
      if (!mayBind(allowed, route.namespace)) continue;
      for (const host of wanted) {
        if (isSubsetOf(host, allowed.host)) served.add(host);
        else if (isSubsetOf(allowed.host, host)) served.add(allowed.host);
      }
    }
  }
  return [...served];
}

function attachedHosts(parent: Parent, route: Route, server: Server): readonly string[] {
  if (parent.to?.$case !== 'gateway') return [];
  const { namespace, name, listener, hosts } = parent.to.value;
  if (namespace !== server.namespace || name !== server.gateway) return [];
  if (listener !== '' && listener !== server.listener.name) return [];
  return hosts.length > 0 ? hosts : route.hosts;
}

function mayBind(allowed: GatewayHost, namespace: string): boolean {
  return allowed.namespace === '*' || allowed.namespace === namespace;
}
