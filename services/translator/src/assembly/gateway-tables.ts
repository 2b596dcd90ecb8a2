/**
 * Route tables of gateways: a virtual host for each host that routes serve through their servers.
 * As with sidecars, a table says first which virtual hosts it has, and then puts their jobs in a
 * row.
 */
import type { Query } from '@watershed/derive/graph.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import { routeConfiguration } from '../generators/route-configuration.ts';
import { virtualHost, type VirtualHostArgument } from '../generators/virtual-host.ts';
import { job, type ResourcePlan } from '../plan.ts';
import type { Core } from './core.ts';
import { createHostsQuery, type HostPlan, type TableServer } from './gateway-hosts.ts';
import type { GatewayPort, Server } from './gateways.ts';
import { samePlan } from './jobs.ts';
import { encodeLabels } from './variant.ts';
import { createVirtualHosts, virtualHostKey, type VirtualHostKey } from './virtual-hosts.ts';

/** One table of a router, and the servers whose routes are in it. */
export interface GatewayTableKey {
  readonly name: string;
  /** Where the router listens. */
  readonly port: number;
  readonly tls: boolean;
  readonly servers: readonly TableServer[];
  readonly client: TableClient;
}

/** What of a router its tables depend on. */
export interface TableClient {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly mesh: string;
  readonly policies: string;
}

export type GatewayTables = Query<GatewayTableKey, ResourcePlan>;

export function createGatewayTables(core: Core): GatewayTables {
  const { graph } = core.inputs;
  const hosts = createHostsQuery(core.inputs);
  const virtualHosts = createVirtualHosts(core);
  const keys = graph.query<GatewayTableKey, readonly VirtualHostKey[]>({
    name: 'gatewayTableHosts',
    id: tableId,
    compute: (read, key) => {
      const { name, servers, client } = key;
      const plans = read.query(hosts, { name, servers, namespace: client.namespace });
      return plans.map((plan) => hostKey(key, plan));
    },
    equal: (a, b) => a.length === b.length && a.every((one, at) => one.id === b[at]?.id),
  });
  return graph.query<GatewayTableKey, ResourcePlan>({
    name: 'gatewayTable',
    id: tableId,
    compute: (read, key) => {
      const { name } = key;
      const jobs = read.query(keys, key).map((one) => read.query(virtualHosts, one));
      const served = jobs.length > 0 ? jobs : [job(virtualHost, blackHole(key.port))];
      return {
        key: { typeUrl: resourceTypes.route, name, variant: '' },
        parts: [job(routeConfiguration, { name, ignorePort: true }), ...served],
        refs: [],

        bypassesEpochs: false,
      };
    },
    equal: samePlan,
  });
}

function tableId({ name, port, tls, servers, client }: GatewayTableKey): string {
  const { namespace, labels, mesh, policies } = client;
  const own = `${namespace}\n${encodeLabels(labels)}\n${mesh}\n${policies}`;
  return `${name}\n${port}\n${tls}\n${own}\n${JSON.stringify(servers)}`;
}

/** Tables of one socket: one of all that is plain, one for each server that ends TLS. */
export function tablesOf(socket: GatewayPort, client: TableClient): readonly GatewayTableKey[] {
  const common = { port: socket.port, client };
  const [first] = socket.plain;
  const plain =
    first === undefined
      ? []
      : [{ ...common, name: first.table, tls: false, servers: socket.plain.map(tableServer) }];
  const secure = socket.secure.map((server) => {
    return { ...common, name: server.table, tls: true, servers: [tableServer(server)] };
  });
  return [...plain, ...secure];
}

function tableServer({ namespace, gateway, listener }: Server): TableServer {
  return {
    gateway: `${namespace}|${gateway}`,
    listener: listener.name,
    port: listener.port,
    hosts: listener.hosts,
    redirects: listener.tls?.httpsRedirect === true,
  };
}

/** A table must have something in it: requests for hosts that nobody serves get 404 (istiod). */
function blackHole(port: number): VirtualHostArgument {
  return { name: `blackhole:${port}`, domains: ['*'], rules: [], requireTls: false };
}

function hostKey(
  { tls, client }: GatewayTableKey,
  { host, port, routes, parents, requireTls }: HostPlan,
): VirtualHostKey {
  return virtualHostKey({
    name: `${host}:${port}`,
    domains: [host],
    routes,
    service: undefined,
    parents,
    port,
    // Which services a route may send to depends on the router's own namespace.
    namespace: client.namespace,
    labels: client.labels,
    mesh: client.mesh,
    policies: client.policies,
    tls,
    requireTls,
    proxyless: false,
  });
}
