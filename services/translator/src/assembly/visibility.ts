/**
 * Which services and routes a client sees: what is exported to its namespace, narrowed by the
 * egress listeners of the Sidecar that holds for it.
 *
 * Clients that see the same share one view. A view's id names what was chosen: '' for clients for
 * which only what is exported to all counts, `n:NAMESPACE` where something is exported to (or
 * contested in) the namespace, `s:KEY NAMESPACE` under a Sidecar.
 */
import type { Entry } from '@watershed/derive/collection.ts';
import type { Query, Reader } from '@watershed/derive/graph.ts';
import type {
  CaptureMode,
  EgressListener,
  OutboundMode,
  Protocol,
  Service,
} from '@watershed/model/gen/model.ts';
import { Protocol as Protocols, CaptureMode as CaptureModes } from '@watershed/model/gen/model.ts';
import type { Inputs, Keyed } from '../inputs.ts';
import { allHosts, hostFilter, type HostFilter } from './egress.ts';
import { sameData } from './equal.ts';
import type { MeshQueries } from './mesh.ts';
import { createMeshRoutes, visibleRoutes, type MeshRoutes } from './mesh-routes.ts';
import {
  byPrecedence,
  chooseService,
  isExportedTo,
  toCandidate,
  type Candidate,
  type ServiceChoice,
  type ServiceQueries,
} from './services.ts';
import { chooseSidecar } from './sidecar-choice.ts';

type Labels = Readonly<Record<string, string>>;

export interface ViewKey {
  readonly namespace: string;
  readonly labels: Labels;
  readonly mesh: string;
  /** Routers have no Sidecar. */
  readonly router: boolean;
}

/** A service that a view has. */
export interface VisibleService extends ServiceChoice {
  /** Ports that an egress listener narrows it to; empty: all of its ports. */
  readonly ports: readonly number[];
}

/** What one egress listener shows. Without a Sidecar there is one, with port 0. */
export interface EgressView {
  /** 0: all ports that no other listener claims. */
  readonly port: number;
  readonly protocol: Protocol;
  readonly bind: string;
  readonly captureMode: CaptureMode;
  /** By host. */
  readonly services: readonly VisibleService[];
}

export interface View {
  /** Config key of the Sidecar, '' for none. */
  readonly sidecar: string;
  /** The namespace that its clients are in; '' where it does not matter. */
  readonly namespace: string;
  readonly outboundMode: OutboundMode | undefined;
  readonly listeners: readonly EgressView[];
  /**
   * Over all listeners, and what their routes send to besides: the clusters that clients have. By
   * host.
   */
  readonly services: readonly VisibleService[];
}

export interface ListenerKey {
  readonly view: string;
  /** Index in `View.listeners`. */
  readonly listener: number;
  /** The client's namespace: routes may be exported to it alone. */
  readonly namespace: string;
}

export interface VisibilityQueries {
  readonly viewOf: Query<ViewKey, string>;
  /** By a view's id. */
  readonly view: Query<string, View>;
  /** Config keys of the mesh's routes that clients of a listener see, the oldest first. */
  readonly routes: Query<ListenerKey, readonly string[]>;
  /** The Sidecar's key that holds for a client, '' for none. */
  readonly sidecarOf: Query<ViewKey, string>;
}

interface Context {
  readonly inputs: Inputs;
  readonly services: ServiceQueries;
  readonly published: Query<string, readonly Candidate[]>;
  readonly meshRoutes: MeshRoutes;
}

export function createVisibilityQueries(
  inputs: Inputs,
  mesh: MeshQueries,
  services: ServiceQueries,
): VisibilityQueries {
  const { graph, indexes } = inputs;
  /** Services by an entry of `exportTo`; a change of what they say stops here. */
  const published = graph.query<string, readonly Candidate[]>({
    name: 'publishedServices',
    id: (exportTo) => exportTo,
    compute: (read, exportTo) => candidatesOf(read.lookup(indexes.servicesByExport, exportTo)),
    equal: sameData,
  });
  const meshRoutes = createMeshRoutes(inputs);
  /** Namespaces in which some host is defined that is defined in another one, too. */
  const contested = graph.query<'', ReadonlySet<string>>({
    name: 'contestedNamespaces',
    id: (key) => key,
    compute: (read) => contestedNamespaces(read.query(published, '*')),
    equal: sameData,
  });
  const context: Context = { inputs, services, published, meshRoutes };
  const viewKeyId = (key: ViewKey): string =>
    `${key.namespace}\n${key.mesh}\n${key.router}\n${JSON.stringify(key.labels)}`;

  const sidecarOf = graph.query<ViewKey, string>({
    name: 'sidecarOf',
    id: viewKeyId,
    compute: (read, key) =>
      key.router ? '' : chooseSidecar(inputs, read, key, read.query(mesh.rootNamespace, key.mesh)),
  });
  const viewOf = graph.query<ViewKey, string>({
    name: 'viewOf',
    id: viewKeyId,
    compute: (read, key) => {
      const sidecar = read.query(sidecarOf, key);
      if (sidecar !== '') return `s:${sidecar} ${key.namespace}`;
      const special =
        read.query(contested, '').has(key.namespace) ||
        read.query(published, key.namespace).length > 0;
      return special ? `n:${key.namespace}` : '';
    },
  });
  const view = graph.query<string, View>({
    name: 'view',
    id: (id) => id,
    compute: (read, id) => computeView(context, read, id),
    equal: sameData,
  });
  const routes = graph.query<ListenerKey, readonly string[]>({
    name: 'visibleRoutes',
    id: (key) => `${key.view}\n${key.listener}\n${key.namespace}`,
    compute: (read, key) => {
      const filter = egressOf(context, read, key.view)[key.listener]?.filter;
      if (filter === undefined) return [];
      return visibleRoutes(read, meshRoutes, filter, key.namespace).map((route) => route.key);
    },
    equal: sameData,
  });
  return { viewOf, view, routes, sidecarOf };
}

/** The parts of a view's id. */
export function parseView(id: string): { readonly sidecar: string; readonly namespace: string } {
  if (id.startsWith('n:')) return { sidecar: '', namespace: id.slice(2) };
  if (!id.startsWith('s:')) return { sidecar: '', namespace: '' };
  const at = id.lastIndexOf(' ');
  return { sidecar: id.slice(2, at), namespace: id.slice(at + 1) };
}

// ---------------------------------------------------------------- services

function candidatesOf(entries: readonly Entry<Keyed<Service>>[]): readonly Candidate[] {
  return entries.map((entry) => toCandidate(entry.value)).sort(byPrecedence);
}

function contestedNamespaces(candidates: readonly Candidate[]): ReadonlySet<string> {
  const first = new Map<string, string>();
  const contested = new Set<string>();
  for (const { host, namespace } of candidates) {
    const other = first.get(host);
    if (other === undefined) first.set(host, namespace);
    else if (other !== namespace) contested.add(namespace);
  }
  return contested;
}

interface Egress {
  readonly listener: EgressListener | undefined;
  readonly filter: HostFilter;
}

function egressOf({ inputs }: Context, read: Reader, id: string): readonly Egress[] {
  const { sidecar, namespace } = parseView(id);
  const scope = sidecar === '' ? undefined : read.get(inputs.scopes, sidecar);
  const egress = scope?.value.egress ?? [];
  if (egress.length === 0) {
    return [{ listener: undefined, filter: hostFilter(allHosts, namespace) }];
  }
  return egress.map((listener) => ({
    listener,
    filter: hostFilter(listener.hosts, namespace),
  }));
}

function computeView(context: Context, read: Reader, id: string): View {
  const { sidecar, namespace } = parseView(id);
  const scope = sidecar === '' ? undefined : read.get(context.inputs.scopes, sidecar);
  const all = egressOf(context, read, id);
  const listeners = all.map(({ listener, filter }) => {
    const services = chooseServices(context, read, filter, namespace);
    return {
      port: listener?.port ?? 0,
      protocol: listener?.protocol ?? Protocols.PROTOCOL_AUTO,
      bind: listener?.bind ?? '',
      captureMode: listener?.captureMode ?? CaptureModes.CAPTURE_MODE_DEFAULT,
      services: narrowToPort(context, read, services, listener),
    };
  });
  const imported =
    sidecar === '' ? [] : all.flatMap(({ filter }) => importsOf(context, read, filter, namespace));
  const shown = listeners.flatMap((listener) => listener.services);
  return {
    sidecar,
    namespace,
    outboundMode: scope?.value.outboundMode,
    listeners,
    services: union(shown, imported),
  };
}

function chooseServices(
  context: Context,
  read: Reader,
  filter: HostFilter,
  namespace: string,
): readonly VisibleService[] {
  const byHost = new Map<string, Candidate[]>();
  for (const candidate of reachable(context, read, filter, namespace)) {
    if (!filter.covers(candidate.namespace, candidate.host)) continue;
    const known = byHost.get(candidate.host);
    if (known === undefined) byHost.set(candidate.host, [candidate]);
    else known.push(candidate);
  }
  const chosen: VisibleService[] = [];
  for (const [host, visible] of byHost) {
    // What is exported to others only counts as well: a reference names just what is used.
    const all = read.query(context.services.candidates, host);
    const choice = chooseService(host, visible, all, namespace);
    if (choice !== undefined) chosen.push({ ...choice, ports: [] });
  }
  return chosen.sort((a, b) => (a.host < b.host ? -1 : 1));
}

/** Services that are exported to the client and may be covered, by precedence. */
function reachable(
  { inputs, services, published }: Context,
  read: Reader,
  filter: HostFilter,
  namespace: string,
): readonly Candidate[] {
  if (filter.exact !== undefined) {
    const hosts = [...new Set(filter.exact.map((named) => named.host))];
    return hosts
      .flatMap((host) => read.query(services.candidates, host))
      .filter((candidate) => isExportedTo(candidate.exportTo, namespace));
  }
  if (!filter.namespaces.includes('*')) {
    return filter.namespaces
      .flatMap((named) => candidatesOf(read.lookup(inputs.indexes.servicesByNamespace, named)))
      .filter((candidate) => isExportedTo(candidate.exportTo, namespace))
      .sort(byPrecedence);
  }
  const all = read.query(published, '*');
  if (namespace === '') return all;
  const own = read
    .query(published, namespace)
    .filter((candidate) => !candidate.exportTo.includes('*'));
  return own.length === 0 ? all : [...all, ...own].sort(byPrecedence);
}

/** A listener of one port shows of a service that port alone; a proxy's port shows all. */
function narrowToPort(
  { services }: Context,
  read: Reader,
  visible: readonly VisibleService[],
  listener: EgressListener | undefined,
): readonly VisibleService[] {
  if (listener === undefined || listener.port === 0) return visible;
  if (listener.protocol === Protocols.PROTOCOL_HTTP_PROXY) return visible;
  return visible.flatMap((choice) => {
    const ports = read.query(services.service, choice)?.ports ?? [];
    if (!ports.some((port) => port.number === listener.port)) return [];
    return [{ ...choice, ports: ports.length === 1 ? [] : [listener.port] }];
  });
}

function union(
  shown: readonly VisibleService[],
  imported: readonly VisibleService[],
): readonly VisibleService[] {
  const byHost = new Map<string, VisibleService>();
  for (const service of shown) {
    const known = byHost.get(service.host);
    if (known === undefined) byHost.set(service.host, service);
    else if (known.ref === service.ref) byHost.set(service.host, widen(known, service));
  }
  for (const service of imported) {
    if (!byHost.has(service.host)) byHost.set(service.host, service);
  }
  return [...byHost.values()].sort((a, b) => (a.host < b.host ? -1 : 1));
}

function widen(a: VisibleService, b: VisibleService): VisibleService {
  if (a.ports.length === 0 || b.ports.length === 0) return { ...a, ports: [] };
  return { ...a, ports: [...new Set([...a.ports, ...b.ports])].sort((x, y) => x - y) };
}

/** Services that a Sidecar does not name, but that the routes it shows send to. */
function importsOf(
  context: Context,
  read: Reader,
  filter: HostFilter,
  namespace: string,
): readonly VisibleService[] {
  const hosts = new Set<string>();
  for (const route of visibleRoutes(read, context.meshRoutes, filter, namespace)) {
    for (const host of route.destinations) hosts.add(host);
  }
  const imported: VisibleService[] = [];
  for (const host of hosts) {
    const all = read.query(context.services.candidates, host);
    const visible = all.filter((candidate) => isExportedTo(candidate.exportTo, namespace));
    const choice = chooseService(host, visible, all, namespace);
    if (choice !== undefined) imported.push({ ...choice, ports: [] });
  }
  return imported;
}
