import type {
  RouteAction_HashPolicy,
  WeightedCluster_ClusterWeight,
} from '@watershed/proto/gen/envoy/config/route/v3/route_components.ts';
import {
  RedirectAction,
  RedirectAction_RedirectResponseCode as RedirectCode,
  RetryPolicy,
  RouteAction,
  RouteAction_ClusterNotFoundResponseCode as NotFoundCode,
  RouteAction_RequestMirrorPolicy as MirrorPolicy,
  WeightedCluster_ClusterWeight as ClusterWeight,
} from '@watershed/proto/gen/envoy/config/route/v3/route_components.ts';
import { PreviousHostsPredicate } from '@watershed/proto/gen/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.ts';
import { pack, typeUrls } from '@watershed/proto/any.ts';
import type { HashKey, HeaderOps, Redirect, Retry, Rewrite } from '@watershed/model/gen/model.ts';
import { durationOf, fractionOf, headerEdits, quoteRegex } from './values.ts';

/** A cluster to send to. `cluster` absent: the reference is invalid, its share is answered with 500. */
export interface BackendArgument {
  readonly cluster: string | undefined;
  readonly weight: number;
  readonly requestHeaders: HeaderOps | undefined;
  readonly responseHeaders: HeaderOps | undefined;
}

export interface MirrorArgument {
  readonly cluster: string;
  readonly percent: number;
}

export interface ForwardArgument {
  readonly backends: readonly BackendArgument[];
  readonly rewrite: Rewrite | undefined;
  /** 0: none. */
  readonly timeoutMs: number;
  /** `undefined`: no retries. */
  readonly retry: Retry | undefined;
  readonly mirrors: readonly MirrorArgument[];
  /** Of the destinations' consistent hashing. */
  readonly hash: readonly HashKey[];
  /** The request header `host` that the rule sets. */
  readonly authority: string;
}

/** No cluster has this name, so Envoy answers with `clusterNotFoundResponseCode`. */
const invalidBackend = 'InvalidBackend';

/**
 * @param matchedPrefix the path prefix that the route matches by whole segments, for rewrites that must not
 * double a slash (Gateway API's ReplacePrefixMatch).
 */
export function forwardAction(
  forward: ForwardArgument,
  matchedPrefix: string | undefined,
): RouteAction {
  const [only, ...more] = forward.backends;
  const invalid = forward.backends.some((backend) => backend.cluster === undefined);
  const authority = forward.authority || (forward.rewrite?.authority ?? '');
  return RouteAction.fromPartial({
    clusterSpecifier:
      only !== undefined && more.length === 0
        ? { $case: 'cluster', value: only.cluster ?? invalidBackend }
        : {
            $case: 'weightedClusters',
            value: { clusters: forward.backends.map(clusterWeight) },
          },
    ...(invalid ? { clusterNotFoundResponseCode: NotFoundCode.INTERNAL_SERVER_ERROR } : {}),
    ...pathRewrite(forward.rewrite, matchedPrefix),
    ...(authority === ''
      ? {}
      : { hostRewriteSpecifier: { $case: 'hostRewriteLiteral', value: authority } as const }),
    timeout: durationOf(forward.timeoutMs),
    // gRPC's own deadline, where a client sends one, is honoured up to the route's time-out.
    maxStreamDuration: { grpcTimeoutHeaderMax: durationOf(forward.timeoutMs) },
    ...(forward.retry === undefined ? {} : { retryPolicy: retryPolicy(forward.retry) }),
    requestMirrorPolicies: forward.mirrors.map(mirrorPolicy),
    hashPolicy: forward.hash.map(hashPolicy),
  });
}

function clusterWeight(backend: BackendArgument): WeightedCluster_ClusterWeight {
  const request = headerEdits(backend.requestHeaders);
  const response = headerEdits(backend.responseHeaders);
  return ClusterWeight.fromPartial({
    name: backend.cluster ?? invalidBackend,
    weight: backend.weight,
    requestHeadersToAdd: request.add,
    requestHeadersToRemove: request.remove,
    responseHeadersToAdd: response.add,
    responseHeadersToRemove: response.remove,
  });
}

function pathRewrite(
  rewrite: Rewrite | undefined,
  matchedPrefix: string | undefined,
): Pick<Partial<RouteAction>, 'prefixRewrite' | 'regexRewrite'> {
  if (rewrite === undefined) return {};
  if (rewrite.path !== '') return { regexRewrite: regexRewrite('^/[^?]*', rewrite.path) };
  if (rewrite.regex !== '') {
    return { regexRewrite: regexRewrite(rewrite.regex, rewrite.regexSubstitution) };
  }
  if (rewrite.prefix === undefined) return {};
  const prefix = rewrite.prefix.replace(/\/+$/, '');
  if (matchedPrefix !== undefined && prefix === '') {
    return { regexRewrite: regexRewrite(`^${quoteRegex(matchedPrefix)}(/?)(.*)`, '/\\2') };
  }
  return { prefixRewrite: matchedPrefix === undefined ? rewrite.prefix : prefix };
}

function regexRewrite(regex: string, substitution: string): RouteAction['regexRewrite'] {
  return { pattern: { engineType: undefined, regex }, substitution };
}

/** istiod's: retried on another host than the one that failed, five tries to find one. */
function retryPolicy(retry: Retry): RetryPolicy {
  return RetryPolicy.fromPartial({
    retryOn: retry.retryOn,
    numRetries: retry.attempts,
    ...(retry.perTryTimeoutMs === undefined
      ? {}
      : { perTryTimeout: durationOf(retry.perTryTimeoutMs) }),
    retriableStatusCodes: retry.statusCodes,
    ...(retry.backoffMs === undefined
      ? {}
      : { retryBackOff: { baseInterval: durationOf(retry.backoffMs) } }),
    ...(retry.retryIgnorePreviousHosts
      ? {
          hostSelectionRetryMaxAttempts: 5,
          retryHostPredicate: [
            {
              name: 'envoy.retry_host_predicates.previous_hosts',
              configType: {
                $case: 'typedConfig',
                value: pack(typeUrls.previousHosts, PreviousHostsPredicate, {}),
              },
            },
          ],
        }
      : {}),
  });
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

const redirectCodes: Readonly<Record<number, RedirectCode>> = {
  301: RedirectCode.MOVED_PERMANENTLY,
  302: RedirectCode.FOUND,
  303: RedirectCode.SEE_OTHER,
  307: RedirectCode.TEMPORARY_REDIRECT,
  308: RedirectCode.PERMANENT_REDIRECT,
};

export function redirectAction(
  redirect: Redirect,
  matchedPrefix: string | undefined,
): RedirectAction {
  return RedirectAction.fromPartial({
    ...(redirect.scheme === ''
      ? {}
      : { schemeRewriteSpecifier: { $case: 'schemeRedirect', value: redirect.scheme } as const }),
    hostRedirect: redirect.host,
    portRedirect: redirectPort(redirect),
    pathRewriteSpecifier: redirectPath(redirect, matchedPrefix),
    responseCode: redirectCodes[redirect.code] ?? RedirectCode.MOVED_PERMANENTLY,
  });
}

/** 0 keeps the request's port, or, where the scheme changes, the default port of the new one. */
function redirectPort(redirect: Redirect): number {
  if (redirect.port !== undefined) return redirect.port;
  if (!redirect.portFromProtocol) return 0;
  return redirect.scheme === 'https' ? 443 : 80;
}

function redirectPath(
  redirect: Redirect,
  matchedPrefix: string | undefined,
): RedirectAction['pathRewriteSpecifier'] {
  if (redirect.path !== '') return { $case: 'pathRedirect', value: redirect.path };
  if (redirect.prefix === undefined) return undefined;
  const prefix = redirect.prefix.replace(/\/+$/, '');
  if (matchedPrefix === undefined) return { $case: 'prefixRewrite', value: redirect.prefix };
  if (prefix !== '') return { $case: 'prefixRewrite', value: prefix };
  return {
    $case: 'regexRewrite',
    value: {
      pattern: { engineType: undefined, regex: `^${quoteRegex(matchedPrefix)}(/?)(.*)` },
      substitution: '/\\2',
    },
  };
}
