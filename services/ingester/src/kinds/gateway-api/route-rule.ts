/** One rule of an HTTPRoute as the model says it. */
import type { Reader } from '@watershed/derive/graph.ts';
import {
  Cors,
  DirectResponse,
  Match,
  Mirror,
  NamedMatch,
  Redirect,
  Retry,
  Rewrite,
  Rule,
  StringMatch,
} from '@watershed/model/gen/model.ts';
import type { Backend } from '@watershed/model/gen/model.ts';
import { show } from '../../decode.ts';
import type { Problem, World } from '../../kind.ts';
import { byCodeUnit } from '../common/hosts.ts';
import { regexQuote } from '../common/regex.ts';
import { authorityOf, headerOps, resolveBackend } from './backends.ts';
import type {
  CorsFilter,
  Filters,
  PathModifier,
  RequestRedirect,
  WeightedBackend,
} from './route-filters.ts';
import type { NamedValueMatch, RetrySpec, RouteMatch, RouteRule } from './route-spec.ts';

const blankCors = Cors.create();
const blankMatch = Match.create();
const blankMirror = Mirror.create();
const blankNamed = NamedMatch.create();
const blankRedirect = Redirect.create();
const blankRetry = Retry.create();
const blankRewrite = Rewrite.create();
const blankRule = Rule.create();
const blankText = StringMatch.create();

const serverError = 500;
/** As istiod: the API leaves it to the implementation. */
const defaultAttempts = 2;
const connectionErrors = ['cancelled', 'connect-failure', 'refused-stream', 'unavailable'];
/** `scheme://host(:port)`: what an origin is (RFC 6454). */
const anyOrigin = '[a-zA-Z][a-zA-Z0-9+.-]*://[^/\\s?#]+';

export interface RuleResult {
  readonly rule: Rule;
  readonly problems: readonly Problem[];
}

export interface RuleContext {
  /** Of the route. */
  readonly namespace: string;
  /** `spec.rules[2]` */
  readonly field: string;
}

export function normaliseRule(
  read: Reader,
  world: World,
  from: RouteRule,
  context: RuleContext,
): RuleResult {
  const problems: Problem[] = [];
  const warn = (field: string, value: unknown, reason: string): void => {
    const path = `${context.field}.${field}`;
    problems.push({ severity: 'warning', field: path, value: show(value), reason });
  };
  const { filters, timeouts } = from;
  const action = actionOf(read, world, from, context.namespace, warn);
  const forwards = action.$case === 'forward';
  const rule: Rule = {
    ...blankRule,
    name: from.name,
    matches: matches(from.matches),
    action,
    rewrite: forwards ? rewrite(filters) : undefined,
    timeoutMs: timeouts?.request,
    backendTimeoutMs: timeouts?.backendRequest,
    retry: retry(from.retry),
    mirrors: forwards ? mirrors(read, world, filters, context.namespace, warn) : [],
    requestHeaders: headerOps(filters.requestHeaders),
    responseHeaders: headerOps(filters.responseHeaders),
    cors: cors(filters.cors),
  };
  return { rule, problems };
}

type Warn = (field: string, value: unknown, reason: string) => void;
type Action = NonNullable<Rule['action']>;

/** A rule that cannot do what it says answers 500; it must not let requests go past a filter. */
function actionOf(
  read: Reader,
  world: World,
  from: RouteRule,
  namespace: string,
  warn: Warn,
): Action {
  const failed: Action = {
    $case: 'directResponse',
    value: { ...DirectResponse.create(), status: serverError },
  };
  const [unsupported] = from.filters.unsupported;
  if (unsupported !== undefined) {
    warn('filters', unsupported, 'is not supported: the rule answers 500');
    return failed;
  }
  if (from.filters.redirect !== undefined) {
    return { $case: 'redirect', value: redirect(from.filters.redirect) };
  }
  const backends: Backend[] = [];
  for (const [index, reference] of from.backendRefs.entries()) {
    if (reference.weight === 0) continue;
    const field = `backendRefs[${index}]`;
    backends.push(
      weighted(read, world, reference, namespace, (inner, value, reason) => {
        warn(`${field}${inner}`, value, reason);
      }),
    );
  }
  if (backends.length === 0) {
    warn('backendRefs', from.backendRefs, 'has none with a weight: the rule answers 500');
    return failed;
  }
  return { $case: 'forward', value: { backends } };
}

function weighted(
  read: Reader,
  world: World,
  reference: WeightedBackend,
  namespace: string,
  warn: Warn,
): Backend {
  const { filters } = reference;
  const resolved = resolveBackend(read, world, reference, namespace);
  if (resolved.invalid !== '') warn('', reference.name, `${resolved.invalid}: its share gets 500`);
  const misplaced = [
    ...filters.unsupported,
    filters.redirect === undefined ? '' : 'RequestRedirect',
    filters.rewrite?.path === undefined ? '' : 'URLRewrite of a path',
    filters.mirrors.length === 0 ? '' : 'RequestMirror',
    filters.cors === undefined ? '' : 'CORS',
  ].find((name) => name !== '');
  let { invalid } = resolved;
  if (misplaced !== undefined && invalid === '') {
    invalid = `filter ${misplaced} is not supported on one backend`;
    warn('.filters', misplaced, 'is not supported on one backend: its share gets 500');
  }
  return {
    ...resolved,
    invalid,
    weight: reference.weight,
    requestHeaders: headerOps(filters.requestHeaders),
    responseHeaders: headerOps(filters.responseHeaders),
    authority: filters.rewrite?.hostname ?? authorityOf(filters.requestHeaders),
  };
}

function mirrors(
  read: Reader,
  world: World,
  filters: Filters,
  namespace: string,
  warn: Warn,
): Mirror[] {
  const made: Mirror[] = [];
  for (const { backendRef, percent } of filters.mirrors) {
    if (percent === 0) continue;
    const backend = resolveBackend(read, world, backendRef, namespace);
    if (backend.invalid === '') made.push({ ...blankMirror, backend, percent });
    else warn('filters', backendRef.name, `${backend.invalid}: nothing is mirrored to it`);
  }
  return made;
}

/** No matches are the same as one of every path. */
function matches(from: readonly RouteMatch[]): Match[] {
  const all = from.map((match): Match => {
    const { path } = match;
    return {
      ...blankMatch,
      path: path.type === 'PathPrefix' ? pathPrefix(path.value) : pathOf(path.type, path.value),
      method:
        match.method === undefined
          ? undefined
          : { ...blankText, match: { $case: 'exact', value: match.method } },
      headers: named(match.headers, (name) => name.toLowerCase()),
      queryParams: named(match.queryParams, (name) => name),
    };
  });
  const [only] = all;
  const isAny =
    only?.path === undefined &&
    only?.method === undefined &&
    only?.headers.length === 0 &&
    only.queryParams.length === 0;
  return all.length === 1 && isAny ? [] : all;
}

function pathOf(type: 'Exact' | 'RegularExpression', value: string): StringMatch {
  return { ...blankText, match: { $case: type === 'Exact' ? 'exact' : 'regex', value } };
}

/** A slash at the end says nothing; `/` alone is every path. */
function pathPrefix(value: string): StringMatch | undefined {
  const trimmed = value.replace(/\/$/u, '');
  return trimmed === ''
    ? undefined
    : { ...blankText, match: { $case: 'pathPrefix', value: trimmed } };
}

/** Of equal names the first counts. All must hold, so their order says nothing. */
function named(from: readonly NamedValueMatch[], nameOf: (name: string) => string): NamedMatch[] {
  const byName = new Map<string, NamedMatch>();
  for (const { name, type, value } of from) {
    const key = nameOf(name);
    if (byName.has(key)) continue;
    const $case = type === 'Exact' ? 'exact' : 'regex';
    byName.set(key, { ...blankNamed, name: key, value: { ...blankText, match: { $case, value } } });
  }
  return [...byName.values()].sort((a, b) => byCodeUnit(a.name, b.name));
}

/** The replacement of a prefix; `/` where nothing is left of it. */
function prefixOf(path: PathModifier | undefined): string | undefined {
  if (path?.type !== 'ReplacePrefixMatch') return undefined;
  return path.value.replace(/\/$/u, '') || '/';
}

function fullOf(path: PathModifier | undefined): string {
  return path?.type === 'ReplaceFullPath' ? path.value : '';
}

function redirect(from: RequestRedirect): Redirect {
  return {
    ...blankRedirect,
    scheme: from.scheme ?? '',
    host: from.hostname ?? '',
    port: from.port,
    portFromProtocol: from.port === undefined && from.scheme !== undefined,
    path: fullOf(from.path),
    prefix: prefixOf(from.path),
    code: from.statusCode,
  };
}

function rewrite({ rewrite: from, requestHeaders }: Filters): Rewrite | undefined {
  const authority = from?.hostname ?? authorityOf(requestHeaders);
  if (authority === '' && from?.path === undefined) return undefined;
  const path = fullOf(from?.path);
  return { ...blankRewrite, authority, path, prefix: prefixOf(from?.path) };
}

function retry(from: RetrySpec | undefined): Retry | undefined {
  if (from === undefined) return undefined;
  const conditions = [...connectionErrors];
  if (from.codes.length > 0) conditions.push('retriable-status-codes');
  return {
    ...blankRetry,
    attempts: from.attempts ?? defaultAttempts,
    retryOn: conditions.sort(byCodeUnit).join(','),
    backoffMs: from.backoff,
    statusCodes: [...new Set(from.codes)].sort((a, b) => a - b),
    retryIgnorePreviousHosts: true,
  };
}

function cors(from: CorsFilter | undefined): Cors | undefined {
  if (from === undefined) return undefined;
  return {
    ...blankCors,
    allowOrigins: from.allowOrigins.map(originMatch),
    allowMethods: [...from.allowMethods],
    allowHeaders: [...from.allowHeaders],
    exposeHeaders: [...from.exposeHeaders],
    maxAgeS: from.maxAge,
    allowCredentials: from.allowCredentials ? true : undefined,
    forwardUnmatchedPreflights: false,
  };
}

function originMatch(origin: string): StringMatch {
  if (origin === '*') return { ...blankText, match: { $case: 'regex', value: anyOrigin } };
  if (!origin.includes('*')) return { ...blankText, match: { $case: 'exact', value: origin } };
  const value = origin.split('*').map(regexQuote).join('.*');
  return { ...blankText, match: { $case: 'regex', value } };
}
