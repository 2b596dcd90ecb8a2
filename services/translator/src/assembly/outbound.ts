/** A sidecar's outbound listeners: which there are for a client, and the job that makes each. */
import type { Query, Reader } from '@watershed/derive/graph.ts';
import { CaptureMode, Origin } from '@watershed/model/gen/model.ts';
import { isPassthrough } from './cluster-facts.ts';
import type { Client, Core } from './core.ts';
import { sameData } from './equal.ts';
import { isAddress } from './localities.ts';
import { isAnywhere, Layout, type ListenerSpec, type Placement } from './outbound-layout.ts';
import { isHttp, listenerProtocol } from './protocols.ts';
import { addressesFor, type MergedService } from './services.ts';
import type { EgressView, VisibleService } from './visibility.ts';

/** What two clients must have in common to have the same listeners. */
export interface LayoutKey {
  readonly view: string;
  readonly cluster: string;
  readonly mesh: string;
  /** Traffic is not intercepted: listeners open sockets on the loopback address. */
  readonly direct: boolean;
}

export interface OutboundQueries {
  /** By name. */
  readonly layout: Query<LayoutKey, readonly ListenerSpec[]>;
}

interface ListenerPorts {
  readonly outbound: number;
  readonly inbound: number;
}

/** istio-proxy's own: health (15021) and metrics (15090). */
const agentPorts: readonly number[] = [15021, 15090];

/** So many addresses of one headless port have listeners; a host of more would burden every proxy. */
const maxHeadlessListeners = 500;

export function layoutKeyOf(client: Client): LayoutKey {
  const { cluster, interception } = client.scope;
  return { view: client.view, mesh: client.mesh, cluster, direct: interception === 'NONE' };
}

export function createOutboundLayout(core: Core): OutboundQueries {
  const { graph } = core.inputs;
  const ports = core.mesh.facet('listenerPorts', (mesh): ListenerPorts => ({
    outbound: mesh.proxyListenPort,
    inbound: mesh.proxyInboundListenPort,
  }));
  const addresses = createHeadlessAddresses(core);
  const layout = graph.query<LayoutKey, readonly ListenerSpec[]>({
    name: 'outboundLayout',
    id: (key) => `${key.view}\n${key.cluster}\n${key.mesh}\n${key.direct}`,
    compute: (read, key) => layOut(core, addresses, read.query(ports, key.mesh), read, key),
    equal: sameData,
  });
  return { layout };
}

// ---------------------------------------------------------------- from services to placements

interface Site {
  readonly bind: string;
  readonly bindToPort: boolean;
  readonly egress: number;
}

interface Shown {
  readonly choice: VisibleService;
  readonly service: MergedService;
}

function layOut(
  core: Core,
  addresses: HeadlessAddresses,
  reserved: ListenerPorts,
  read: Reader,
  key: LayoutKey,
): readonly ListenerSpec[] {
  const layout = new Layout();
  const { listeners } = read.query(core.visibility.view, key.view);
  for (const [egress, listener] of listeners.entries()) {
    const site = siteOf(listener, egress, key.direct);
    const shown = byAge(core, read, listener.services);
    if (hasOwnPort(listener)) {
      for (const one of shown) {
        const placement = placeAtPort(one, listener, site);
        if (!isReserved(placement, reserved)) layout.add(placement);
      }
      continue;
    }
    layout.lock();
    for (const one of shown) {
      for (const placement of placementsOf(addresses, read, one, key, site)) {
        if (!isReserved(placement, reserved)) layout.add(placement);
      }
    }
  }
  return layout.specs();
}

function hasOwnPort({ port, bind }: EgressView): boolean {
  return port !== 0 || bind.startsWith('unix://');
}

/** Sockets are opened where nothing intercepts, or where the user says so. */
function siteOf({ bind, captureMode }: EgressView, egress: number, direct: boolean): Site {
  const bindToPort =
    direct || captureMode === CaptureMode.CAPTURE_MODE_NONE || bind.startsWith('unix://');
  return { bind: bind === '' && bindToPort ? '127.0.0.1' : bind, bindToPort, egress };
}

/** The older service keeps what two claim; the other one's age does not depend on who looks. */
function byAge(core: Core, read: Reader, services: readonly VisibleService[]): readonly Shown[] {
  const all = services.flatMap((choice): readonly Shown[] => {
    const service = read.query(core.services.service, choice);
    return service === undefined ? [] : [{ choice, service }];
  });
  return all.sort((a, b) => a.service.createdMs - b.service.createdMs);
}

/** A listener of one port sends to each service's port of that number, or to its only one. */
function placeAtPort({ choice, service }: Shown, listener: EgressView, site: Site): Placement {
  const [only, ...more] = service.ports;
  const clusterPort = only !== undefined && more.length === 0 ? only.number : listener.port;
  const { port, protocol } = listener;
  const [address = ''] = service.addresses[0]?.addresses ?? [];
  const { key: object } = service;
  return { service: choice, object, port, protocol, clusterPort, address, ...site };
}

function placementsOf(
  addresses: HeadlessAddresses,
  read: Reader,
  { choice, service }: Shown,
  key: LayoutKey,
  site: Site,
): readonly Placement[] {
  const virtual = addressesFor(service, key.cluster).filter((address) => isUsable(address));
  return service.ports.flatMap(({ number, name, protocol }) => {
    if (choice.ports.length > 0 && !choice.ports.includes(number)) return [];
    const { key: object } = service;
    const common = {
      service: choice,
      object,
      port: number,
      protocol,
      clusterPort: number,
      ...site,
    };
    const at = (address: string): Placement => ({ ...common, address });
    if (isHttp(protocol)) return [at('')];
    if (site.bind !== '') return [at(virtual[0] ?? '')];
    if (virtual.length > 0) return virtual.map(at);
    if (!isPassthrough(service) || listenerProtocol(protocol) === 'none') return [at('')];
    const own = read.query(addresses, {
      host: service.host,
      namespace: service.namespace,
      portName: name,
    });
    if (own.length > 0) return own.slice(0, maxHeadlessListeners).map(at);
    // Endpoints may come yet; until then a listener of the whole port would be in others' way.
    const waits = service.origin === Origin.ORIGIN_KUBERNETES || service.selective;
    return waits ? [] : [at('')];
  });
}

function isUsable(address: string): boolean {
  return isAddress(address.split('/')[0] ?? '') && address !== '0.0.0.0';
}

/** Whether the socket is one of the proxy's own: Envoy would refuse the second. */
function isReserved(placement: Placement, reserved: ListenerPorts): boolean {
  const { port } = placement;
  const own = port === reserved.outbound || port === reserved.inbound || agentPorts.includes(port);
  return own && isAnywhere(placement);
}

// ------------------------------------------------------- addresses behind headless services

interface PortKey {
  readonly host: string;
  readonly namespace: string;
  readonly portName: string;
}

type HeadlessAddresses = Query<PortKey, readonly string[]>;

/** Addresses of a headless port, sorted: each is a destination that clients connect to. */
function createHeadlessAddresses(core: Core): HeadlessAddresses {
  const { graph, indexes } = core.inputs;
  return graph.query<PortKey, readonly string[]>({
    name: 'headlessAddresses',
    id: (key) => `${key.host}\n${key.namespace}\n${key.portName}`,
    compute: (read, { host, namespace, portName }) => {
      const destinations = read
        .lookup(indexes.destinationsByHost, host)
        .filter((entry) => entry.value.value.namespace === namespace)
        .flatMap((entry) => entry.value.value.addresses)
        .filter(({ portNames }) => portNames.includes(portName));
      return [...new Set(destinations.map(({ address }) => address))].sort();
    },
    equal: sameData,
  });
}
