/** Route tables of gateways: a virtual host for each host that routes serve through their servers. */
import type { Query, Reader } from '@watershed/derive/graph.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import { routeConfiguration } from '../generators/route-configuration.ts';
import { virtualHost, type VirtualHostArgument } from '../generators/virtual-host.ts';
import { job, type Job, type ResourcePlan } from '../plan.ts';
import { type Client, type Core, pickLabels } from './core.ts';
import { createHostsQuery, type HostPlan } from './gateway-hosts.ts';
import type { Server } from './gateways.ts';
import { createRouteShapes, type RouteShapes, shapesOf } from './routes-shapes.ts';
import { createVirtualHosts, virtualHostKey, type VirtualHostKey } from './virtual-hosts.ts';

/** One table of a router, and the servers whose routes are in it. */
export interface TableRef {
  readonly name: string;
  readonly port: number;
  readonly tls: boolean;
  readonly servers: readonly Server[];
}

export type GatewayTables = (read: Reader, client: Client, ref: TableRef) => ResourcePlan;

export function createGatewayTables(core: Core): GatewayTables {
  const { graph } = core.inputs;
  const hosts = createHostsQuery(core.inputs);
  const shapes = createRouteShapes(core.inputs);
  const virtualHosts = createVirtualHosts(core);
  const head: Query<string, Job> = graph.query({
    name: 'gatewayTableHead',
    id: (name: string) => name,
    compute: (_, name) => job(routeConfiguration, { name, ignorePort: true }),
  });
  const nothing: Query<string, Job> = graph.query({
    name: 'gatewayTableNothing',
    id: (port: string) => port,
    compute: (_, port) => job(virtualHost, blackHole(port)),
  });
  return (read, client, ref) => {
    const { name, servers, port } = ref;
    const plans = read.query(hosts, { name, namespace: client.scope.namespace, servers });
    const jobs = plans.map((plan) => {
      const key = hostKey(read, shapes, client, ref, plan);
      return read.query(virtualHosts, key).job;
    });
    const served = jobs.length > 0 ? jobs : [read.query(nothing, String(port))];
    return {
      key: { typeUrl: resourceTypes.route, name, variant: '' },
      parts: [read.query(head, name), ...served],
      refs: [],
      follows: [],
      bypassesEpochs: false,
    };
  };
}

/** A table must have something in it: requests for hosts that nobody serves get 404 (istiod). */
function blackHole(port: string): VirtualHostArgument {
  return { name: `blackhole:${port}`, domains: ['*'], rules: [], requireTls: false };
}

function hostKey(
  read: Reader,
  shapes: RouteShapes,
  client: Client,
  ref: TableRef,
  plan: HostPlan,
): VirtualHostKey {
  const routes = shapesOf(read, shapes, plan.routes);
  const labels = [...new Set(routes.flatMap((route) => route.labels))].sort();
  return virtualHostKey({
    name: `${plan.host}:${ref.port}`,
    domains: [plan.host],
    routes: plan.routes,
    service: undefined,
    parents: plan.parents,
    port: ref.port,
    // Which services a route may send to depends on the router's own namespace.
    namespace: client.scope.namespace,
    labels: pickLabels(client.scope.labels, labels),
    mesh: client.mesh,
    policies: client.policies,
    tls: ref.tls,
    requireTls: plan.requireTls,
  });
}
