/** Egress listeners of a Sidecar, and hosts of theirs, that come to nothing: what is told of them. */
import type { Reader } from '@watershed/derive/graph.ts';
import { Protocol, type EgressHost } from '@watershed/model/gen/model.ts';
import type {
  IstioEgressListener,
  Sidecar,
} from '@watershed/proto/istio/networking/v1alpha3/sidecar.ts';
import { show } from '../../decode.ts';
import type { ObjectRef, Problem, SourceObject, World } from '../../kind.ts';
import { butRefused } from '../common/absent.ts';
import {
  canonicalHost,
  hostIntersection,
  hostsOverlap,
  isAddress,
  isWildcard,
  serviceAt,
  serviceHost,
  wildcardsOver,
} from '../common/hosts.ts';
import { parseProtocol } from '../common/protocol.ts';
import { maxTold } from '../common/told.ts';
import { namespaceKind } from '../core/namespace.ts';
import { serviceKind, servicePortIndex } from '../core/service.ts';
import { entriesOf, refusedAt, serviceOf } from './known-hosts.ts';
import { entryHosts, entryPortIndex, serviceEntryKind, widerHostIndex } from './service-entry.ts';
import { routeHostIndex, virtualServiceKind } from './virtual-service.ts';

/** Of `namespace/host`; behind `~`, which is nothing, what stands says nothing. */
export function egressHost(text: string): EgressHost {
  const slash = text.indexOf('/');
  const namespace = text.slice(0, slash);
  return { namespace, host: namespace === '~' ? '*' : canonicalHost(text.slice(slash + 1)) };
}

/**
 * Hosts of a namespace that is not there, or of no service; and listeners that serve nothing
 * although not all of their hosts are told of: a wildcard may match nothing, a port may be of
 * none.
 *
 * @param own what `.` stands for
 */
export function emptyEgress(
  read: Reader,
  world: World,
  { spec, ref }: SourceObject<Sidecar>,
  own: string,
): readonly Problem[] {
  const problems: Problem[] = [];
  for (const [at, listener] of spec.egress.entries()) {
    const tell = (field: string, value: unknown, reason: string): void => {
      const place = `spec.egress[${at}].${field}`;
      problems.push({ severity: 'warning', field: place, value: show(value), reason });
    };
    const present: EgressHost[] = [];
    for (const [index, text] of listener.hosts.entries()) {
      const { namespace, host } = egressHost(text);
      if (namespace === '~') continue;
      const named = { namespace: namespace === '.' ? own : namespace, host };
      const reason = whyAbsent(read, world, named, ref.namespace);
      if (reason === undefined) present.push(named);
      else tell(`hosts[${index}]`, text, reason);
      if (problems.length === maxTold) return problems;
    }
    if (present.length === 0) continue;
    const refused = (): string => butRefused(present.flatMap((one) => refusedOf(read, world, one)));
    const port = portOf(listener);
    if (port === undefined) {
      if (present.some((host) => selectsAny(read, world, host))) continue;
      const reason = 'select no Service and no ServiceEntry: the listener serves nothing';
      tell('hosts', listener.hosts.join(', '), `${reason}${refused()}`);
    } else if (!present.some((host) => selectsPort(read, world, host, port))) {
      const reason =
        'is no port of a Service or ServiceEntry that the hosts of the listener select: ' +
        'the listener serves nothing';
      tell('port.number', port, `${reason}${refused()}`);
    }
  }
  return problems;
}

/** The one port that the listener shows of services; undefined: all of them. */
function portOf({ port }: IstioEgressListener): number | undefined {
  if (port === undefined || port.number === 0) return undefined;
  return parseProtocol(port.protocol) === Protocol.PROTOCOL_HTTP_PROXY ? undefined : port.number;
}

function whyAbsent(read: Reader, world: World, named: EgressHost, own: string): string | undefined {
  const { namespace, host } = named;
  if (namespace !== '*' && namespace !== own && !isThere(read, world, namespace)) {
    return `namespace ${namespace} is not found in this cluster`;
  }
  if (isWildcard(host) || isAddress(host)) return undefined;
  if (selectsAny(read, world, named) || hasRoute(read, world, named)) return undefined;
  const of = namespace === '*' ? '' : ` of namespace ${namespace}`;
  const refused = butRefused(refusedOf(read, world, named));
  return `no Service, ServiceEntry or VirtualService${of} in this cluster has host ${host}${refused}`;
}

/** Files need not have a Namespace for what is in it; the root namespace may be without any object. */
function isThere(read: Reader, world: World, namespace: string): boolean {
  if (namespace === world.settings.rootNamespace) return true;
  if (read.get(world.objects(namespaceKind), `/${namespace}`) !== undefined) return true;
  return (
    world.hasAny(read, serviceKind, namespace) ||
    world.hasAny(read, serviceEntryKind, namespace) ||
    world.hasAny(read, virtualServiceKind, namespace) ||
    refusedIn(read, world, namespace).length > 0 ||
    world.refused(read, virtualServiceKind, `${namespace}/`).length > 0 ||
    world.refused(read, namespaceKind, `/${namespace}`).length > 0
  );
}

function refusedIn(read: Reader, world: World, namespace: string): readonly ObjectRef[] {
  return [
    ...world.refused(read, serviceKind, `${namespace}/`),
    ...world.refused(read, serviceEntryKind, `${namespace}/`),
  ];
}

/** What would have the host, had it not been refused; of a wildcard, what may. */
function refusedOf(
  read: Reader,
  world: World,
  { namespace, host }: EgressHost,
): readonly ObjectRef[] {
  if (isWildcard(host)) return namespace === '*' ? [] : refusedIn(read, world, namespace);
  const all = [...refusedAt(read, world, host), ...world.refused(read, virtualServiceKind, host)];
  return all.filter((ref) => isOf(namespace, ref.namespace));
}

/** Beside services, a host that routes alone have is one that clients call. */
function hasRoute(read: Reader, world: World, { namespace, host }: EgressHost): boolean {
  const index = world.index(virtualServiceKind, routeHostIndex);
  return [host, ...wildcardsOver(host)].some((of) =>
    read.lookup(index, of).some(({ value }) => isOf(namespace, value.ref.namespace)),
  );
}

function selectsAny(read: Reader, world: World, named: EgressHost): boolean {
  const { namespace, host } = named;
  if (host === '*') {
    // What there is at all is not asked.
    if (namespace === '*') return true;
    return (
      world.hasAny(read, serviceKind, namespace) || world.hasAny(read, serviceEntryKind, namespace)
    );
  }
  const entries = isWildcard(host)
    ? read.lookup(world.index(serviceEntryKind, widerHostIndex), host).map(({ value }) => value)
    : entriesOf(read, world, host);
  if (entries.some(({ ref }) => isOf(namespace, ref.namespace))) return true;
  return isWildcard(host)
    ? selectsServices(read, world, named)
    : isOf(namespace, serviceAt(host, world.settings.domain)?.namespace ?? '') &&
        serviceOf(read, world, host) !== undefined;
}

/** Of a wildcard, as `*.shop.svc.cluster.local` or `*.local`. */
function selectsServices(read: Reader, world: World, { namespace, host }: EgressHost): boolean {
  const { domain } = world.settings;
  const within = serviceAt(host, domain)?.namespace;
  if (within !== undefined) {
    return isOf(namespace, within) && world.hasAny(read, serviceKind, within);
  }
  if (!hostsOverlap(host, `*.svc.${domain}`)) return false;
  return namespace === '*' || world.hasAny(read, serviceKind, namespace);
}

function selectsPort(read: Reader, world: World, named: EgressHost, port: number): boolean {
  const { domain } = world.settings;
  const covers = (host: string): boolean => hostIntersection(host, named.host) === host;
  const services = read.lookup(world.index(serviceKind, servicePortIndex), String(port));
  const entries = read.lookup(world.index(serviceEntryKind, entryPortIndex), String(port));
  return (
    services.some(
      ({ value: { ref } }) =>
        isOf(named.namespace, ref.namespace) &&
        covers(serviceHost(ref.name, ref.namespace, domain)),
    ) ||
    entries.some(
      ({ value: { ref, spec } }) =>
        isOf(named.namespace, ref.namespace) && entryHosts(spec).some(covers),
    )
  );
}

function isOf(wanted: string, namespace: string): boolean {
  return wanted === '*' || wanted === namespace;
}
