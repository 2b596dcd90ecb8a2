import {
  type HeaderMatcher,
  type QueryParameterMatcher,
  RouteMatch,
} from '@watershed/proto/gen/envoy/config/route/v3/route_components.ts';
import type { StringMatcher } from '@watershed/proto/gen/envoy/type/matcher/v3/string.ts';
import type { Match, NamedMatch, StringMatch } from '@watershed/model/gen/model.ts';

/** What of a user's match a proxy can decide; its source and port were decided by assembly. */
export interface MatchArgument extends Pick<
  Match,
  'path' | 'scheme' | 'method' | 'authority' | 'headers' | 'ignorePathCase'
> {
  /** Envoy knows no "without this parameter". */
  readonly queryParams: readonly Pick<NamedMatch, 'name' | 'value'>[];
}

export function routeMatch(match: MatchArgument | undefined): RouteMatch {
  const headers: HeaderMatcher[] = [];
  for (const [name, value] of pseudoHeaders(match)) headers.push(headerMatcher(name, value, false));
  for (const header of match?.headers ?? []) {
    headers.push(headerMatcher(header.name, header.value, header.invert));
  }
  return RouteMatch.fromPartial({
    pathSpecifier: pathSpecifier(match?.path),
    ...(match?.ignorePathCase === true ? { caseSensitive: false } : {}),
    headers,
    queryParameters: (match?.queryParams ?? []).map(queryMatcher),
  });
}

type PathSpecifier = NonNullable<RouteMatch['pathSpecifier']>;

function pathSpecifier(path: StringMatch | undefined): PathSpecifier {
  const match = path?.match;
  switch (match?.$case) {
    case 'exact':
      return { $case: 'path', value: match.value };
    case 'prefix':
      return { $case: 'prefix', value: match.value };
    case 'pathPrefix': {
      const segments = match.value.replace(/\/+$/, '');
      // Envoy's segment-wise prefix may not be the root.
      if (segments === '') return { $case: 'prefix', value: '/' };
      return { $case: 'pathSeparatedPrefix', value: segments };
    }
    case 'regex':
      return { $case: 'safeRegex', value: { engineType: undefined, regex: match.value } };
    default:
      return { $case: 'prefix', value: '/' };
  }
}

function* pseudoHeaders(match: MatchArgument | undefined): Generator<[string, StringMatch]> {
  if (match?.method !== undefined) yield [':method', match.method];
  if (match?.authority !== undefined) yield [':authority', match.authority];
  if (match?.scheme !== undefined) yield [':scheme', match.scheme];
}

/** `undefined`: being present is enough. */
export function stringMatcher(value: StringMatch | undefined): StringMatcher | undefined {
  const match = value?.match;
  switch (match?.$case) {
    case 'exact':
      return { matchPattern: { $case: 'exact', value: match.value }, ignoreCase: false };
    case 'prefix':
    case 'pathPrefix':
      return { matchPattern: { $case: 'prefix', value: match.value }, ignoreCase: false };
    case 'regex':
      return {
        matchPattern: {
          $case: 'safeRegex',
          value: { engineType: undefined, regex: match.value },
        },
        ignoreCase: false,
      };
    default:
      return undefined;
  }
}

function headerMatcher(
  name: string,
  value: StringMatch | undefined,
  invert: boolean,
): HeaderMatcher {
  const matcher = stringMatcher(value);
  if (matcher === undefined) {
    return {
      name,
      headerMatchSpecifier: { $case: 'presentMatch', value: true },
      invertMatch: invert,
      treatMissingHeaderAsEmpty: false,
    };
  }
  return {
    name,
    headerMatchSpecifier: { $case: 'stringMatch', value: matcher },
    invertMatch: invert,
    // "without this value" holds for a request that has no such header at all.
    treatMissingHeaderAsEmpty: invert,
  };
}

function queryMatcher(parameter: MatchArgument['queryParams'][number]): QueryParameterMatcher {
  const matcher = stringMatcher(parameter.value);
  return {
    name: parameter.name,
    queryParameterMatchSpecifier:
      matcher === undefined
        ? { $case: 'presentMatch', value: true }
        : { $case: 'stringMatch', value: matcher },
  };
}
