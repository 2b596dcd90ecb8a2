/**
 * Which gateways run on a router, and what each of its ports serves.
 *
 * Servers of several gateways share a port: plain HTTP ones become one route table, `http.PORT`;
 * each that ends TLS gets a filter chain and a table of its own,
 * `https.PORT.NAME.GATEWAY.NAMESPACE` (istiod's names).
 */
import type { Query, Reader } from '@watershed/derive/graph.ts';
import {
  Protocol,
  ServerTlsMode,
  type Gateway,
  type GatewayListener,
} from '@watershed/model/gen/model.ts';
import { labelKey, type Inputs, type Keyed } from '../inputs.ts';
import type { Diagnostic } from '../plan.ts';
import { sameData } from './equal.ts';
import { selects } from './policies.ts';

export interface RouterKey {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** One listener of one gateway object. */
export interface Server {
  /** The gateway's config key. */
  readonly key: string;
  readonly namespace: string;
  readonly gateway: string;
  readonly listener: GatewayListener;
}

export interface GatewayPort {
  readonly port: number;
  readonly bind: string;
  /** Plain HTTP: one table for all. */
  readonly plain: readonly Server[];
  /** TLS ended here: a table each. */
  readonly secure: readonly Server[];
  /** What could not be served, and why. */
  readonly conflicts: readonly Diagnostic[];
}

export interface GatewayQueries {
  /** Ports of a router, by number. */
  readonly ports: Query<RouterKey, readonly GatewayPort[]>;
}

export function createGatewayQueries(inputs: Inputs): GatewayQueries {
  const ports = inputs.graph.query<RouterKey, readonly GatewayPort[]>({
    name: 'gatewayPorts',
    id: (key) => `${key.namespace}\n${JSON.stringify(key.labels)}`,
    compute: (read, key) => portsOf(gatewaysOn(inputs, read, key)),
    equal: sameData,
  });
  return { ports };
}

/** Those whose selector holds for the router, the oldest first. */
function gatewaysOn(inputs: Inputs, read: Reader, key: RouterKey): readonly Keyed<Gateway>[] {
  const index = inputs.indexes.gatewaysBySelector;
  const keys = [labelKey('', '', '')];
  for (const [name, value] of Object.entries(key.labels)) keys.push(labelKey('', name, value));
  return keys
    .flatMap((indexKey) => read.lookup(index, indexKey))
    .map((entry) => entry.value)
    .filter((gateway) => selects(gateway.value.selector, key.labels))
    .filter((gateway) => !gateway.value.sameNamespace || gateway.namespace === key.namespace)
    .sort(byAge);
}

function byAge(a: Keyed<Gateway>, b: Keyed<Gateway>): number {
  if (a.value.createdMs !== b.value.createdMs) return a.value.createdMs - b.value.createdMs;
  return a.key < b.key ? -1 : 1;
}

function portsOf(gateways: readonly Keyed<Gateway>[]): readonly GatewayPort[] {
  const byPort = new Map<number, Server[]>();
  for (const gateway of gateways) {
    for (const listener of gateway.value.listeners) {
      const { key, namespace, name } = gateway;
      const server = { key, namespace, gateway: name, listener };
      const known = byPort.get(listener.port);
      if (known === undefined) byPort.set(listener.port, [server]);
      else known.push(server);
    }
  }
  const ports = [...byPort].sort(([a], [b]) => a - b);
  return ports.map(([port, servers]) => portOf(port, servers));
}

/** The first server decides what a port speaks (istiod); others that speak otherwise are refused. */
function portOf(port: number, servers: readonly Server[]): GatewayPort {
  const plain: Server[] = [];
  const secure: Server[] = [];
  const conflicts: Diagnostic[] = [];
  const chains = new Map<string, Server>();
  for (const server of servers) {
    const refusal = refuse(server, plain, secure) ?? claim(chains, server);
    if (refusal !== undefined) conflicts.push(diagnose(server, refusal));
    else if (endsTls(server.listener)) secure.push(server);
    else plain.push(server);
  }
  return { port, bind: servers[0]?.listener.bind ?? '', plain, secure, conflicts };
}

function refuse(
  { listener }: Server,
  plain: readonly Server[],
  secure: readonly Server[],
): string | undefined {
  if (!speaksHttp(listener)) {
    return 'only HTTP is routed: TCP and TLS passthrough need routes of their own kind';
  }
  const other = endsTls(listener) ? plain[0] : secure[0];
  if (other === undefined) return undefined;
  return `the port is taken by ${other.namespace}/${other.gateway}, which speaks another protocol`;
}

/** Two chains of one server name would be rejected by Envoy: the older keeps the name. */
function claim(chains: Map<string, Server>, server: Server): string | undefined {
  if (!endsTls(server.listener)) return undefined;
  for (const { host } of server.listener.hosts) {
    const other = chains.get(host);
    if (other !== undefined) {
      return `host ${host} has a certificate of ${other.namespace}/${other.gateway} on this port`;
    }
  }
  for (const { host } of server.listener.hosts) chains.set(host, server);
  return undefined;
}

function diagnose({ key, listener }: Server, reason: string): Diagnostic {
  return {
    object: key,
    field: `listeners[${listener.name}].port`,
    value: String(listener.port),
    reason,
  };
}

export function endsTls({ protocol, tls }: GatewayListener): boolean {
  if (tls === undefined) return protocol === Protocol.PROTOCOL_HTTPS;
  if (protocol !== Protocol.PROTOCOL_HTTPS && protocol !== Protocol.PROTOCOL_TLS) return false;
  return (
    tls.mode !== ServerTlsMode.SERVER_TLS_MODE_PASSTHROUGH &&
    tls.mode !== ServerTlsMode.SERVER_TLS_MODE_AUTO_PASSTHROUGH
  );
}

function speaksHttp(listener: GatewayListener): boolean {
  switch (listener.protocol) {
    case Protocol.PROTOCOL_HTTP:
    case Protocol.PROTOCOL_HTTP2:
    case Protocol.PROTOCOL_GRPC:
    case Protocol.PROTOCOL_GRPC_WEB:
      return true;
    case Protocol.PROTOCOL_HTTPS:
      return endsTls(listener);
    default:
      return false;
  }
}

export function plainTable(port: number): string {
  return `http.${port}`;
}

export function secureTable({ listener, gateway, namespace }: Server): string {
  return `https.${listener.port}.${listener.name}.${gateway}.${namespace}`;
}
