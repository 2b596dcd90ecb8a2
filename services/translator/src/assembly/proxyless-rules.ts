/**
 * A rule as gRPC without a proxy can follow it. What it cannot is left out, with a diagnostic: a
 * match that it cannot decide never holds, an edit that it cannot make is not made.
 */
import type { Match, StringMatch } from '@watershed/model/gen/model.ts';
import type {
  ProxylessMatch,
  ProxylessRetry,
  ProxylessRouteArgument,
} from '../generators/proxyless-virtual-host.ts';
import type { ForwardArgument } from '../generators/route-action.ts';
import type { MatchArgument } from '../generators/route-match.ts';
import type { RetryArgument } from '../generators/retry-policy.ts';
import { quoteRegex } from '../generators/values.ts';
import type { RuleArgument } from '../generators/virtual-host.ts';
import type { Diagnostic } from '../plan.ts';
import { destinationWords, ruleField } from './user-fields.ts';

export interface RoutedRule extends RuleArgument {
  /** Config key of the route that it is a rule of; '' for what nobody wrote. */
  readonly object: string;
}

export interface ProxylessRoutes {
  readonly routes: readonly ProxylessRouteArgument[];
  readonly problems: readonly Diagnostic[];
}

/**
 * @param own the cluster of the service itself: a call that ends before it is sent needs one
 * @param exists whether clients have the cluster: gRPC waits long for one that is not there
 */
export function proxylessRoutes(
  rules: readonly RoutedRule[],
  own: string,
  exists: (cluster: string) => boolean,
): ProxylessRoutes {
  const problems: Diagnostic[] = [];
  const routes = rules.flatMap((rule) => routesOf({ rule, own, exists, problems }));
  return { routes, problems };
}

interface Context {
  readonly rule: RoutedRule;
  readonly own: string;
  readonly exists: (cluster: string) => boolean;
  readonly problems: Diagnostic[];
}

function routesOf(context: Context): readonly ProxylessRouteArgument[] {
  const { rule } = context;
  const matches = rule.matches.flatMap((match) => matchOf(context, match) ?? []);
  const all = rule.matches.length === 0 ? [anything] : matches;
  if (all.length === 0) return [];
  const action = actionOf(context);
  return all.map((match) => ({ match, ...action }));
}

/** `field`: below the rule, as a VirtualService has it. */
function refuse({ rule, problems }: Context, field: string, value: string, reason: string): void {
  if (rule.object === '') return;
  const { object, name } = rule;
  const full = `gRPC without a proxy: ${reason}`;
  problems.push({ object, field: ruleField(object, name, field), value, reason: full });
}

// ---------------------------------------------------------------- matches

const anything: ProxylessMatch = { path: undefined, ignorePathCase: false, headers: [] };

/** `undefined`: gRPC could not tell whether it holds. */
function matchOf(context: Context, match: MatchArgument): ProxylessMatch | undefined {
  const { path, ignorePathCase, headers, method, authority, scheme, queryParams } = match;
  // A call is always a POST.
  if (method !== undefined && !matches(method, 'POST')) return undefined;
  const undecided: readonly (readonly [string, boolean])[] = [
    ['authority', authority !== undefined],
    ['scheme', scheme !== undefined],
    ['queryParams', queryParams.length > 0],
    // It holds for a call without the header, too; gRPC's does not.
    ['withoutHeaders', headers.some((header) => header.invert && header.value !== undefined)],
    ['headers', headers.some(({ name }) => name.startsWith(':') || name === 'host')],
  ];
  const found = undecided.filter(([, there]) => there);
  for (const [field] of found) {
    refuse(context, `match.${field}`, '', 'such a match cannot be decided, so it never holds');
  }
  if (found.length > 0) return undefined;
  return { path: pathOf(path), ignorePathCase, headers };
}

function matches(method: StringMatch, wanted: string): boolean {
  const match = method.match;
  switch (match?.$case) {
    case 'exact':
      return match.value === wanted;
    case 'prefix':
      return wanted.startsWith(match.value);
    default:
      return true;
  }
}

/** gRPC knows no prefix by whole segments. */
function pathOf(path: Match['path']): Match['path'] {
  if (path?.match?.$case !== 'pathPrefix') return path;
  const segments = path.match.value.replace(/\/+$/, '');
  if (segments === '') return undefined;
  return { match: { $case: 'regex', value: `${quoteRegex(segments)}(?:/.*)?` } };
}

// ---------------------------------------------------------------- actions

type Action = Omit<ProxylessRouteArgument, 'match'>;

function actionOf(context: Context): Action {
  const { rule } = context;
  if (rule.cors !== undefined) refuse(context, 'corsPolicy', '', 'CORS is not checked');
  for (const [field, ops] of [
    ['headers.request', rule.requestHeaders],
    ['headers.response', rule.responseHeaders],
  ] as const) {
    if (ops !== undefined) refuse(context, field, '', 'headers are not edited');
  }
  switch (rule.action.kind) {
    case 'redirect': {
      const { code } = rule.action.redirect;
      refuse(context, 'redirect', String(code), 'calls are refused: nothing is redirected');
      return answer(context, code);
    }
    case 'respond':
      return answer(context, rule.action.respond.status);
    case 'forward':
      return forward(context, rule.action.forward);
  }
}

/** Every call ends at once, with what gRPC makes of the HTTP status. */
function answer({ own }: Context, status: number): Action {
  return {
    backends: [{ cluster: own, weight: 1 }],
    timeoutMs: 0,
    retry: undefined,
    hash: [],
    fault: {
      ...{ delayPercent: 0, delayMs: 0, abortGrpcStatus: '' },
      ...{ abortPercent: 100, abortHttpStatus: status },
    },
  };
}

function forward(context: Context, argument: ForwardArgument): Action {
  const { rewrite, authority, timeoutMs, retry, mirrors, hash, missing } = argument;
  if (rewrite !== undefined) refuse(context, 'rewrite.uri', '', 'paths are not rewritten');
  if (authority !== '') refuse(context, 'rewrite.authority', authority, 'it is not rewritten');
  if (mirrors.length > 0) refuse(context, 'mirrors', '', 'calls are not mirrored');
  const backends = argument.backends.flatMap(({ cluster, weight, ...rest }) => {
    if (cluster === undefined || !context.exists(cluster)) {
      const value = destinationWords(cluster ?? '');
      const reason = 'it is not there, so its share goes to the others';
      refuse(context, 'route.destination', value, reason);
      return [];
    }
    if (rest.requestHeaders !== undefined || rest.responseHeaders !== undefined) {
      refuse(context, 'route.headers', destinationWords(cluster), 'headers are not edited');
    }
    return [{ cluster, weight }];
  });
  if (backends.length === 0) return answer(context, missing);
  return {
    backends,
    timeoutMs,
    retry: retryOf(context, retry),
    hash: hash.flatMap((key) => {
      if (key.source?.$case === 'header') return [key.source.value];
      const reason = "calls are spread by headers alone, not by the DestinationRule's";
      refuse(
        context,
        'route.destination',
        '',
        `${reason} ${hashWords[key.source?.$case ?? 'none']}`,
      );
      return [];
    }),
    fault: context.rule.fault,
  };
}

/** A DestinationRule's `consistentHash`. */
const hashWords = {
  header: 'httpHeaderName',
  cookie: 'httpCookie',
  sourceIp: 'useSourceIp',
  queryParameter: 'httpQueryParameterName',
  none: 'consistentHash',
};

/** Those that gRPC retries on (A44). */
const retried = ['cancelled', 'deadline-exceeded', 'internal', 'resource-exhausted', 'unavailable'];

function retryOf(context: Context, retry: RetryArgument | undefined): ProxylessRetry | undefined {
  if (retry === undefined) return undefined;
  const asked = retry.retryOn.split(',').map((name) => name.trim());
  const known = asked.filter((name) => retried.includes(name));
  if (retry.perTryTimeoutMs !== undefined) {
    const value = `${retry.perTryTimeoutMs}ms`;
    refuse(context, 'retries.perTryTimeout', value, 'a try has no time-out of its own');
  }
  if (known.length === 0) {
    refuse(context, 'retries.retryOn', retry.retryOn, `only ${retried.join()} are retried`);
    return undefined;
  }
  return { attempts: retry.attempts, retryOn: known.join(), backoffMs: retry.backoffMs };
}
