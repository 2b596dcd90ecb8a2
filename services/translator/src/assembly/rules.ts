/** A user's rule as the argument of a virtual host: matches narrowed, backends resolved to clusters. */
import type {
  Backend,
  HashKey,
  HeaderOps,
  Match,
  Parent,
  Redirect,
  Retry,
  Rewrite,
  Rule,
} from '@watershed/model/gen/model.ts';
import type {
  BackendArgument,
  ForwardArgument,
  MirrorArgument,
  PathRewriteArgument,
  RedirectArgument,
} from '../generators/route-action.ts';
import type { MatchArgument } from '../generators/route-match.ts';
import type { ActionArgument, RuleArgument } from '../generators/virtual-host.ts';
import { selects } from './policies.ts';
import { retryOf } from './retry.ts';

/** Where a rule is about to be used: what its matches may say of it. */
export interface RuleSite {
  /** `mesh`, or `namespace|name` of gateways. */
  readonly parents: readonly string[];
  readonly port: number;
  /** The client's. */
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Requests come over TLS that ends here. */
  readonly tls: boolean;
}

export interface Destination {
  readonly cluster: string;
  /** What its policy hashes on. */
  readonly hash: HashKey | undefined;
}

export interface RuleContext {
  readonly site: RuleSite;
  /** The mesh's retries, where a rule says none. */
  readonly retry: Retry | undefined;
  /** The Gateway API's answers where a backend is missing, and not Istio's. */
  readonly gatewayApi: boolean;
  readonly resolve: (backend: Backend) => Destination;
}

/** `undefined`: no match of it can hold at this site. */
export function ruleArgument(rule: Rule, context: RuleContext): RuleArgument | undefined {
  const matches = rule.matches.filter((match) => holdsAt(match, context.site));
  if (rule.matches.length > 0 && matches.length === 0) return undefined;
  // One backend's headers are the route's: Envoy has them on weighted clusters only.
  const only = loneBackend(rule, context);
  return {
    name: routeName(rule, matches),
    matches: matches.map(matchArgument),
    action: actionOf(rule, context),
    fault: rule.fault,
    cors: rule.cors,
    requestHeaders: joined(rule.requestHeaders, only?.requestHeaders),
    responseHeaders: joined(rule.responseHeaders, only?.responseHeaders),
  };
}

/**
 * Gateways that a match names stand for themselves: who calls from the mesh is not asked then
 * (Istio).
 */
function holdsAt(match: Match, site: RuleSite): boolean {
  if (match.port !== 0 && match.port !== site.port) return false;
  if (match.gateways.length > 0) {
    return match.gateways.some((parent) => site.parents.includes(parentId(parent)));
  }
  if (match.sourceNamespace !== '' && match.sourceNamespace !== site.namespace) return false;
  return selects(match.sourceLabels, site.labels);
}

/** As `RuleSite.parents` spells it; a service's routes apply wherever the service is called. */
function parentId(parent: Parent): string {
  return parent.to?.$case === 'gateway'
    ? `${parent.to.value.namespace}|${parent.to.value.name}`
    : 'mesh';
}

/** istiod's: `rule.match` where the match has a name. Several matches share the rule's. */
function routeName(rule: Rule, matches: readonly Match[]): string {
  const [only, ...more] = matches;
  if (only === undefined || more.length > 0 || only.name === '') return rule.name;
  return rule.name === '' ? only.name : `${rule.name}.${only.name}`;
}

function matchArgument(match: Match): MatchArgument {
  const { path, scheme, method, authority, headers, ignorePathCase } = match;
  const queryParams = match.queryParams.map(({ name, value }) => ({ name, value }));
  return { path, scheme, method, authority, headers, queryParams, ignorePathCase };
}

function actionOf(rule: Rule, context: RuleContext): ActionArgument {
  switch (rule.action?.$case) {
    case 'redirect':
      return { kind: 'redirect', redirect: redirectOf(rule.action.value, context.site) };
    case 'directResponse': {
      const { status, body } = rule.action.value;
      return { kind: 'respond', respond: { status, body } };
    }
    default:
      return forwardOf(rule, context);
  }
}

/** The default port of a scheme is not written. */
function redirectOf(redirect: Redirect, { port, tls }: RuleSite): RedirectArgument {
  const { scheme, host, path, prefix, code } = redirect;
  const wanted = redirect.port ?? (redirect.portFromProtocol ? 0 : port);
  const secure = scheme === '' ? tls : scheme === 'https';
  const isDefault = wanted === (secure ? 443 : 80);
  return { scheme, host, path, prefix, code, port: isDefault ? 0 : wanted };
}

// ---------------------------------------------------------------- forwarding

/** Where nothing can take a request: the Gateway API's 500, for Istio Envoy's 503. */
function nothingToForwardTo({ gatewayApi }: RuleContext): ActionArgument {
  return { kind: 'respond', respond: { status: gatewayApi ? 500 : 503, body: '' } };
}

/** Those that have a share. Istio gives a lone one everything, whatever its weight. */
function sharingBackends(rule: Rule, { gatewayApi }: RuleContext): readonly Backend[] {
  const all = rule.action?.$case === 'forward' ? rule.action.value.backends : [];
  if (all.length === 1 && !gatewayApi) return all;
  return all.filter((backend) => backend.weight > 0);
}

function loneBackend(rule: Rule, context: RuleContext): Backend | undefined {
  const [only, ...more] = sharingBackends(rule, context);
  return more.length === 0 ? only : undefined;
}

function forwardOf(rule: Rule, context: RuleContext): ActionArgument {
  const sharing = sharingBackends(rule, context);
  if (sharing.every(isInvalid)) return nothingToForwardTo(context);
  const authority = ruleAuthority(rule);
  const resolved = sharing.map((backend) => ({ backend, to: destination(backend, context) }));
  const lone = resolved.length === 1 ? resolved[0]?.backend : undefined;
  const hash = distinct(resolved.flatMap(({ to }) => to?.hash ?? []));
  const forward: ForwardArgument = {
    backends: resolved.map(({ backend, to }) =>
      lone === undefined ? shareOf(backend, to, authority) : wholly(to),
    ),
    rewrite: pathRewrite(rule.rewrite),
    authority: authority || (lone === undefined ? '' : backendAuthority(lone)),
    ...timing(rule, context, lone !== undefined && hash.length > 0),
    mirrors: rule.mirrors.flatMap((mirror) => mirrorOf(mirror.backend, mirror.percent, context)),
    hash,
    missing: context.gatewayApi || sharing.some(isInvalid) ? 500 : 503,
  };
  return { kind: 'forward', forward };
}

function isInvalid(backend: Backend): boolean {
  return backend.invalid !== '';
}

function destination(backend: Backend, context: RuleContext): Destination | undefined {
  return isInvalid(backend) ? undefined : context.resolve(backend);
}

function wholly(to: Destination | undefined): BackendArgument {
  const nothing = {
    weight: 0,
    authority: '',
    requestHeaders: undefined,
    responseHeaders: undefined,
  };
  return { cluster: to?.cluster, ...nothing };
}

function shareOf(
  backend: Backend,
  to: Destination | undefined,
  ruleAuthority: string,
): BackendArgument {
  return {
    cluster: to?.cluster,
    weight: backend.weight,
    authority: ruleAuthority === '' ? backendAuthority(backend) : '',
    requestHeaders: editable(backend.requestHeaders),
    responseHeaders: editable(backend.responseHeaders),
  };
}

function pathRewrite(rewrite: Rewrite | undefined): PathRewriteArgument | undefined {
  if (rewrite === undefined) return undefined;
  const { path, prefix, regex, regexSubstitution } = rewrite;
  if (path === '' && prefix === undefined && regex === '') return undefined;
  return { path, prefix, regex, regexSubstitution };
}

function mirrorOf(
  backend: Backend | undefined,
  percent: number,
  context: RuleContext,
): readonly MirrorArgument[] {
  const to = backend === undefined ? undefined : destination(backend, context);
  return to === undefined || percent <= 0 ? [] : [{ cluster: to.cluster, percent }];
}

/**
 * A backend's time-out is that of each try: where the rule asks for retries, of one of them.
 * Without any, it is the route's, if the route has none that is shorter.
 *
 * @param sticky the hash picks the same host again, whatever failed (istiod)
 */
function timing(
  rule: Rule,
  context: RuleContext,
  sticky: boolean,
): Pick<ForwardArgument, 'timeoutMs' | 'retry'> {
  const wanted = retryOf(rule.retry, context.retry);
  const retry = wanted !== undefined && sticky ? { ...wanted, otherHosts: false } : wanted;
  const timeoutMs = rule.timeoutMs ?? 0;
  const backendMs = rule.backendTimeoutMs ?? 0;
  if (backendMs === 0) return { timeoutMs, retry };
  if (retry === undefined || rule.retry === undefined) {
    return { timeoutMs: timeoutMs === 0 ? backendMs : Math.min(timeoutMs, backendMs), retry };
  }
  return { timeoutMs, retry: { ...retry, perTryTimeoutMs: retry.perTryTimeoutMs ?? backendMs } };
}

// ---------------------------------------------------------------- headers

/** A rule's rewrite goes before a header that it sets. */
function ruleAuthority(rule: Rule): string {
  return (rule.rewrite?.authority ?? '') || headerAuthority(rule.requestHeaders);
}

function backendAuthority(backend: Backend): string {
  return backend.authority || headerAuthority(backend.requestHeaders);
}

function headerAuthority(ops: HeaderOps | undefined): string {
  for (const headers of [ops?.set, ops?.add]) {
    for (const [name, value] of Object.entries(headers ?? {})) if (isAuthority(name)) return value;
  }
  return '';
}

function joined(
  rule: HeaderOps | undefined,
  backend: HeaderOps | undefined,
): HeaderOps | undefined {
  if (rule === undefined || backend === undefined) return editable(rule ?? backend);
  return editable({
    set: { ...rule.set, ...backend.set },
    add: { ...rule.add, ...backend.add },
    remove: [...rule.remove, ...backend.remove],
  });
}

/** Without what Envoy refuses to edit (`host`, `:path`, …): an action rewrites the host. */
function editable(ops: HeaderOps | undefined): HeaderOps | undefined {
  if (ops === undefined) return undefined;
  const kept = (headers: Readonly<Record<string, string>>): Record<string, string> =>
    Object.fromEntries(Object.entries(headers).filter(([name]) => !isInternal(name)));
  const remove = ops.remove.filter((name) => !isInternal(name));
  return { set: kept(ops.set), add: kept(ops.add), remove };
}

function isInternal(name: string): boolean {
  return name.startsWith(':') || name.toLowerCase() === 'host';
}

/** A header that says which host a request is for. */
function isAuthority(name: string): boolean {
  const lower = name.toLowerCase();
  return lower === 'host' || lower === ':authority';
}

function distinct(keys: readonly HashKey[]): readonly HashKey[] {
  const seen = new Map(keys.map((key) => [JSON.stringify(key), key]));
  return [...seen.values()];
}
