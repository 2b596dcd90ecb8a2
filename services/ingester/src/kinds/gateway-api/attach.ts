/** Which parents a route is attached to: listeners that accept it, and Services (GAMMA). */
import type { Reader } from '@watershed/derive/graph.ts';
import { GatewayParent } from '@watershed/model/gen/model.ts';
import type { Parent } from '@watershed/model/gen/model.ts';
import { show } from '../../decode.ts';
import type { Problem, SourceObject, World } from '../../kind.ts';
import { butRefused, whyAbsent } from '../common/absent.ts';
import {
  byCodeUnit,
  canonicalHost,
  hostIntersection,
  isWildcard,
  serviceHost,
  sortedSet,
} from '../common/hosts.ts';
import { selectorMatches } from '../common/labels.ts';
import { namespaceKind } from '../core/namespace.ts';
import { serviceKind } from '../core/service.ts';
import { entryHosts, serviceEntryKind } from '../istio/service-entry.ts';
import { group } from './fields.ts';
import { gatewayClassKind, ownerOfClass } from './gateway-class.ts';
import type { GatewaySpec, Listener } from './gateway-spec.ts';
import { k8sGatewayKind, usableListeners } from './gateway.ts';
import { gatewayName } from '@watershed/model/objects.ts';
import type { ParentReference, RouteSpec } from './route-spec.ts';

/** A parent that is a service. */
export interface ServiceParent {
  readonly host: string;
  /** 0: all of its ports. */
  readonly port: number;
  /**
   * The route is in the service's namespace, so it speaks for the service; else only for its own
   * clients.
   */
  readonly isProducer: boolean;
}

export interface Attachment {
  readonly gateways: readonly Parent[];
  readonly services: readonly ServiceParent[];
  readonly problems: readonly Problem[];
}

const blankParent = GatewayParent.create();
const anyHost = '*';
const namespaceNameLabel = 'kubernetes.io/metadata.name';
const serviceEntryGroup = 'networking.istio.io';

export function attach(read: Reader, world: World, route: SourceObject<RouteSpec>): Attachment {
  const gateways = new Map<string, Parent>();
  const services = new Map<string, ServiceParent>();
  const problems: Problem[] = [];
  let isAttached = true;
  for (const [index, reference] of route.spec.parentRefs.entries()) {
    const field = `spec.parentRefs[${index}]`;
    const warn = (reason: string): void => {
      const namespace = reference.namespace ?? route.ref.namespace;
      const value = show(`${reference.kind} ${namespace}/${reference.name}`);
      problems.push({ severity: 'warning', field, value, reason });
    };
    const kind = `${reference.group}/${reference.kind}`;
    if (kind === `${group}/Gateway`) {
      const listeners = toGateway(read, world, route, reference, warn);
      for (const [id, parent] of listeners) gateways.set(id, parent);
      isAttached &&= listeners.length > 0;
    } else if (kind === '/Service' || kind === `${serviceEntryGroup}/ServiceEntry`) {
      for (const parent of toService(read, world, route, reference, warn)) {
        services.set(`${parent.host}|${parent.port}`, parent);
      }
    } else warn('is no parent that is supported: a Gateway, a Service or a ServiceEntry is');
  }
  // A gateway to which it is not attached may be meant to serve them.
  if (isAttached && gateways.size > 0) problems.push(...unservedHosts(route, gateways.values()));
  if (route.spec.parentRefs.length === 0) {
    const reason = 'is empty, so the route is attached to nothing';
    problems.push({ severity: 'warning', field: 'spec.parentRefs', value: '', reason });
  }
  const sorted = <T>(map: ReadonlyMap<string, T>): T[] =>
    [...map].sort(([a], [b]) => byCodeUnit(a, b)).map(([, parent]) => parent);
  return { gateways: sorted(gateways), services: sorted(services), problems };
}

function unservedHosts(
  { spec }: SourceObject<RouteSpec>,
  parents: Iterable<Parent>,
): readonly Problem[] {
  const served = [...parents].flatMap(({ to }) => {
    if (to?.$case !== 'gateway') return [];
    return to.value.hosts.length > 0 ? to.value.hosts : [anyHost];
  });
  return spec.hostnames.flatMap((given, index): readonly Problem[] => {
    const host = canonicalHost(given);
    if (served.some((one) => hostIntersection(one, host) !== undefined)) return [];
    const reason = 'is served nowhere: no listener of its parents has such a hostname';
    const field = `spec.hostnames[${index}]`;
    return [{ severity: 'warning', field, value: show(given), reason }];
  });
}

type Warn = (reason: string) => void;

/** With a key for order and against duplicates. */
function toGateway(
  read: Reader,
  world: World,
  route: SourceObject<RouteSpec>,
  reference: ParentReference,
  warn: Warn,
): [string, Parent][] {
  const namespace = reference.namespace ?? route.ref.namespace;
  const key = `${namespace}/${reference.name}`;
  const gateway = read.get(world.objects(k8sGatewayKind), key);
  if (gateway === undefined) {
    warn(whyAbsent(read, world, k8sGatewayKind, key));
    return [];
  }
  const { gatewayClassName } = gateway.spec;
  const owner = ownerOfClass(read, world, gatewayClassName);
  if (owner === 'unknown') {
    warn(`is left alone: ${whyAbsent(read, world, gatewayClassKind, `/${gatewayClassName}`)}`);
  }
  // Another controller's, which decides about it.
  if (owner !== 'ours') return [];
  const usable = usableListeners(gateway.spec.listeners).listeners.map(({ listener }) => listener);
  const chosen = usable.filter(
    (listener) =>
      (reference.sectionName === undefined || reference.sectionName === listener.name) &&
      (reference.port === undefined || reference.port === listener.port),
  );
  if (chosen.length === 0) {
    warn('has no usable listener of that sectionName and port');
    return [];
  }
  const allowed = chosen.filter((listener) => isAllowed(read, world, route, gateway, listener));
  if (allowed.length === 0) {
    const refused = world.refused(read, namespaceKind, `/${route.ref.namespace}`);
    warn(`has no listener that allows HTTPRoutes of this namespace${butRefused(refused)}`);
    return [];
  }
  const parents = allowed.flatMap((listener) => {
    const hosts = attachedHosts(route.spec.hostnames, listener, usable);
    return hosts.length === 0 ? [] : [toListener(route, gateway, listener, hosts)];
  });
  if (parents.length === 0) warn('has no listener whose hostname matches one of the route');
  return parents;
}

function toListener(
  route: SourceObject<RouteSpec>,
  gateway: SourceObject<GatewaySpec>,
  listener: Listener,
  hosts: readonly string[],
): [string, Parent] {
  const { namespace, name } = gateway.ref;
  const own = routeHosts(route.spec);
  const narrowed = hosts.length !== own.length || hosts.some((host, i) => host !== own[i]);
  const value: GatewayParent = {
    ...blankParent,
    namespace,
    name: gatewayName(name),
    listener: listener.name,
    hosts: narrowed ? [...hosts] : [],
  };
  return [`${namespace}/${name}/${listener.name}`, { to: { $case: 'gateway', value } }];
}

/** Hosts of the route, `*` if it names none; sorted. */
export function routeHosts(spec: RouteSpec): string[] {
  return spec.hostnames.length === 0 ? [anyHost] : sortedSet(spec.hostnames.map(canonicalHost));
}

/**
 * The route's hosts as far as the listener takes requests of them: within its own hostname, and not
 * within a narrower one of another listener of the port ("listener isolation").
 */
function attachedHosts(
  hostnames: readonly string[],
  listener: Listener,
  siblings: readonly Listener[],
): string[] {
  const wide = listener.hostname ?? anyHost;
  const given = hostnames.length === 0 ? [anyHost] : hostnames.map(canonicalHost);
  const within = given
    .map((host) => hostIntersection(host, wide))
    .filter((host) => host !== undefined);
  const narrower = siblings
    .filter((other) => other !== listener && other.port === listener.port)
    .map((other) => other.hostname ?? anyHost)
    .filter((other) => other.length > wide.length);
  return sortedSet(within.filter((host) => !narrower.some((other) => isWithin(host, other))));
}

/** Whether the wider host covers all of the other. */
function isWithin(host: string, wide: string): boolean {
  if (!isWildcard(wide)) return host === wide;
  return host.length >= wide.length && host.replace(/^\*/u, '').endsWith(wide.slice(1));
}

function isAllowed(
  read: Reader,
  world: World,
  route: SourceObject<RouteSpec>,
  gateway: SourceObject<GatewaySpec>,
  listener: Listener,
): boolean {
  if (listener.protocol !== 'HTTP' && listener.protocol !== 'HTTPS') return false;
  const { kinds, from, selector } = listener.allowedRoutes;
  const ofKind = kinds.some((entry) => entry.group === group && entry.kind === 'HTTPRoute');
  if (kinds.length > 0 && !ofKind) return false;
  const { namespace } = route.ref;
  switch (from) {
    case 'All':
      return true;
    case 'Same':
      return namespace === gateway.ref.namespace;
    case 'Selector': {
      const labels = read.get(world.objects(namespaceKind), `/${namespace}`)?.labels;
      const all = { ...labels, [namespaceNameLabel]: namespace };
      return selector !== undefined && selectorMatches(selector, all);
    }
  }
}

function toService(
  read: Reader,
  world: World,
  route: SourceObject<RouteSpec>,
  reference: ParentReference,
  warn: Warn,
): ServiceParent[] {
  const namespace = reference.namespace ?? route.ref.namespace;
  const key = `${namespace}/${reference.name}`;
  const port = reference.port ?? 0;
  const isProducer = namespace === route.ref.namespace;
  let hosts: readonly string[] = [];
  if (reference.kind === 'Service') {
    const service = read.get(world.objects(serviceKind), key);
    const ports = service?.spec.ports.map((entry) => entry.port) ?? [];
    if (service !== undefined && port !== 0 && !ports.includes(port)) {
      warn(`has no port ${port}`);
      return [];
    }
    if (service !== undefined) {
      hosts = [serviceHost(reference.name, namespace, world.settings.domain)];
    }
  } else {
    const entry = read.get(world.objects(serviceEntryKind), key);
    if (entry !== undefined) hosts = entryHosts(entry.spec);
  }
  if (hosts.length === 0) {
    warn(
      reference.kind === 'Service'
        ? whyAbsent(read, world, serviceKind, key)
        : whyAbsent(read, world, serviceEntryKind, key),
    );
  }
  return hosts.map((host) => ({ host, port, isProducer }));
}
