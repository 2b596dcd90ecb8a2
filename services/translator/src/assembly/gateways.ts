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
import {
  createPortTargets,
  listeningPort,
  type PortTarget,
  type RouterKey,
  routerId,
} from './gateway-ports.ts';
import { selects } from './policies.ts';
import { objectName, serverField } from './user-fields.ts';

/** One listener of one gateway object. */
export interface Server {
  /** The gateway's config key. */
  readonly key: string;
  readonly namespace: string;
  readonly gateway: string;
  readonly listener: GatewayListener;
  /** The route table's name. */
  readonly table: string;
}

/** One socket of a router. */
export interface GatewayPort {
  readonly port: number;
  /** An IP address, or `unix:///path`. */
  readonly address: string;
  /** Plain HTTP: one table for all. */
  readonly plain: readonly Server[];
  /** TLS ended here: a table each. */
  readonly secure: readonly Server[];
  /** What could not be served, and why. */
  readonly conflicts: readonly Diagnostic[];
}

/** Ports of a router, by number, then by address. */
export type GatewayPorts = Query<RouterKey, readonly GatewayPort[]>;

export function createGatewayPorts(inputs: Inputs): GatewayPorts {
  const targets = createPortTargets(inputs);
  return inputs.graph.query<RouterKey, readonly GatewayPort[]>({
    name: 'gatewayPorts',
    id: routerId,
    compute: (read, key) => portsOf(gatewaysOn(inputs, read, key), read.query(targets, key)),
    equal: sameData,
  });
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

interface Socket {
  readonly port: number;
  readonly address: string;
  readonly servers: Server[];
}

function portsOf(
  gateways: readonly Keyed<Gateway>[],
  targets: readonly PortTarget[],
): readonly GatewayPort[] {
  const sockets = new Map<string, Socket>();
  for (const { key, namespace, name, value } of gateways) {
    for (const listener of value.listeners) {
      const address = addressOf(listener.bind);
      const port = listeningPort(targets, listener.port);
      const table = tableOf(listener, port, `${name}.${namespace}`);
      const server = { key, namespace, gateway: name, listener, table };
      const id = `${port} ${address}`;
      const known = sockets.get(id);
      if (known === undefined) sockets.set(id, { port, address, servers: [server] });
      else known.servers.push(server);
    }
  }
  const sorted = [...sockets.values()].sort(
    (a, b) => a.port - b.port || (a.address < b.address ? -1 : 1),
  );
  return sorted.map(serve);
}

function addressOf(bind: string): string {
  if (bind === '') return '0.0.0.0';
  return bind.startsWith('/') || bind.startsWith('@') ? `unix://${bind}` : bind;
}

function tableOf(listener: GatewayListener, port: number, owner: string): string {
  const bind = listener.bind === '' ? '' : `.${listener.bind}`;
  return endsTls(listener)
    ? `https.${listener.port}.${listener.name}.${owner}${bind}`
    : `http.${port}${bind}`;
}

/** The first server decides what a socket speaks (istiod); others that speak otherwise are refused. */
function serve({ port, address, servers }: Socket): GatewayPort {
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
  return { port, address, plain, secure, conflicts };
}

function refuse(
  { listener, table }: Server,
  plain: readonly Server[],
  secure: readonly Server[],
): string | undefined {
  if (!speaksHttp(listener)) {
    return 'only HTTP is routed: TCP and TLS passthrough need routes of their own kind';
  }
  const other = endsTls(listener) ? plain[0] : secure[0];
  if (other !== undefined) {
    return `the port is taken by ${objectName(other.key)}, which speaks another protocol`;
  }
  const same = secure.find((server) => server.table === table);
  return same === undefined ? undefined : `${objectName(same.key)} has a port of this name`;
}

/** Two chains of one server name would be rejected by Envoy: the older keeps the name. */
function claim(chains: Map<string, Server>, server: Server): string | undefined {
  if (!endsTls(server.listener)) return undefined;
  const names = serverNames(server);
  for (const name of names) {
    const other = chains.get(name);
    if (other !== undefined) {
      return `host ${name} has a certificate of ${objectName(other.key)} on this port`;
    }
  }
  for (const name of names) chains.set(name, server);
  return undefined;
}

/** What clients may ask for; with "*" among its hosts, that is all. */
export function serverNames({ listener }: Server): readonly string[] {
  const hosts = listener.hosts.map(({ host }) => host);
  return hosts.includes('*') ? ['*'] : [...new Set(hosts)].sort();
}

function diagnose({ key, listener }: Server, reason: string): Diagnostic {
  return {
    object: key,
    field: serverField(key, listener.name, 'port.number'),
    value: String(listener.port),
    reason,
  };
}

function endsTls({ protocol, tls }: GatewayListener): boolean {
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
