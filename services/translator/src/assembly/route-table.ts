/**
 * Which route table of a sidecar is meant: the name that listeners refer to, and what tells the
 * tables of different clients apart. All of it is in the resource's key, so tables are shared by
 * clients alike.
 */
import { resourceTypes } from '@watershed/proto/any.ts';
import type { ResourceKey } from '../plan.ts';
import type { Client } from './core.ts';
import { decodeLabels, decodeVariant, encodeLabels, encodeVariant, field } from './variant.ts';

export interface RouteTableKey {
  /** `80`; `host:80` of one sniffed service; `http_proxy`; a Sidecar's Unix path. */
  readonly name: string;
  readonly client: RouteClient;
  /** Id of the view, and which of its egress listeners: their services and routes are in the table. */
  readonly view: string;
  readonly listener: number;
  /** The port that requests come to. 0: any (an HTTP proxy, a Unix socket), told apart by Host. */
  readonly port: number;
  /** Only this host's virtual host, for every domain (a sniffed service's own listener); '' for all. */
  readonly host: string;
  /** For gRPC without a proxy: in its own words. */
  readonly proxyless: boolean;
}

/** What of a client its route tables depend on. */
export interface RouteClient {
  readonly namespace: string;
  readonly cluster: string;
  readonly mesh: string;
  readonly dnsDomain: string;
  /** Policy class. */
  readonly policies: string;
  /** Those that `sourceLabels` read. */
  readonly labels: Readonly<Record<string, string>>;
}

/** The name of the table of an HTTP proxy's port (istiod's). */
export const httpProxyTable = 'http_proxy';

export function routeClientOf(client: Client): RouteClient {
  const { namespace, cluster, dnsDomain } = client.scope;
  const { mesh, policies, routeLabels } = client;
  return { namespace, cluster, mesh, dnsDomain, policies, labels: routeLabels };
}

export function routeTableId(key: RouteTableKey): ResourceKey {
  const { client } = key;
  const variant = encodeVariant({
    n: client.namespace,
    c: client.cluster,
    m: client.mesh,
    d: client.dnsDomain,
    p: client.policies,
    l: encodeLabels(client.labels),
    v: key.view,
    e: key.listener === 0 ? '' : String(key.listener),
    o: key.port === 0 ? '' : String(key.port),
    h: key.host,
    g: key.proxyless ? '1' : '',
  });
  // Spread over shards by the clients' namespace: every namespace has a table of each name.
  return { typeUrl: resourceTypes.route, name: key.name, variant, host: client.namespace };
}

/** Whether a route table is a sidecar's. */
export function isRouteTable({ variant }: ResourceKey): boolean {
  return variant.startsWith('n=');
}

export function parseRouteTable(key: ResourceKey): RouteTableKey {
  const fields = decodeVariant(key.variant);
  return {
    name: key.name,
    client: {
      namespace: field(fields, 'n'),
      cluster: field(fields, 'c'),
      mesh: field(fields, 'm'),
      dnsDomain: field(fields, 'd'),
      policies: field(fields, 'p'),
      labels: decodeLabels(field(fields, 'l')),
    },
    view: field(fields, 'v'),
    listener: Number(field(fields, 'e')),
    port: Number(field(fields, 'o')),
    host: field(fields, 'h'),
    proxyless: field(fields, 'g') === '1',
  };
}
