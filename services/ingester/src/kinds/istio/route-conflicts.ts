/**
 * Hosts of which another VirtualService leaves nothing. In the mesh one of them has a host whole;
 * at a gateway their rules are merged, and of the rules that take every request the first one does
 * (`assembly` in the translator). What is exported to fewer goes first, then the older one, then by
 * namespace and name. Istio leaves this to `istioctl analyze` (IST0109).
 */
import type { Index } from '@watershed/derive/collection.ts';
import type { Reader } from '@watershed/derive/graph.ts';
import type {
  HTTPMatchRequest,
  HTTPRoute,
  VirtualService,
} from '@watershed/proto/istio/networking/v1alpha3/virtual_service.ts';
import { takesAll } from '@watershed/model/match.ts';
import { show } from '../../decode.ts';
import type { Problem, SourceObject, SourceSettings, World } from '../../kind.ts';
import { exportedTo } from '../common/export-to.ts';
import { fullHost, sortedSet } from '../common/hosts.ts';
import { firstBefore, whyFirst } from '../common/precedence.ts';
import { maxTold } from '../common/told.ts';
import { gatewayName, meshGateway } from './gateway-names.ts';
import { gatewayKind, isForNamespace } from './gateway.ts';
import { normaliseMatch } from './http-match.ts';

export type Service = SourceObject<VirtualService>;

/**
 * Of those that leave nothing of a host to who comes after them. Only these are looked up, so a
 * host of many that leave something costs nothing.
 */
export const claimIndex = 'claim';

export function claimsOf({ spec, ref }: Service, { domain }: SourceSettings): readonly string[] {
  const places = placesOf(spec, ref.namespace).filter((place) =>
    spec.http.some((rule) => claims(rule, place, ref.namespace)),
  );
  const hosts = sortedSet(spec.hosts.map((host) => fullHost(host, ref.namespace, domain)));
  return places.flatMap((place) => hosts.map((host) => claimKey(place, host)));
}

export function lostHosts(
  read: Reader,
  world: World,
  object: Service,
  claims: Index<Service>,
): readonly Problem[] {
  const { spec, ref } = object;
  const problems: Problem[] = [];
  for (const place of placesOf(spec, ref.namespace)) {
    const losses = lossesAt(spec.http, place, ref.namespace);
    for (const [index, given] of losses.length === 0 ? [] : spec.hosts.entries()) {
      const host = fullHost(given, ref.namespace, world.settings.domain);
      const rivals = read.lookup(claims, claimKey(place, host));
      const winner = winnerOf(read, world, { object, place }, rivals);
      if (winner === undefined) continue;
      const name = `${winner.ref.namespace}/${winner.ref.name}`;
      for (const lost of losses) {
        problems.push({
          severity: 'warning',
          field: lost.field ?? `spec.hosts[${index}]`,
          value: show(given),
          reason: `${lost.reason(name, host)}, and goes first (${whyFirst(winner, object)})`,
        });
        if (problems.length === maxTold) return problems;
      }
    }
  }
  return problems;
}

interface Loss {
  /** The rule or match that is lost; `undefined`: the whole host is. */
  readonly field: string | undefined;
  readonly reason: (winner: string, host: string) => string;
}

/** What is lost of a host where another claims it. */
function lossesAt(rules: readonly HTTPRoute[], place: string, namespace: string): readonly Loss[] {
  if (rules.length === 0) return [];
  if (place === meshGateway) {
    const reason = (winner: string, host: string): string =>
      `has no effect on proxies that see VirtualService ${winner}: it has host ${host} in the mesh too`;
    return [{ field: undefined, reason }];
  }
  const reason = (winner: string, host: string): string =>
    `is never reached for ${host} at Gateway ${place}: a rule of VirtualService ${winner} takes every request too`;
  return takersAt(rules, place, namespace).map((field) => ({ field, reason }));
}

/**
 * What takes every request at a gateway, those of one port or client among them, and so stands
 * behind what another one takes; up to the first that takes those of all, behind which a
 * VirtualService has nothing.
 */
function takersAt(
  rules: readonly HTTPRoute[],
  gateway: string,
  namespace: string,
): readonly string[] {
  const takers: string[] = [];
  for (const [at, { match: matches, delegate }] of rules.entries()) {
    // What a delegate leaves of its rule is not known here.
    if (delegate !== undefined) continue;
    const rule = `spec.http[${at}]`;
    if (matches.length === 0) return [...takers, rule];
    for (const [index, match] of matches.entries()) {
      if (!isFor(match, gateway, namespace) || !takesAll(normaliseMatch(match))) continue;
      // What stands before it in its rule is reached.
      takers.push(index === 0 ? rule : `${rule}.match[${index}]`);
      if (isUnguarded(match)) return takers;
    }
  }
  return takers;
}

/** `mesh`, and `namespace/name` of gateways; each once. */
export function placesOf(
  { hosts, gateways }: VirtualService,
  namespace: string,
): readonly string[] {
  // A delegate is nothing by itself.
  if (hosts.length === 0) return [];
  if (gateways.length === 0) return [meshGateway];
  return sortedSet(gateways.map((name) => gatewayName(name, namespace)));
}

function claimKey(place: string, host: string): string {
  return `${place} ${host}`;
}

/** The first of those that go before the object wherever it is seen at a place. */
export function winnerOf(
  read: Reader,
  world: World,
  { object, place }: { readonly object: Service; readonly place: string },
  rivals: readonly { readonly value: Service }[],
): Service | undefined {
  const { namespace } = object.ref;
  const own = exportOf(read, world, object);
  return firstBefore(object, rivals, (other) => {
    const isNeighbour = other.ref.namespace === namespace;
    if (!isNeighbour && hasHostsAt(read, world, place, namespace)) return false;
    const seen = new Set(exportOf(read, world, other));
    return own.every((entry) => seen.has(entry));
  });
}

/** Whether a gateway has hosts for routes of that namespace alone. */
function hasHostsAt(read: Reader, world: World, place: string, namespace: string): boolean {
  if (place === meshGateway) return false;
  const gateway = read.get(world.objects(gatewayKind), place);
  return gateway !== undefined && isForNamespace(gateway, namespace);
}

function exportOf(read: Reader, world: World, { spec, ref }: Service): readonly string[] {
  return exportedTo(read, world, { given: spec.exportTo, of: 'route', namespace: ref.namespace });
}

/**
 * Whether it leaves nothing of a host: in the mesh a rule for every client and port does, whatever
 * it asks of a request.
 */
function claims({ match: matches, delegate }: HTTPRoute, place: string, of: string): boolean {
  if (delegate !== undefined) return false;
  if (matches.length === 0) return true;
  return matches.some(
    (match) =>
      isFor(match, place, of) &&
      isUnguarded(match) &&
      (place === meshGateway || takesAll(normaliseMatch(match))),
  );
}

/** Whether a match is for a place. */
export function isFor({ gateways }: HTTPMatchRequest, place: string, namespace: string): boolean {
  return gateways.length === 0 || gateways.some((name) => gatewayName(name, namespace) === place);
}

/** Where a match names gateways, the client is not asked (Istio). */
function isUnguarded({ gateways, port, sourceNamespace, sourceLabels }: HTTPMatchRequest): boolean {
  if (port !== 0) return false;
  if (gateways.length > 0) return true;
  return sourceNamespace === '' && Object.keys(sourceLabels).length === 0;
}
