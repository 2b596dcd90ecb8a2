import type {
  RouteAction_HashPolicy,
  WeightedCluster_ClusterWeight,
} from '@watershed/proto/gen/envoy/config/route/v3/route_components.ts';
import {
  RedirectAction,
  RedirectAction_RedirectResponseCode as RedirectCode,
  RouteAction,
  RouteAction_ClusterNotFoundResponseCode as NotFoundCode,
  RouteAction_RequestMirrorPolicy as MirrorPolicy,
  WeightedCluster_ClusterWeight as ClusterWeight,
} from '@watershed/proto/gen/envoy/config/route/v3/route_components.ts';
import type { RegexMatchAndSubstitute } from '@watershed/proto/gen/envoy/type/matcher/v3/regex.ts';
import type { HashKey, HeaderOps, Redirect, Rewrite } from '@watershed/model/gen/model.ts';
import { type RetryArgument, retryPolicy } from './retry-policy.ts';
import { durationOf, fractionOf, headerEdits, quoteRegex, quoteSubstitution } from './values.ts';

export interface ForwardArgument {
  /** One or more. */
  readonly backends: readonly BackendArgument[];
  readonly rewrite: PathRewriteArgument | undefined;
  /** The Host of all requests; '' unchanged. */
  readonly authority: string;
  /** 0: none. */
  readonly timeoutMs: number;
  /** `undefined`: no retries. */
  readonly retry: RetryArgument | undefined;
  readonly mirrors: readonly MirrorArgument[];
  /** Of the destinations' consistent hashing. */
  readonly hash: readonly HashKey[];
  /** The status where a cluster does not exist: the Gateway API's 500, or Envoy's 503. */
  readonly missing: 500 | 503;
}

/** A cluster to send to, and what only its share gets; of a lone one, the route has all of that. */
export interface BackendArgument {
  /** `undefined`: the reference is invalid, its share is answered with `missing`. */
  readonly cluster: string | undefined;
  readonly weight: number;
  /** The Host of its requests; '' unchanged. */
  readonly authority: string;
  readonly requestHeaders: HeaderOps | undefined;
  readonly responseHeaders: HeaderOps | undefined;
}

export interface MirrorArgument {
  readonly cluster: string;
  readonly percent: number;
}

export type PathRewriteArgument = Pick<Rewrite, 'path' | 'prefix' | 'regex' | 'regexSubstitution'>;

/** No cluster has this name (istiod's). */
const unknownService = 'UnknownService';

/** @param matchedPrefix the path prefix that the route matches by whole segments, '' for the root */
export function forwardAction(
  forward: ForwardArgument,
  matchedPrefix: string | undefined,
): RouteAction {
  const action = RouteAction.fromPartial({
    ...(forward.missing === 500
      ? { clusterNotFoundResponseCode: NotFoundCode.INTERNAL_SERVER_ERROR }
      : {}),
    ...(forward.authority === ''
      ? {}
      : { hostRewriteSpecifier: { $case: 'hostRewriteLiteral', value: forward.authority } }),
    timeout: durationOf(forward.timeoutMs),
    // Only without a time-out: Envoy ignores `timeout` where this is set. Then a gRPC client's own
    // deadline holds, whatever it is.
    maxStreamDuration:
      forward.timeoutMs === 0 ? { grpcTimeoutHeaderMax: durationOf(0) } : undefined,
  });
  action.clusterSpecifier = clustersOf(forward.backends);
  Object.assign(action, pathRewrite(forward.rewrite, matchedPrefix));
  action.retryPolicy = forward.retry === undefined ? undefined : retryPolicy(forward.retry);
  action.requestMirrorPolicies = forward.mirrors.map(mirrorPolicy);
  action.hashPolicy = forward.hash.map(hashPolicy);
  return action;
}

function clustersOf(backends: readonly BackendArgument[]): RouteAction['clusterSpecifier'] {
  const [only, ...more] = backends;
  if (only !== undefined && more.length === 0) {
    return { $case: 'cluster', value: only.cluster ?? unknownService };
  }
  return {
    $case: 'weightedClusters',
    value: {
      clusters: backends.map(clusterWeight),
      totalWeight: undefined,
      runtimeKeyPrefix: '',
      randomValueSpecifier: undefined,
    },
  };
}

function clusterWeight(backend: BackendArgument): WeightedCluster_ClusterWeight {
  const request = headerEdits(backend.requestHeaders);
  const response = headerEdits(backend.responseHeaders);
  return ClusterWeight.fromPartial({
    name: backend.cluster ?? unknownService,
    weight: backend.weight,
    ...(backend.authority === ''
      ? {}
      : { hostRewriteSpecifier: { $case: 'hostRewriteLiteral', value: backend.authority } }),
    requestHeadersToAdd: request.add,
    requestHeadersToRemove: request.remove,
    responseHeadersToAdd: response.add,
    responseHeadersToRemove: response.remove,
  });
}

function pathRewrite(
  rewrite: PathRewriteArgument | undefined,
  matchedPrefix: string | undefined,
): Pick<Partial<RouteAction>, 'prefixRewrite' | 'regexRewrite'> {
  if (rewrite === undefined) return {};
  if (rewrite.path !== '') return { regexRewrite: regexRewrite('^/.*$', quoted(rewrite.path)) };
  if (rewrite.regex !== '') {
    return { regexRewrite: regexRewrite(rewrite.regex, rewrite.regexSubstitution) };
  }
  if (rewrite.prefix === undefined) return {};
  const replaced = replacePrefix(matchedPrefix, rewrite.prefix);
  return typeof replaced === 'string' ? { prefixRewrite: replaced } : { regexRewrite: replaced };
}

/**
 * What the matched prefix becomes: of a match by whole segments (Gateway API's ReplacePrefixMatch)
 * without a slash doubled or lost, else literally (Istio). `undefined`: nothing changes.
 */
function replacePrefix(
  matched: string | undefined,
  wanted: string,
): string | RegexMatchAndSubstitute | undefined {
  if (matched === undefined) return wanted;
  const prefix = wanted.replace(/\/+$/, '');
  if (matched === '') {
    return prefix === '' ? undefined : regexRewrite('^/(.*)$', `${quoted(prefix)}/\\1`);
  }
  return prefix === '' ? regexRewrite(`^${quoteRegex(matched)}/?(.*)$`, '/\\1') : prefix;
}

const quoted = quoteSubstitution;

/** Both look at the path without its query, which is kept. */
function regexRewrite(regex: string, substitution: string): RegexMatchAndSubstitute {
  return { pattern: { engineType: undefined, regex }, substitution };
}

function mirrorPolicy(mirror: MirrorArgument): MirrorPolicy {
  return MirrorPolicy.fromPartial({
    cluster: mirror.cluster,
    runtimeFraction: { defaultValue: fractionOf(mirror.percent) },
    traceSampled: false,
  });
}

function hashPolicy(key: HashKey): RouteAction_HashPolicy {
  return { policySpecifier: hashSpecifier(key), terminal: false };
}

function hashSpecifier(key: HashKey): RouteAction_HashPolicy['policySpecifier'] {
  const source = key.source;
  switch (source?.$case) {
    case 'header':
      return { $case: 'header', value: { headerName: source.value, regexRewrite: undefined } };
    case 'cookie': {
      const { name, path, ttlMs } = source.value;
      const ttl = ttlMs === undefined ? undefined : durationOf(ttlMs);
      return { $case: 'cookie', value: { name, path, ttl, attributes: [] } };
    }
    case 'sourceIp':
      return { $case: 'connectionProperties', value: { sourceIp: source.value } };
    case 'queryParameter':
      return { $case: 'queryParameter', value: { name: source.value } };
    default:
      return undefined;
  }
}

export interface RedirectArgument extends Pick<
  Redirect,
  'scheme' | 'host' | 'path' | 'prefix' | 'code'
> {
  /** 0: as in the request's Host, or none where `host` is set. */
  readonly port: number;
}

const redirectCodes: Readonly<Record<number, RedirectCode>> = {
  301: RedirectCode.MOVED_PERMANENTLY,
  302: RedirectCode.FOUND,
  303: RedirectCode.SEE_OTHER,
  307: RedirectCode.TEMPORARY_REDIRECT,
  308: RedirectCode.PERMANENT_REDIRECT,
};

export function redirectAction(
  redirect: RedirectArgument,
  matchedPrefix: string | undefined,
): RedirectAction {
  const action = RedirectAction.fromPartial({
    ...(redirect.scheme === ''
      ? {}
      : { schemeRewriteSpecifier: { $case: 'schemeRedirect', value: redirect.scheme } }),
    hostRedirect: redirect.host,
    portRedirect: redirect.port,
    responseCode: redirectCodes[redirect.code] ?? RedirectCode.MOVED_PERMANENTLY,
  });
  action.pathRewriteSpecifier = redirectPath(redirect, matchedPrefix);
  return action;
}

function redirectPath(
  redirect: RedirectArgument,
  matchedPrefix: string | undefined,
): RedirectAction['pathRewriteSpecifier'] {
  if (redirect.path !== '') return { $case: 'pathRedirect', value: redirect.path };
  if (redirect.prefix === undefined) return undefined;
  const replaced = replacePrefix(matchedPrefix, redirect.prefix);
  if (replaced === undefined) return undefined;
  return typeof replaced === 'string'
    ? { $case: 'prefixRewrite', value: replaced }
    : { $case: 'regexRewrite', value: replaced };
}
