/**
 * The translator's declared inputs: what the topics `config` and `endpoints` say, folded by key,
 * decoded once and deeply frozen. Two records of equal bytes are one value: the second changes
 * nothing, and the object of the first stays, so that identity can be used to ask "is it the
 * same".
 */
import type { Collection, Index } from '@watershed/derive/collection.ts';
import type { Graph } from '@watershed/derive/graph.ts';
import { Event } from '@watershed/model/gen/model.ts';
import type {
  Destinations,
  Authorization,
  Endpoints,
  Gateway,
  Mesh,
  Namespace,
  PeerAuthentication,
  Policy,
  Route,
  Scope,
  Secret,
  Service,
  Source,
  Workload,
} from '@watershed/model/gen/model.ts';
import type { ScopeClass } from '@watershed/model/gen/record.ts';
import { parseConfigKey, parseEndpointsKey, partitionOf } from '@watershed/model/keys.ts';
import { bytesEqual } from './bytes.ts';
import { deepFreeze } from './freeze.ts';

/** One object of the log. `value` and all in it is frozen. */
export interface Keyed<T> {
  /**
   * The record's key, which is the collection's key too: `cluster|kind|namespace|name`, or an
   * endpoints key.
   */
  readonly key: string;
  readonly cluster: string;
  readonly namespace: string;
  readonly name: string;
  readonly value: T;
  /** The record's value. */
  readonly bytes: Uint8Array;
}

/** An index key that every entry is found under. */
export const everything = '';

export interface Inputs {
  readonly graph: Graph;
  readonly meshes: Collection<Keyed<Mesh>>;
  readonly namespaces: Collection<Keyed<Namespace>>;
  readonly services: Collection<Keyed<Service>>;
  readonly policies: Collection<Keyed<Policy>>;
  readonly gateways: Collection<Keyed<Gateway>>;
  readonly routes: Collection<Keyed<Route>>;
  readonly scopes: Collection<Keyed<Scope>>;
  readonly secrets: Collection<Keyed<Secret>>;
  readonly sources: Collection<Keyed<Source>>;
  readonly destinations: Collection<Keyed<Destinations>>;
  /** Keys of the topic `endpoints`; only those of the partitions that this shard owns. */
  readonly endpoints: Collection<Keyed<Endpoints>>;
  /** Of the same topic, under their uids. */
  readonly workloads: Collection<Keyed<Workload>>;
  readonly authorizations: Collection<Keyed<Authorization>>;
  readonly peerAuthentications: Collection<Keyed<PeerAuthentication>>;
  /** Scopes that some pusher asks for, by scope id. */
  readonly demand: Collection<ScopeClass>;
  readonly indexes: Indexes;
}

export interface Indexes {
  /** By `everything`. */
  readonly meshes: Index<Keyed<Mesh>>;
  /** By the namespace's name (one entry per cluster that has it), and by `everything`. */
  readonly namespacesByName: Index<Keyed<Namespace>>;
  /** By host, exactly. */
  readonly servicesByHost: Index<Keyed<Service>>;
  readonly servicesByNamespace: Index<Keyed<Service>>;
  /**
   * By each entry of `exportTo`: `*`, or a namespace. What is exported to nobody (`~`) is not in
   * it.
   */
  readonly servicesByExport: Index<Keyed<Service>>;
  /**
   * By `selectorKey(namespace, …)` of a service's selector. For one workload: look up every
   * `labelKey(namespace, key, value)` of its labels, then compare the whole selector.
   */
  readonly servicesByWorkload: Index<Keyed<Service>>;
  /** By host as the policy says it: `a.b`, `*.b` or `*`. */
  readonly policiesByHost: Index<Keyed<Policy>>;
  readonly policiesByNamespace: Index<Keyed<Policy>>;
  /** By `namespace|host`. */
  readonly policiesByNamespaceHost: Index<Keyed<Policy>>;
  /** By each entry of `exportTo`: `*`, or a namespace. */
  readonly policiesByExport: Index<Keyed<Policy>>;
  /** By `everything`. */
  readonly gateways: Index<Keyed<Gateway>>;
  readonly gatewaysByNamespace: Index<Keyed<Gateway>>;
  /**
   * By `selectorKey('', …)` of the proxies that it runs on. For one proxy: look up `labelKey('',
   * '', '')` and every `labelKey('', key, value)` of its labels, then compare the whole selector.
   */
  readonly gatewaysBySelector: Index<Keyed<Gateway>>;
  readonly routesByNamespace: Index<Keyed<Route>>;
  /** By `namespace|name` of each parent gateway (those that single matches narrow to as well). */
  readonly routesByGateway: Index<Keyed<Route>>;
  /** Routes of the mesh (sidecars), by each entry of `exportTo`: `*`, or a namespace. */
  readonly routesByMesh: Index<Keyed<Route>>;
  /** Routes attached to a service, by its host. */
  readonly routesByServiceHost: Index<Keyed<Route>>;
  /** By host as the route says it: `a.b`, `*.b` or `*`. */
  readonly routesByHost: Index<Keyed<Route>>;
  readonly scopesByNamespace: Index<Keyed<Scope>>;
  /** By `namespace|name` (one entry per cluster that has it). */
  readonly secretsByName: Index<Keyed<Secret>>;
  /** By host, exactly. */
  readonly endpointsByHost: Index<Keyed<Endpoints>>;
  /** By host, exactly. */
  readonly destinationsByHost: Index<Keyed<Destinations>>;
  readonly workloadsByUid: Index<Keyed<Workload>>;
  /** By a part of all: see `buckets`. */
  readonly workloadsByBucket: Index<Keyed<Workload>>;
  readonly servicesByBucket: Index<Keyed<Service>>;
  /** By `everything`. */
  readonly authorizations: Index<Keyed<Authorization>>;
  readonly authorizationsByNamespace: Index<Keyed<Authorization>>;
  /** By `everything`. */
  readonly peerAuthentications: Index<Keyed<PeerAuthentication>>;
  readonly peerAuthenticationsByNamespace: Index<Keyed<PeerAuthentication>>;
  /** By `everything`. */
  readonly sources: Index<Keyed<Source>>;
}

/**
 * Into how many parts are divided what is many and listed as a whole: a change is looked for in
 * one.
 */
export const buckets = 256;

function bucketOf(name: string): string {
  return String(partitionOf(name, buckets));
}

type Labels = Readonly<Record<string, string>>;

/**
 * Where a thing with this selector is indexed: under its first label, so that it is found exactly
 * once.
 */
export function selectorKey(namespace: string, selector: Labels): string {
  let first = '';
  for (const key of Object.keys(selector)) if (first === '' || key < first) first = key;
  return labelKey(namespace, first, selector[first] ?? '');
}

/** `namespace|key=value`; with an empty key: where what selects everything is indexed. */
export function labelKey(namespace: string, key: string, value: string): string {
  return `${namespace}|${key}=${value}`;
}

export function createInputs(graph: Graph): Inputs {
  const collection = <T>(name: string): Collection<Keyed<T>> =>
    graph.collection<Keyed<T>>(name, sameBytes);
  const own = {
    graph,
    meshes: collection<Mesh>('mesh'),
    namespaces: collection<Namespace>('namespace'),
    services: collection<Service>('service'),
    policies: collection<Policy>('policy'),
    gateways: collection<Gateway>('gateway'),
    routes: collection<Route>('route'),
    scopes: collection<Scope>('scope'),
    secrets: collection<Secret>('secret'),
    sources: collection<Source>('source'),
    destinations: collection<Destinations>('destinations'),
    endpoints: collection<Endpoints>('endpoints'),
    workloads: collection<Workload>('workload'),
    authorizations: collection<Authorization>('authorization'),
    peerAuthentications: collection<PeerAuthentication>('peerAuthentication'),
    demand: graph.collection<ScopeClass>('demand'),
  };
  return { ...own, indexes: createIndexes(own) };
}

function createIndexes(inputs: Omit<Inputs, 'indexes'>): Indexes {
  const { services, policies, gateways, routes } = inputs;
  return {
    meshes: inputs.meshes.index('all', () => [everything]),
    namespacesByName: inputs.namespaces.index('name', (_, n) => [n.name, everything]),
    servicesByHost: services.index('host', (_, s) => [s.value.host]),
    servicesByNamespace: services.index('namespace', (_, s) => [s.namespace]),
    servicesByExport: services.index('export', (_, s) => visibleTo(s.value.exportTo)),
    servicesByWorkload: services.index('workload', (_, s) => [
      selectorKey(s.namespace, s.value.selector),
    ]),
    policiesByHost: policies.index('host', (_, p) => [p.value.host]),
    policiesByNamespace: policies.index('namespace', (_, p) => [p.namespace]),
    policiesByNamespaceHost: policies.index('namespaceHost', (_, p) => [
      `${p.namespace}|${p.value.host}`,
    ]),
    policiesByExport: policies.index('export', (_, p) => visibleTo(p.value.exportTo)),
    gateways: gateways.index('all', () => [everything]),
    gatewaysByNamespace: gateways.index('namespace', (_, g) => [g.namespace]),
    gatewaysBySelector: gateways.index('selector', (_, g) => [selectorKey('', g.value.selector)]),
    routesByNamespace: routes.index('namespace', (_, r) => [r.namespace]),
    routesByGateway: routes.index('gateway', (_, r) => gatewaysOf(r.value)),
    routesByMesh: routes.index('mesh', (_, r) =>
      parentsOf(r.value).some((parent) => parent.to?.$case === 'mesh')
        ? visibleTo(r.value.exportTo)
        : [],
    ),
    routesByServiceHost: routes.index('serviceHost', (_, r) => serviceHostsOf(r.value)),
    routesByHost: routes.index('host', (_, r) => unique(r.value.hosts)),
    scopesByNamespace: inputs.scopes.index('namespace', (_, s) => [s.namespace]),
    secretsByName: inputs.secrets.index('name', (_, s) => [`${s.namespace}|${s.name}`]),
    endpointsByHost: inputs.endpoints.index('host', (_, e) => [e.value.host]),
    destinationsByHost: inputs.destinations.index('host', (_, d) => [d.value.host]),
    workloadsByUid: inputs.workloads.index('uid', (_, w) => [w.value.uid]),
    workloadsByBucket: inputs.workloads.index('bucket', (_, w) => [bucketOf(w.value.uid)]),
    servicesByBucket: services.index('bucket', (_, s) => [bucketOf(s.value.host)]),
    authorizations: inputs.authorizations.index('all', () => [everything]),
    authorizationsByNamespace: inputs.authorizations.index('namespace', (_, a) => [a.namespace]),
    peerAuthentications: inputs.peerAuthentications.index('all', () => [everything]),
    peerAuthenticationsByNamespace: inputs.peerAuthentications.index('namespace', (_, p) => [
      p.namespace,
    ]),
    sources: inputs.sources.index('all', () => [everything]),
  };
}

function parentsOf(route: Route): Route['parents'] {
  const narrowed = route.rules.flatMap((rule) => rule.matches.flatMap((match) => match.gateways));
  return [...route.parents, ...narrowed];
}

function gatewaysOf(route: Route): readonly string[] {
  const keys = parentsOf(route).flatMap(({ to }) =>
    to?.$case === 'gateway' ? [`${to.value.namespace}|${to.value.name}`] : [],
  );
  return unique(keys);
}

function serviceHostsOf(route: Route): readonly string[] {
  const hosts = parentsOf(route).flatMap(({ to }) =>
    to?.$case === 'serviceHost' ? [to.value] : [],
  );
  return unique(hosts);
}

function visibleTo(exportTo: readonly string[]): readonly string[] {
  return unique(exportTo.filter((entry) => entry !== '~'));
}

function unique(keys: readonly string[]): readonly string[] {
  return [...new Set(keys)];
}

function sameBytes(a: { readonly bytes: Uint8Array }, b: { readonly bytes: Uint8Array }): boolean {
  return a === b || bytesEqual(a.bytes, b.bytes);
}

/** Why a record could not be taken in; the object's last value stays. */
export interface Refused {
  readonly key: string;
  readonly reason: string;
}

export type Applied =
  | { readonly outcome: 'changed' | 'equal' }
  | { readonly outcome: 'refused'; readonly refused: Refused };

const equal: Applied = { outcome: 'equal' };
const changed: Applied = { outcome: 'changed' };

/**
 * Takes in one record of `config` or `endpoints`. A record that cannot be read (another schema's, a
 * damaged one) is refused: the object keeps its last value, and nothing else is touched.
 */
export function applyRecord(
  inputs: Inputs,
  topic: 'config' | 'endpoints',
  key: string,
  value: Uint8Array | undefined,
): Applied {
  try {
    const parsed = topic === 'config' ? parseConfigKey(key) : parseEndpointsKey(key);
    const kind = topic === 'config' ? parsed.kind : kindOfEndpoints(parsed.kind);
    const target = targetOf(inputs, kind);
    if (target === undefined && value === undefined) return equal;
    if (target === undefined) return refuse(key, `unknown kind ${JSON.stringify(kind)}`);
    if (value === undefined) return target.delete(key) ? changed : equal;
    const before = target.peek(key);
    if (before !== undefined && bytesEqual(before.bytes, value)) return equal;
    const { object } = Event.decode(value);
    if (object?.$case !== kind) {
      const found = object?.$case ?? 'none that this version knows';
      return refuse(key, `the event is of kind ${found}`);
    }
    const { cluster, namespace, name } = parsed;
    const keyed = { key, cluster, namespace, name, value: deepFreeze(object.value), bytes: value };
    return target.set(key, Object.freeze(keyed)) ? changed : equal;
  } catch (error) {
    return refuse(key, error instanceof Error ? error.message : String(error));
  }
}

/** Sources are there, and each has been listed to the end. */
export function isSynced({ sources }: Pick<Inputs, 'sources'>): boolean {
  return sources.size > 0 && [...sources.entries()].every(([, source]) => source.value.synced);
}

/** One instance of what runs, or a share of a host. */
function kindOfEndpoints(kind: string): 'workload' | 'endpoints' {
  return kind === 'instance' ? 'workload' : 'endpoints';
}

function refuse(key: string, reason: string): Applied {
  return { outcome: 'refused', refused: { key, reason } };
}

/** What the fold needs of a collection, whatever it holds. */
interface Target {
  peek(key: string): { readonly bytes: Uint8Array } | undefined;
  set(key: string, value: Keyed<unknown>): boolean;
  delete(key: string): boolean;
}

function targetOf(inputs: Inputs, kind: string): Target | undefined {
  switch (kind) {
    case 'mesh':
      return inputs.meshes;
    case 'namespace':
      return inputs.namespaces;
    case 'service':
      return inputs.services;
    case 'policy':
      return inputs.policies;
    case 'gateway':
      return inputs.gateways;
    case 'route':
      return inputs.routes;
    case 'scope':
      return inputs.scopes;
    case 'secret':
      return inputs.secrets;
    case 'source':
      return inputs.sources;
    case 'destinations':
      return inputs.destinations;
    case 'endpoints':
      return inputs.endpoints;
    case 'workload':
      return inputs.workloads;
    case 'authorization':
      return inputs.authorizations;
    case 'peerAuthentication':
      return inputs.peerAuthentications;
    default:
      return undefined;
  }
}
