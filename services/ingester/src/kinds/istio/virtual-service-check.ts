/** What istiod's validation webhook asks of a VirtualService, plus what the model cannot say. */
import type {
  Delegate,
  HTTPRoute,
  Percent,
  VirtualService,
} from '@watershed/proto/istio/networking/v1alpha3/virtual_service.ts';
import type { At } from '../../decode.ts';
import { checkDnsLabel, checkDuration, checkExportTo } from '../common/checks.ts';
import { isAuthorityHeader } from '../common/headers.ts';
import { fullHost, hostsOverlap, isAddress, wildcardNameProblem } from '../common/hosts.ts';
import type { CheckContext } from './decode.ts';
import { checkGatewayNames, gatewayName, meshGateway } from './gateway-names.ts';
import {
  checkCors,
  checkFault,
  checkRedirect,
  checkResponse,
  checkRewrite,
} from './http-action-check.ts';
import { checkDestination, checkHeaders, checkRetry, checkRoute } from './http-forward-check.ts';
import { isCatchAll, normaliseMatch } from './http-match.ts';
import { checkMatches } from './http-match-check.ts';

export function checkVirtualService(spec: VirtualService, at: At, context: CheckContext): void {
  const isDelegate = spec.hosts.length === 0;
  if (isDelegate && spec.gateways.length > 0) {
    at.field('gateways').error(spec.gateways, 'must not be set without hosts (a delegate)');
  }
  checkGatewayNames(at.field('gateways'), spec.gateways);
  // istiod's reading: one gateway other than the mesh makes it a gateway's.
  const onGateway = spec.gateways.some((gateway) => gateway !== meshGateway);
  checkHosts(spec, at.field('hosts'), { ...context, onGateway });
  checkStreamRoutes(spec, at);
  for (const [index, rule] of spec.http.entries()) {
    checkRule(rule, at.field('http').item(index), isDelegate);
  }
  if (!isDelegate) checkMatchGateways(spec, at.field('http'), context.namespace);
  checkReach(spec.http, at.field('http'));
  checkRepeated(spec.http, at.field('http'));
  checkExportTo(at.field('exportTo'), spec.exportTo, {
    namespace: context.namespace,
    nobody: false,
  });
}

function checkHosts(
  spec: VirtualService,
  at: At,
  context: CheckContext & { onGateway: boolean },
): void {
  let valid = true;
  for (const [index, host] of spec.hosts.entries()) {
    const problem = isAddress(host) ? undefined : wildcardNameProblem(host);
    if (problem !== undefined) {
      valid = false;
      at.item(index).error(host, problem);
    } else if (host === '*' && !context.onGateway) {
      valid = false;
      at.item(index).error(host, 'must not be "*" in the mesh: name the hosts, or a gateway');
    }
  }
  if (!valid) return;
  const full = spec.hosts.map((host) => fullHost(host, context.namespace, context.domain));
  for (const [index, host] of full.entries()) {
    const before = full.findIndex((other) => hostsOverlap(host, other));
    const written = [spec.hosts[before], spec.hosts[index]];
    // A short name beside its full one is one host, as istiod takes it.
    const isOne = host === full[before] && written.filter((one) => one?.includes('.')).length === 1;
    if (before < index && !isOne) {
      const other = JSON.stringify(spec.hosts[before]);
      at.item(index).error(spec.hosts[index], `is already matched by ${other}`);
    }
  }
}

/** Routes below HTTP: nothing in the model yet. */
function checkStreamRoutes(spec: VirtualService, at: At): void {
  for (const field of ['tcp', 'tls'] as const) {
    if (spec[field].length === 0) continue;
    at.field(field).warn(
      spec[field],
      `is not supported: only http routes are, so ${field} connections go where they would go without it`,
    );
  }
  if (spec.http.length + spec.tcp.length + spec.tls.length === 0) {
    at.error(undefined, 'must have http routes (or tcp, or tls)');
  }
}

/** A match's gateways choose among those of the VirtualService. */
function checkMatchGateways({ http, gateways }: VirtualService, at: At, namespace: string): void {
  const own = new Set(
    (gateways.length === 0 ? [meshGateway] : gateways).map((name) => gatewayName(name, namespace)),
  );
  for (const [index, { match }] of http.entries()) {
    for (const [position, { gateways: named }] of match.entries()) {
      if (named.length === 0 || named.some((name) => own.has(gatewayName(name, namespace)))) {
        continue;
      }
      const item = at.item(index).field('match').item(position).field('gateways');
      item.warn(named.join(', '), 'has none of spec.gateways: the match is never tried');
    }
  }
}

/** Rules are tried in the user's order, so nothing behind one that takes every request is tried. */
function checkReach(rules: readonly HTTPRoute[], at: At): void {
  const last = rules.findIndex(
    ({ match, delegate }) =>
      delegate === undefined &&
      (match.length === 0 || match.some((one) => isCatchAll(normaliseMatch(one)))),
  );
  if (last < 0 || last === rules.length - 1) return;
  const item = at.item(last + 1);
  item.warn(rules[last + 1]?.name, `is never reached: rule ${last} takes every request`);
}

/** Of two equal matches the first one takes all requests; of a delegate's it is not known. */
function checkRepeated(rules: readonly HTTPRoute[], at: At): void {
  const seen = new Map<string, string>();
  for (const [index, { match, delegate }] of rules.entries()) {
    for (const [position, one] of delegate === undefined ? match.entries() : []) {
      const key = JSON.stringify({ ...normaliseMatch(one), name: '' });
      const before = seen.get(key);
      if (before === undefined) seen.set(key, `http[${index}].match[${position}]`);
      else {
        const item = at.item(index).field('match').item(position);
        item.warn(one.name, `is never reached: ${before} is the same match`);
      }
    }
  }
}

function checkRule(rule: HTTPRoute, at: At, isDelegate: boolean): void {
  checkAction(rule, at, isDelegate);
  checkMatches(rule.match, at.field('match'));
  checkHeaders(rule.headers, at.field('headers'));
  checkAuthority(rule, at);
  checkCors(rule.corsPolicy, at.field('corsPolicy'));
  checkFault(rule.fault, at.field('fault'));
  checkMirrors(rule, at);
  checkRedirect(rule.redirect, at.field('redirect'));
  checkResponse(rule.directResponse, at.field('directResponse'));
  checkRewrite(rule.rewrite, at.field('rewrite'));
  checkRetry(rule.retries, at.field('retries'));
  checkRoute(rule.route, at.field('route'));
  const { timeout } = rule;
  // 0s says "no time-out", as leaving it out does.
  if (timeout?.seconds !== 0 || timeout.nanos !== 0) checkDuration(at.field('timeout'), timeout);
}

/** Exactly one thing to do with a request, and nothing beside it that would have no effect. */
function checkAction(rule: HTTPRoute, at: At, isDelegate: boolean): void {
  if (rule.delegate !== undefined) {
    checkDelegate(rule, rule.delegate, at, isDelegate);
    return;
  }
  const actions = [
    rule.route.length > 0 ? 'route' : '',
    rule.redirect === undefined ? '' : 'redirect',
    rule.directResponse === undefined ? '' : 'directResponse',
  ].filter((name) => name !== '');
  if (actions.length === 0) {
    at.error(undefined, 'must have a route, a redirect or a directResponse');
  }
  if (actions.length > 1) at.error(undefined, `must not have both ${actions.join(' and ')}`);
  const [action] = actions;
  if (actions.length !== 1 || action === 'route') return;
  for (const field of ['fault', 'rewrite'] as const) {
    if (rule[field] !== undefined) {
      at.field(field).error(rule[field], `must not be set beside ${action}`);
    }
  }
}

function checkDelegate(rule: HTTPRoute, delegate: Delegate, at: At, isDelegate: boolean): void {
  const item = at.field('delegate');
  if (isDelegate) item.error(delegate, 'must not be set in a delegate: one level only');
  if (rule.redirect !== undefined) {
    at.field('redirect').error({}, 'must not be set beside delegate');
  }
  if (rule.route.length > 0) at.field('route').error(rule.route, 'must not be set beside delegate');
  if (delegate.name === '') item.field('name').error(undefined, 'is required');
  else checkDnsLabel(item.field('name'), delegate.name);
  if (delegate.namespace !== '') checkDnsLabel(item.field('namespace'), delegate.namespace);
}

/** The host can be rewritten once: by `rewrite.authority`, or by a header. */
function checkAuthority(rule: HTTPRoute, at: At): void {
  const request = rule.headers?.request;
  const headers = [...Object.entries({ ...request?.set }), ...Object.entries({ ...request?.add })];
  const given = [
    rule.rewrite?.authority ?? '',
    ...headers.filter(([name]) => isAuthorityHeader(name)).map(([, value]) => value),
  ].filter((value) => value !== '');
  if (given.length > 1) {
    at.field('headers').error(given[1], `must not set the host again: it is set to ${given[0]}`);
  }
}

function checkMirrors(rule: HTTPRoute, at: At): void {
  if (rule.mirror !== undefined && rule.mirrors.length > 0) {
    at.field('mirror').error(rule.mirror, 'must not be set beside mirrors');
  }
  checkDestination(rule.mirror, at.field('mirror'));
  checkShare(rule.mirrorPercentage, at.field('mirrorPercentage'));
  if (rule.mirrorPercent !== undefined) {
    const item = at.field('mirrorPercent');
    if (rule.mirrorPercent > 100) item.error(rule.mirrorPercent, 'must be at most 100');
    item.warn(rule.mirrorPercent, 'is deprecated; use mirrorPercentage');
  }
  for (const [index, mirror] of rule.mirrors.entries()) {
    const item = at.field('mirrors').item(index);
    if (mirror.destination === undefined) item.field('destination').error(undefined, 'is required');
    checkDestination(mirror.destination, item.field('destination'));
    checkShare(mirror.percentage, item.field('percentage'));
  }
}

function checkShare(percent: Percent | undefined, at: At): void {
  if (percent === undefined) return;
  if (percent.value < 0 || percent.value > 100) {
    at.field('value').error(percent.value, 'must be a percentage, from 0 to 100');
  }
}
