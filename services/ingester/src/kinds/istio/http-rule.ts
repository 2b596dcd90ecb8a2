/** One HTTP rule of a VirtualService as the model says it: defaults applied, old fields in new form. */
import {
  Backend,
  Cors,
  DirectResponse,
  Fault,
  HeaderOps,
  Mirror,
  Redirect,
  Retry,
  Rewrite,
  Rule,
  StringMatch,
} from '@watershed/model/gen/model.ts';
import {
  CorsPolicy_UnmatchedPreflights,
  HTTPRedirect_RedirectPortSelection,
} from '@watershed/proto/istio/networking/v1alpha3/virtual_service.ts';
import type {
  CorsPolicy,
  Destination,
  HTTPDirectResponse,
  HTTPFaultInjection,
  HTTPRedirect,
  HTTPRetry,
  HTTPRewrite,
  HTTPRoute,
  HTTPRouteDestination,
  Headers_HeaderOperations,
} from '@watershed/proto/istio/networking/v1alpha3/virtual_service.ts';
import { durationMs } from '../common/checks.ts';
import { isAuthorityHeader } from '../common/headers.ts';
import { sortedSet } from '../common/hosts.ts';
import { isStatusCode, splitRetryOn } from './http-forward-check.ts';
import { normaliseMatches } from './http-match.ts';

const blankBackend = Backend.create();
const blankCors = Cors.create();
const blankFault = Fault.create();
const blankHeaders = HeaderOps.create();
const blankMirror = Mirror.create();
const blankRedirect = Redirect.create();
const blankRetry = Retry.create();
const blankRewrite = Rewrite.create();
const blankRule = Rule.create();
const blankText = StringMatch.create();

/** istiod's default of a policy that says no conditions. */
const defaultRetryOn =
  'connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes';
const statusCodes = 'retriable-status-codes';
const defaultRedirectCode = 301;
/** The share of a route's only destination, whatever weight it has. */
const wholeWeight = 100;

/** @param rule with hosts and gateways in full form */
export function normaliseRule(rule: HTTPRoute): Rule {
  const request = rule.headers?.request;
  return {
    ...blankRule,
    name: rule.name,
    matches: [...normaliseMatches(rule.match)],
    action: action(rule),
    rewrite: rewrite(rule.rewrite, authorityOf(request)),
    ...(rule.timeout === undefined ? {} : { timeoutMs: durationMs(rule.timeout) }),
    retry: retry(rule.retries),
    fault: fault(rule.fault),
    mirrors: mirrors(rule),
    requestHeaders: headerOps(request),
    responseHeaders: headerOps(rule.headers?.response),
    cors: cors(rule.corsPolicy),
  };
}

function action(rule: HTTPRoute): Rule['action'] {
  if (rule.redirect !== undefined) return { $case: 'redirect', value: redirect(rule.redirect) };
  if (rule.directResponse !== undefined) {
    return { $case: 'directResponse', value: directResponse(rule.directResponse) };
  }
  return { $case: 'forward', value: { backends: backends(rule.route) } };
}

function backends(route: readonly HTTPRouteDestination[]): Backend[] {
  const [only] = route;
  if (only === undefined) return [];
  if (route.length === 1) return [backend({ ...only, weight: wholeWeight })];
  // What has no share gets no requests.
  return route.filter((entry) => entry.weight > 0).map(backend);
}

function backend(entry: HTTPRouteDestination): Backend {
  return {
    ...destination(entry.destination),
    weight: entry.weight,
    requestHeaders: headerOps(entry.headers?.request),
    responseHeaders: headerOps(entry.headers?.response),
    authority: authorityOf(entry.headers?.request),
  };
}

function destination(to: Destination | undefined): Backend {
  return {
    ...blankBackend,
    host: to?.host ?? '',
    port: to?.port?.number ?? 0,
    subset: to?.subset ?? '',
  };
}

function mirrors(rule: HTTPRoute): Mirror[] {
  const listed = rule.mirrors.map((mirror) => ({
    to: mirror.destination,
    percent: mirror.percentage?.value ?? 100,
  }));
  if (rule.mirror !== undefined) {
    const percent = rule.mirrorPercentage?.value ?? rule.mirrorPercent ?? 100;
    listed.push({ to: rule.mirror, percent });
  }
  return listed
    .filter(({ percent }) => percent > 0)
    .map(({ to, percent }) => ({ ...blankMirror, backend: destination(to), percent }));
}

function redirect(from: HTTPRedirect): Redirect {
  const port = from.redirectPort;
  const fromRequest =
    port?.$case === 'derivePort' &&
    port.value === HTTPRedirect_RedirectPortSelection.FROM_REQUEST_PORT;
  return {
    ...blankRedirect,
    scheme: from.scheme,
    host: from.authority,
    ...(port?.$case === 'port' ? { port: port.value } : {}),
    portFromProtocol: port?.$case !== 'port' && !fromRequest,
    path: from.uri,
    code: from.redirectCode || defaultRedirectCode,
  };
}

function directResponse(from: HTTPDirectResponse): DirectResponse {
  const body = from.body?.specifier;
  const text = body?.$case === 'bytes' ? new TextDecoder().decode(body.value) : body?.value;
  return { ...DirectResponse.create(), status: from.status, body: text ?? '' };
}

/** Istio replaces what matched: the prefix, or the whole path. */
function rewrite(from: HTTPRewrite | undefined, headerAuthority: string): Rewrite | undefined {
  const authority = from?.authority || headerAuthority;
  const uri = from?.uri ?? '';
  const regex = from?.uriRegexRewrite;
  if (authority === '' && uri === '' && regex === undefined) return undefined;
  return {
    ...blankRewrite,
    authority,
    ...(uri === '' ? {} : { prefix: uri }),
    regex: regex?.match ?? '',
    regexSubstitution: regex?.rewrite ?? '',
  };
}

export function retry(from: HTTPRetry | undefined): Retry | undefined {
  if (from === undefined) return undefined;
  if (from.attempts <= 0) return blankRetry;
  const given = splitRetryOn(from.retryOn);
  const codes = given.filter(isStatusCode);
  const conditions = given.filter((condition) => !isStatusCode(condition));
  if (codes.length > 0 && !conditions.includes(statusCodes)) conditions.push(statusCodes);
  return {
    ...blankRetry,
    attempts: from.attempts,
    ...(from.perTryTimeout === undefined
      ? {}
      : { perTryTimeoutMs: durationMs(from.perTryTimeout) }),
    retryOn: given.length === 0 ? defaultRetryOn : sortedSet(conditions).join(','),
    ...(from.retryRemoteLocalities === undefined
      ? {}
      : { retryRemoteLocalities: from.retryRemoteLocalities }),
    ...(from.backoff === undefined ? {} : { backoffMs: durationMs(from.backoff) }),
    statusCodes: sortedSet(codes).map(Number),
    retryIgnorePreviousHosts: from.retryIgnorePreviousHosts ?? true,
  };
}

/** What happens to no request is left out. */
function fault(from: HTTPFaultInjection | undefined): Fault | undefined {
  const { delay, abort } = from ?? {};
  const delayPercent = delay?.percentage?.value ?? delay?.percent ?? 0;
  const abortPercent = abort?.percentage?.value ?? 0;
  const kind = abortPercent > 0 ? abort?.errorType : undefined;
  const delayed = delayPercent > 0 && delay?.httpDelayType?.$case === 'fixedDelay';
  if (!delayed && kind === undefined) return undefined;
  return {
    ...blankFault,
    ...(delayed && delay.httpDelayType !== undefined
      ? { delayPercent, delayMs: durationMs(delay.httpDelayType.value) }
      : {}),
    ...(kind === undefined ? {} : { abortPercent }),
    abortHttpStatus: kind?.$case === 'httpStatus' ? kind.value : 0,
    abortGrpcStatus: kind?.$case === 'grpcStatus' ? kind.value : '',
  };
}

/**
 * Names are compared without case, so they are written without; the host is a rewrite and not a
 * header.
 */
function headerOps(from: Headers_HeaderOperations | undefined): HeaderOps | undefined {
  if (from === undefined) return undefined;
  const lower = (headers: Readonly<Record<string, string>>): Record<string, string> =>
    Object.fromEntries(
      Object.entries(headers)
        .filter(([name]) => !isAuthorityHeader(name))
        .map(([name, value]) => [name.toLowerCase(), value]),
    );
  const set = lower(from.set);
  const add = lower(from.add);
  const remove = sortedSet(from.remove.map((name) => name.toLowerCase()));
  const count = Object.keys(set).length + Object.keys(add).length + remove.length;
  return count === 0 ? undefined : { ...blankHeaders, set, add, remove };
}

function authorityOf(from: Headers_HeaderOperations | undefined): string {
  const find = (headers: Readonly<Record<string, string>> | undefined): string | undefined =>
    Object.entries(headers ?? {}).find(([name]) => isAuthorityHeader(name))?.[1];
  return find(from?.set) ?? find(from?.add) ?? '';
}

function cors(from: CorsPolicy | undefined): Cors | undefined {
  if (from === undefined) return undefined;
  const origins: StringMatch[] =
    from.allowOrigins.length > 0
      ? from.allowOrigins.map((origin) => ({ ...blankText, match: origin.matchType }))
      : from.allowOrigin.map((value) => ({ ...blankText, match: { $case: 'exact', value } }));
  return {
    ...blankCors,
    allowOrigins: origins,
    allowMethods: from.allowMethods,
    allowHeaders: from.allowHeaders,
    exposeHeaders: from.exposeHeaders,
    ...(from.maxAge === undefined ? {} : { maxAgeS: from.maxAge.seconds }),
    ...(from.allowCredentials === undefined ? {} : { allowCredentials: from.allowCredentials }),
    forwardUnmatchedPreflights: from.unmatchedPreflights !== CorsPolicy_UnmatchedPreflights.IGNORE,
  };
}
