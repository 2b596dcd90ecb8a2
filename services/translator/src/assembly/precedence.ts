/** In which order the rules of several routes of one host are tried. */
import { takesAll } from '@watershed/model/match.ts';
import type { MatchArgument } from '../generators/route-match.ts';
import type { RuleArgument } from '../generators/virtual-host.ts';

/**
 * The Gateway API's order over all routes of a host: exact paths, then longer prefixes, then
 * regular expressions, then those that match a method, then more headers, then more query
 * parameters; the order of routes and rules decides the rest (HTTPRouteRule.matches). Each rule is
 * split into its matches.
 */
export function bySpecificMatch<R extends RuleArgument>(rules: readonly R[]): readonly R[] {
  const ranked = rules.flatMap(split).map((rule, order) => {
    return { rule, order, rank: rankOf(rule.matches[0]) };
  });
  ranked.sort((a, b) => compare(b.rank, a.rank) || a.order - b.order);
  return ranked.map(({ rule }) => rule);
}

function split<R extends RuleArgument>(rule: R): readonly R[] {
  if (rule.matches.length <= 1) return [rule];
  return rule.matches.map((match) => ({ ...rule, matches: [match] }));
}

function rankOf(match: MatchArgument | undefined): readonly number[] {
  const path = match?.path?.match;
  const kinds = { exact: 3, pathPrefix: 2, prefix: 2, regex: 1, present: 2 } as const;
  return [
    // No path is any path: the shortest prefix.
    path === undefined ? 2 : kinds[path.$case],
    typeof path?.value === 'string' ? path.value.replace(/\/+$/, '').length : 0,
    match?.method === undefined ? 0 : 1,
    match?.headers.length ?? 0,
    match?.queryParams.length ?? 0,
  ];
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (const [i, value] of a.entries()) {
    const other = b[i] ?? 0;
    if (value !== other) return value - other;
  }
  return 0;
}

/**
 * Istio's order within one route: the user's. What comes behind a match of everything is never
 * reached.
 */
export function upToCatchAll<R extends RuleArgument>(rules: readonly R[]): readonly R[] {
  const reached: R[] = [];
  for (const rule of rules) {
    const at = catchAllAt(rule);
    if (at === undefined) {
      reached.push(rule);
      continue;
    }
    const matches = rule.matches.slice(0, at + 1);
    reached.push(matches.length === rule.matches.length ? rule : { ...rule, matches });
    return reached;
  }
  return reached;
}

/**
 * Istio's order over several routes of a host: matches of everything come last (istiod's
 * SortVHostRoutes).
 */
export function catchAllsLast<R extends RuleArgument>(rules: readonly R[]): readonly R[] {
  const specific: R[] = [];
  const catchAlls: R[] = [];
  for (const rule of rules) {
    const at = catchAllAt(rule);
    if (at === undefined) {
      specific.push(rule);
      continue;
    }
    const matches = rule.matches.slice(0, at);
    if (matches.length > 0) specific.push({ ...rule, matches });
    catchAlls.push(at === 0 ? rule : { ...rule, matches: rule.matches.slice(at) });
  }
  return [...specific, ...catchAlls];
}

/** Index of the first match of everything; 0 for a rule without matches. */
function catchAllAt({ matches }: RuleArgument): number | undefined {
  if (matches.length === 0) return 0;
  const at = matches.findIndex(takesAll);
  return at < 0 ? undefined : at;
}
