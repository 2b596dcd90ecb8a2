/**
 * Matches that another HTTPRoute has too, of the same host at the same parent: the older route's is
 * taken, then the first by namespace and name (HTTPRouteRule.matches in the Gateway API).
 */
import type { Index } from '@watershed/derive/collection.ts';
import type { Reader } from '@watershed/derive/graph.ts';
import { show } from '../../decode.ts';
import type { Problem, SourceObject, World } from '../../kind.ts';
import { byCodeUnit } from '../common/hosts.ts';
import { firstBefore, whyFirst } from '../common/precedence.ts';
import { maxTold } from '../common/told.ts';
import { attach, routeHosts } from './attach.ts';
import type { Attachment } from './attach.ts';
import { gatewayName } from '@watershed/model/objects.ts';
import type { NamedValueMatch, ParentReference, RouteMatch, RouteSpec } from './route-spec.ts';

type HttpRoute = SourceObject<RouteSpec>;

/** By parent, host and match. */
export const matchIndex = 'match';

/** Of one object: parents times hosts times matches. What it has beyond is not compared. */
const maxPlaces = 256;

export function matchKeys(route: HttpRoute): readonly string[] {
  return [...new Set(Array.from(placesOf(route), ({ key }) => key))];
}

export function lostMatches(
  read: Reader,
  world: World,
  of: { readonly route: HttpRoute; readonly attachment: Attachment },
  matches: Index<HttpRoute>,
): readonly Problem[] {
  const { route, attachment } = of;
  const attachments = new Map<HttpRoute, Attachment>();
  const attachmentOf = (other: HttpRoute): Attachment => {
    const known = attachments.get(other) ?? attach(read, world, other);
    attachments.set(other, known);
    return known;
  };
  const told = new Map<string, Problem>();
  const own = new Map<string, string>();
  for (const { key, field, reference, host, match } of placesOf(route)) {
    if (told.size === maxTold) break;
    if (told.has(field)) continue;
    const value = show(`${match.path.type} ${match.path.value}`);
    const tell = (reason: string): void => {
      told.set(field, { severity: 'warning', field, value, reason });
    };
    const before = own.get(key) ?? field;
    own.set(key, before);
    if (before !== field) {
      tell(`takes no request: ${before} is the same match and goes first`);
      continue;
    }
    const winner = firstBefore(route, read.lookup(matches, key), (other) =>
      isService(reference)
        ? speaksThere(other, route, reference)
        : isAttachedThere(attachmentOf(other), attachment, nameOf(reference, route)),
    );
    if (winner === undefined) continue;
    const place = `${reference.kind} ${nameOf(reference, route)}`;
    const where = isService(reference) ? place : `host ${host} of ${place}`;
    const name = `${winner.ref.namespace}/${winner.ref.name}`;
    const why = whyFirst(winner, route);
    tell(
      `takes no request for ${where}: HTTPRoute ${name} has the same match and goes first (${why})`,
    );
  }
  return [...told.values()];
}

interface Site {
  readonly reference: ParentReference;
  /** '' for services: their routes' hosts say nothing. */
  readonly host: string;
}

interface Place extends Site {
  readonly key: string;
  readonly field: string;
  readonly match: RouteMatch;
}

function* placesOf(route: HttpRoute): Iterable<Place> {
  const sites = sitesOf(route);
  let count = 0;
  for (const [ruleAt, rule] of route.spec.rules.entries()) {
    for (const [matchAt, match] of rule.matches.entries()) {
      const field = `spec.rules[${ruleAt}].matches[${matchAt}]`;
      const text = matchText(match);
      for (const { reference, host } of sites) {
        count += 1;
        if (count > maxPlaces) return;
        const parent = `${reference.group}/${reference.kind} ${nameOf(reference, route)}`;
        yield { key: `${parent} ${host} ${text}`, field, reference, host, match };
      }
    }
  }
}

function sitesOf(route: HttpRoute): readonly Site[] {
  const hosts = routeHosts(route.spec);
  return route.spec.parentRefs.flatMap((reference) =>
    (isService(reference) ? [''] : hosts).map((host) => ({ reference, host })),
  );
}

function isService({ kind }: ParentReference): boolean {
  return kind !== 'Gateway';
}

function nameOf({ namespace, name }: ParentReference, { ref }: HttpRoute): string {
  return `${namespace ?? ref.namespace}/${name}`;
}

/** Equal for matches of the same requests: headers and parameters in any order. */
function matchText({ path, method, headers, queryParams }: RouteMatch): string {
  const value = path.type === 'PathPrefix' ? path.value.replace(/\/+$/u, '') : path.value;
  const names = headers.map((header) => ({ ...header, name: header.name.toLowerCase() }));
  return JSON.stringify([path.type, value, method, sorted(names), sorted(queryParams)]);
}

function sorted(all: readonly NamedValueMatch[]): readonly string[] {
  return all.map(({ type, name, value }) => JSON.stringify([name, type, value])).sort(byCodeUnit);
}

/** Routes of one namespace are put in a row; those of others do not meet them. */
function speaksThere(other: HttpRoute, route: HttpRoute, reference: ParentReference): boolean {
  if (other.ref.namespace !== route.ref.namespace) return false;
  return other.spec.parentRefs.some(
    (one) =>
      one.kind === reference.kind &&
      nameOf(one, other) === nameOf(reference, route) &&
      (one.port === undefined || one.port === reference.port),
  );
}

/** Whether it is at every listener of the gateway at which the route is, and that is at one. */
function isAttachedThere(other: Attachment, own: Attachment, gateway: string): boolean {
  const listeners = listenersOf(own, gateway);
  const others = new Set(listenersOf(other, gateway));
  return listeners.length > 0 && listeners.every((name) => others.has(name));
}

function listenersOf({ gateways }: Attachment, gateway: string): readonly string[] {
  return gateways.flatMap(({ to }) => {
    if (to?.$case !== 'gateway') return [];
    const { namespace, name, listener } = to.value;
    const [ofNamespace = '', ofName = ''] = gateway.split('/');
    return namespace === ofNamespace && name === gatewayName(ofName) ? [listener] : [];
  });
}
