/**
 * Matches that another VirtualService has too, of the same host at the same gateway. There the
 * rules of all of them stand in a row, and only what takes every request comes behind all others
 * (`precedence` in the translator's assembly): of that `route-conflicts` tells.
 */
import type { Index } from '@watershed/derive/collection.ts';
import type { Reader } from '@watershed/derive/graph.ts';
import type { Match } from '@watershed/model/gen/model.ts';
import { takesAll } from '@watershed/model/match.ts';
import type {
  HTTPMatchRequest,
  HTTPRoute,
} from '@watershed/proto/istio/networking/v1alpha3/virtual_service.ts';
import { show } from '../../decode.ts';
import type { Problem, SourceSettings, World } from '../../kind.ts';
import { byCodeUnit, fullHost, sortedSet } from '../common/hosts.ts';
import { whyFirst } from '../common/precedence.ts';
import { maxTold } from '../common/told.ts';
import { meshGateway } from './gateway-names.ts';
import { normaliseMatch } from './http-match.ts';
import { isFor, placesOf, winnerOf } from './route-conflicts.ts';
import type { Service } from './route-conflicts.ts';

/** By gateway, host and match. */
export const matchIndex = 'match';

/** Of one object: matches times gateways times hosts. What it has beyond is not compared. */
const maxSites = 256;

/** Of what a match asks, in characters. What asks more is not compared: each site has a copy. */
const maxAsked = 1024;

export function matchKeys(service: Service, { domain }: SourceSettings): readonly string[] {
  return [...new Set(Array.from(sitesOf(service, domain), ({ key }) => key))];
}

/** @param told fields of rules that are lost as a whole, and told of */
export function lostMatches(
  read: Reader,
  world: World,
  own: { readonly object: Service; readonly told: ReadonlySet<string> },
  matches: Index<Service>,
): readonly Problem[] {
  const { object } = own;
  const told = new Map<string, Problem>();
  for (const { key, rule, field, gateway, host, path } of sitesOf(object, world.settings.domain)) {
    if (own.told.has(rule) || told.has(field)) continue;
    const winner = winnerOf(read, world, { object, place: gateway }, read.lookup(matches, key));
    if (winner === undefined) continue;
    const name = `${winner.ref.namespace}/${winner.ref.name}`;
    told.set(field, {
      severity: 'warning',
      field,
      value: show(path),
      reason: `takes no request for host ${host} of Gateway ${gateway}: VirtualService ${name} has the same match and goes first (${whyFirst(winner, object)})`,
    });
    if (told.size === maxTold) break;
  }
  return [...told.values()];
}

interface Tried {
  /** `spec.http[0]`. */
  readonly rule: string;
  /** `spec.http[0].match[0]`. */
  readonly field: string;
  readonly given: HTTPMatchRequest;
  readonly match: Match;
}

interface Site {
  readonly key: string;
  readonly rule: string;
  readonly field: string;
  /** `namespace/name`. */
  readonly gateway: string;
  readonly host: string;
  /** As it is shown. */
  readonly path: string;
}

function* sitesOf({ spec, ref }: Service, domain: string): Iterable<Site> {
  const gateways = placesOf(spec, ref.namespace).filter((place) => place !== meshGateway);
  if (gateways.length === 0) return;
  const hosts = sortedSet(spec.hosts.map((host) => fullHost(host, ref.namespace, domain)));
  let count = 0;
  for (const { rule, field, given, match } of triedAtGateways(spec.http)) {
    const asked = JSON.stringify([askedOfRequest(match), askedOfClient(given)]);
    if (asked.length > maxAsked) continue;
    const path = pathText(match);
    for (const gateway of gateways) {
      if (!isFor(given, gateway, ref.namespace)) continue;
      for (const host of hosts) {
        count += 1;
        if (count > maxSites) return;
        yield { key: `${gateway} ${host} ${asked}`, rule, field, gateway, host, path };
      }
    }
  }
}

/**
 * Up to the first match of everything, behind which a VirtualService has nothing; for the
 * translator it is one too if it asks for a port or a client. What a delegate leaves of its rule is
 * not known here, but that it asks for no less.
 */
function* triedAtGateways(rules: readonly HTTPRoute[]): Iterable<Tried> {
  for (const [ruleAt, { match: matches, delegate }] of rules.entries()) {
    if (matches.length === 0) return;
    const rule = `spec.http[${ruleAt}]`;
    for (const [matchAt, given] of matches.entries()) {
      if (isForMeshAlone(given)) continue;
      const match = normaliseMatch({ ...given, gateways: [] });
      if (takesAll(match)) return;
      const field = `${rule}.match[${matchAt}]`;
      if (delegate === undefined) yield { rule, field, given, match };
    }
  }
}

function isForMeshAlone({ gateways }: HTTPMatchRequest): boolean {
  return gateways.length > 0 && gateways.every((name) => name === meshGateway);
}

function askedOfRequest(match: Match): readonly unknown[] {
  const { path, scheme, method, authority, headers, queryParams, ignorePathCase } = match;
  return [path, scheme, method, authority, headers, queryParams, ignorePathCase];
}

/** Where a match names gateways, the client is not asked (Istio). */
function askedOfClient(match: HTTPMatchRequest): readonly unknown[] {
  const { gateways, port, sourceNamespace, sourceLabels } = match;
  if (gateways.length > 0) return [port, '', []];
  const labels = Object.entries(sourceLabels).sort(([a], [b]) => byCodeUnit(a, b));
  return [port, sourceNamespace, labels];
}

function pathText({ path }: Match): string {
  const kind = path?.match;
  return kind === undefined ? 'any uri' : `${kind.$case} ${kind.value}`;
}
