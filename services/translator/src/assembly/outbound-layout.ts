/**
 * The listeners that a view makes: which address and port, and what each takes. The rules of who
 * wins where services meet are istiod's (pilot/pkg/networking/core/listener.go):
 *
 * - services of HTTP ports share one listener, `0.0.0.0_PORT`, and are told apart by Host;
 * - services of other ports have a listener of their address, else share `0.0.0.0_PORT`, told apart
 *   by destination or server name, and the older one keeps what both claim;
 * - HTTP and others on one listener: it looks at what the client says first (not where MySQL or
 *   MongoDB is spoken: there the server speaks first).
 */
import { Protocol } from '@watershed/model/gen/model.ts';
import { isTls, listenerProtocol, type ListenerProtocol } from './protocols.ts';
import type { VisibleService } from './visibility.ts';

export interface ListenerSpec {
  /** `0.0.0.0_80`, `10.0.0.1_443`, or a Unix path. */
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly bindToPort: boolean;
  readonly chains: readonly ChainSpec[];
  readonly conflicts: readonly Conflict[];
}

export type ChainSpec = HttpChain | TcpChain;

export interface HttpChain {
  readonly kind: 'http';
  /** Name of the route table. */
  readonly routes: string;
  /** Index of the egress listener that the table is of. */
  readonly egress: number;
  /** The port whose virtual hosts are in it; 0: all. */
  readonly tablePort: number;
  /** The one host of a sniffed service; '' for all. */
  readonly host: string;
  /** Only what looks like HTTP in plain text. */
  readonly plainHttp: boolean;
  readonly grpcWeb: boolean;
}

export interface TcpChain {
  readonly kind: 'tcp';
  readonly service: VisibleService;
  /** Of the service: the cluster's. */
  readonly port: number;
  readonly sni: readonly string[];
  readonly cidrs: readonly string[];
}

/** A service that has no part in a listener, and who keeps it. */
export interface Conflict {
  /** The service's. */
  readonly object: string;
  readonly port: number;
  readonly reason: string;
}

/** One port of a service, to be put on an address. */
export interface Placement {
  readonly service: VisibleService;
  /** The key of its object, to blame. */
  readonly object: string;
  /** The port of the listener, and its protocol. */
  readonly port: number;
  readonly protocol: Protocol;
  /** The port of the cluster. */
  readonly clusterPort: number;
  /** Where it is to listen; '' for the service's own address. */
  readonly bind: string;
  readonly bindToPort: boolean;
  /** The service's own address: an IP, a CIDR, or '' for none. */
  readonly address: string;
  readonly egress: number;
}

const anywhere = '0.0.0.0';

interface Building {
  readonly address: string;
  readonly port: number;
  readonly bindToPort: boolean;
  /** What it speaks; `auto` once it tells by looking. */
  protocol: ListenerProtocol;
  wellKnown: Protocol;
  chains: ChainSpec[];
  readonly conflicts: Conflict[];
  /** Named by an egress listener with a port: it takes no more. */
  locked: boolean;
}

/** Collects placements in order of precedence. */
export class Layout {
  readonly #listeners = new Map<string, Building>();

  /** What is there is complete; what comes later makes listeners of its own. */
  lock(): void {
    for (const listener of this.#listeners.values()) listener.locked = true;
  }

  add(placement: Placement): void {
    const protocol = listenerProtocol(placement.protocol);
    if (protocol === 'none') return;
    const { address, cidrs } = addressFor(placement, protocol);
    const name = nameOf(address, placement.port);
    const current = this.#listeners.get(name);
    if (current?.locked === true) return;
    if (current === undefined) {
      this.#listeners.set(name, open(placement, protocol, address, cidrs));
      return;
    }
    join(current, placement, protocol, cidrs);
  }

  /** By name. */
  specs(): readonly ListenerSpec[] {
    const all = [...this.#listeners].map(([name, building]): ListenerSpec => {
      const { address, port, bindToPort, chains, conflicts } = building;
      return { name, address, port, bindToPort, chains, conflicts };
    });
    return all.sort((a, b) => (a.name < b.name ? -1 : 1));
  }
}

export function nameOf(address: string, port: number): string {
  return address.startsWith('unix://') ? address : `${address}_${port}`;
}

/**
 * HTTP is anywhere on the port; others are at the service's address, or anywhere with a match of
 * it.
 */
function addressFor(
  placement: Placement,
  protocol: ListenerProtocol,
): { readonly address: string; readonly cidrs: readonly string[] } {
  if (placement.bind !== '') return { address: placement.bind, cidrs: [] };
  if (protocol === 'http' || placement.address === '') return { address: anywhere, cidrs: [] };
  const [ip = '', length] = placement.address.split('/');
  const whole = ip.includes(':') ? '128' : '32';
  if (length === undefined || length === whole) return { address: ip, cidrs: [] };
  return { address: anywhere, cidrs: [placement.address] };
}

/** Whether it is at all addresses of its port. */
export function isAnywhere(placement: Placement): boolean {
  return addressFor(placement, listenerProtocol(placement.protocol)).address === anywhere;
}

function open(
  placement: Placement,
  protocol: ListenerProtocol,
  address: string,
  cidrs: readonly string[],
): Building {
  const http = httpChain(placement, protocol, address);
  const chains: ChainSpec[] = [];
  if (protocol !== 'http') chains.push(tcpChain(placement, address, cidrs));
  if (protocol !== 'tcp') chains.push(http);
  return {
    address,
    port: placement.port,
    bindToPort: placement.bindToPort,
    // Anywhere, HTTP is looked for: other traffic to the port passes through.
    protocol: http.plainHttp && protocol === 'http' ? 'auto' : protocol,
    wellKnown: placement.protocol,
    chains,
    conflicts: [],
    locked: false,
  };
}

function join(
  current: Building,
  placement: Placement,
  protocol: ListenerProtocol,
  cidrs: readonly string[],
): void {
  if (protocol === 'http' && current.protocol !== 'tcp') return;
  if (speaksFirst(placement.protocol) || speaksFirst(current.wellKnown)) {
    if (placement.protocol !== current.wellKnown) {
      refuse(
        current,
        placement,
        'MySQL and Mongo share no address with another protocol: there the server speaks first',
      );
      return;
    }
  }
  if (protocol === 'auto' && current.protocol === 'http') {
    const made = open(placement, protocol, current.address, cidrs);
    current.chains = made.chains;
    current.protocol = protocol;
    current.wellKnown = placement.protocol;
    return;
  }
  const added: ChainSpec[] = [];
  if (protocol !== 'http') added.push(tcpChain(placement, current.address, cidrs));
  // A second service of unknown protocol shares the HTTP chain of the first.
  if (protocol !== 'tcp' && current.protocol === 'tcp') {
    added.push({ ...httpChain(placement, protocol, current.address), plainHttp: true });
  }
  for (const chain of added) {
    const clash = current.chains.find((known) => sameMatch(known, chain));
    if (clash === undefined) current.chains.push(chain);
    else refuse(current, placement, `the address is taken by ${ownerOf(clash)}`);
  }
  if (current.protocol !== protocol) current.protocol = 'auto';
}

function httpChain(placement: Placement, protocol: ListenerProtocol, address: string): HttpChain {
  const { port, service, egress } = placement;
  const proxy = placement.protocol === Protocol.PROTOCOL_HTTP_PROXY;
  const own = protocol === 'auto' && address !== anywhere;
  const unix = address.startsWith('unix://');
  return {
    kind: 'http',
    routes: unix ? address : own ? `${service.host}:${port}` : String(port),
    egress,
    tablePort: unix || proxy ? 0 : port,
    host: own ? service.host : '',
    plainHttp: !proxy && (protocol === 'auto' || address === anywhere),
    grpcWeb: placement.protocol === Protocol.PROTOCOL_GRPC_WEB,
  };
}

function tcpChain(placement: Placement, address: string, cidrs: readonly string[]): TcpChain {
  const { service, clusterPort } = placement;
  // With an address of its own, the destination tells already.
  const shared = cidrs.length > 0 || address === anywhere || placement.bind !== '';
  const byName = isTls(placement.protocol) && shared && service.host !== '*';
  return {
    kind: 'tcp',
    service,
    port: clusterPort,
    sni: byName ? [service.host] : [],
    cidrs,
  };
}

function speaksFirst(protocol: Protocol): boolean {
  return protocol === Protocol.PROTOCOL_MYSQL || protocol === Protocol.PROTOCOL_MONGO;
}

/** Envoy rejects two chains of one match. */
function sameMatch(a: ChainSpec, b: ChainSpec): boolean {
  return matchId(a) === matchId(b);
}

function matchId(chain: ChainSpec): string {
  if (chain.kind === 'tcp') return `${chain.sni.join()} ${chain.cidrs.join()}`;
  return chain.plainHttp ? 'http' : ' ';
}

function ownerOf(chain: ChainSpec): string {
  return chain.kind === 'tcp' ? chain.service.host : 'services that speak HTTP';
}

function refuse(current: Building, { object, port }: Placement, reason: string): void {
  current.conflicts.push({ object, port, reason });
}
