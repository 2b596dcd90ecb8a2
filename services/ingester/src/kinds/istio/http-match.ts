import { Match, NamedMatch, StringMatch } from '@watershed/model/gen/model.ts';
import { takesAll } from '@watershed/model/match.ts';
import type {
  HTTPMatchRequest,
  StringMatch as IstioMatch,
} from '@watershed/proto/istio/networking/v1alpha3/virtual_service.ts';
import { byCodeUnit } from '../common/hosts.ts';
import { parentOf, sortedParents } from './gateway-names.ts';
import { anyValue } from './http-match-check.ts';

const blankMatch = Match.create();
const blankNamed = NamedMatch.create();
const blankText = StringMatch.create();
const present: StringMatch = { ...blankText, match: { $case: 'present', value: true } };

/** @param matches with gateways in full form */
export function normaliseMatches(matches: readonly HTTPMatchRequest[]): readonly Match[] {
  const normalised = matches.map(normaliseMatch);
  // A lone match that asks for nothing is the same as none.
  const [only] = normalised;
  return normalised.length === 1 && only?.name === '' && isCatchAll(only) ? [] : normalised;
}

/** @param match with gateways in full form */
export function normaliseMatch(match: HTTPMatchRequest): Match {
  const { scheme, method, authority } = match;
  const path = pathMatch(match.uri);
  return {
    ...blankMatch,
    name: match.name,
    path,
    scheme: textMatch(scheme),
    method: textMatch(method),
    authority: textMatch(authority),
    headers: [
      ...namedMatches(match.headers, false, true),
      ...namedMatches(match.withoutHeaders, true, true),
    ].sort(byNameThenInversion),
    queryParams: namedMatches(match.queryParams, false, false),
    ignorePathCase: match.ignoreUriCase && path !== undefined && path.match?.$case !== 'regex',
    port: match.port,
    sourceLabels: match.sourceLabels,
    sourceNamespace: match.sourceNamespace,
    gateways: sortedParents(match.gateways.map((gateway) => parentOf(gateway, ''))),
  };
}

/** An empty match, or an empty prefix, is any path. */
function pathMatch(uri: IstioMatch | undefined): StringMatch | undefined {
  const kind = uri?.matchType;
  if (kind === undefined) return undefined;
  if (kind.$case === 'prefix' && (kind.value === '' || kind.value === '/')) return undefined;
  return { ...blankText, match: kind };
}

/** Of a pseudo-header, which every request has: an empty match asks for nothing. */
function textMatch(match: IstioMatch | undefined): StringMatch | undefined {
  const kind = match?.matchType;
  return kind === undefined ? undefined : { ...blankText, match: kind };
}

function namedMatches(
  matches: Readonly<Record<string, IstioMatch>>,
  invert: boolean,
  isHeader: boolean,
): NamedMatch[] {
  const named = Object.entries(matches).map(([name, match]): NamedMatch => {
    const kind = match.matchType;
    const any = kind === undefined || (kind.$case === 'regex' && kind.value === anyValue);
    return {
      ...blankNamed,
      name: isHeader ? name.toLowerCase() : name,
      value: any ? present : { ...blankText, match: kind },
      invert,
    };
  });
  return named.sort(byNameThenInversion);
}

/** All of them must hold, so their order says nothing. */
function byNameThenInversion(a: NamedMatch, b: NamedMatch): number {
  const order = byCodeUnit(a.name, b.name) || Number(a.invert) - Number(b.invert);
  return order || byCodeUnit(JSON.stringify(a.value), JSON.stringify(b.value));
}

/** Whether it takes every request of every client, at every port and gateway. */
export function isCatchAll(match: Match): boolean {
  const { port, sourceLabels, sourceNamespace, gateways } = match;
  const isAnyClient = sourceNamespace === '' && Object.keys(sourceLabels).length === 0;
  return takesAll(match) && port === 0 && isAnyClient && gateways.length === 0;
}
