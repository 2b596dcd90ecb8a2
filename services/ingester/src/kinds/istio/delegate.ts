/**
 * Delegation: a rule of a root VirtualService that is continued by the rules of another one, which
 * has no hosts. A rule of the delegate stays only if it asks for no less than the root's (istiod's
 * MergeHTTPRoutes).
 */
import type {
  HTTPMatchRequest,
  HTTPRoute,
  StringMatch,
} from '@watershed/proto/istio/networking/v1alpha3/virtual_service.ts';
import { selects } from '../common/labels.ts';

/** The delegate's rules under a root's rule; those that contradict it are left out. */
export function mergeRules(root: HTTPRoute, delegate: readonly HTTPRoute[]): HTTPRoute[] {
  return delegate.flatMap((rule) => {
    const match = mergeMatches(root.match, rule.match);
    return match === undefined ? [] : [mergeRule(root, rule, match)];
  });
}

function mergeRule(root: HTTPRoute, rule: HTTPRoute, match: HTTPMatchRequest[]): HTTPRoute {
  return {
    ...rule,
    delegate: undefined,
    match,
    name: joinNames(root.name, rule.name),
    rewrite: rule.rewrite ?? root.rewrite,
    directResponse: rule.directResponse ?? root.directResponse,
    timeout: rule.timeout ?? root.timeout,
    retries: rule.retries ?? root.retries,
    fault: rule.fault ?? root.fault,
    mirror: rule.mirror ?? root.mirror,
    mirrorPercent: rule.mirrorPercent ?? root.mirrorPercent,
    mirrorPercentage: rule.mirrorPercentage ?? root.mirrorPercentage,
    mirrors: rule.mirrors.length > 0 ? rule.mirrors : root.mirrors,
    corsPolicy: rule.corsPolicy ?? root.corsPolicy,
    headers: rule.headers ?? root.headers,
  };
}

/** Undefined: some match of the delegate is not within any of the root's. */
function mergeMatches(
  roots: HTTPMatchRequest[],
  leaves: HTTPMatchRequest[],
): HTTPMatchRequest[] | undefined {
  if (roots.length === 0) return leaves;
  if (leaves.length === 0) return roots;
  const merged: HTTPMatchRequest[] = [];
  for (const leaf of leaves) {
    const within = roots.filter((root) => !contradicts(root, leaf));
    if (within.length === 0) return undefined;
    merged.push(...within.map((root) => mergeMatch(root, leaf)));
  }
  return merged;
}

function mergeMatch(root: HTTPMatchRequest, leaf: HTTPMatchRequest): HTTPMatchRequest {
  return {
    ...leaf,
    name: joinNames(root.name, leaf.name),
    uri: leaf.uri ?? root.uri,
    scheme: leaf.scheme ?? root.scheme,
    method: leaf.method ?? root.method,
    authority: leaf.authority ?? root.authority,
    headers: { ...root.headers, ...leaf.headers },
    withoutHeaders: { ...root.withoutHeaders, ...leaf.withoutHeaders },
    queryParams: { ...root.queryParams, ...leaf.queryParams },
    port: leaf.port || root.port,
    sourceLabels: { ...root.sourceLabels, ...leaf.sourceLabels },
    sourceNamespace: leaf.sourceNamespace || root.sourceNamespace,
    gateways: leaf.gateways.length > 0 ? leaf.gateways : root.gateways,
    statPrefix: leaf.statPrefix || root.statPrefix,
  };
}

function joinNames(root: string, leaf: string): string {
  return [root, leaf].filter((name) => name !== '').join('-');
}

function contradicts(root: HTTPMatchRequest, leaf: HTTPMatchRequest): boolean {
  const fields = ['uri', 'scheme', 'method', 'authority'] as const;
  if (fields.some((field) => textContradicts(root[field], leaf[field]))) return true;
  for (const field of ['headers', 'withoutHeaders', 'queryParams'] as const) {
    const names = Object.keys(leaf[field]);
    if (names.some((name) => textContradicts(root[field][name], leaf[field][name]))) return true;
  }
  if (root.ignoreUriCase !== leaf.ignoreUriCase) return true;
  if (root.port > 0 && leaf.port > 0 && root.port !== leaf.port) return true;
  if (root.sourceNamespace !== '' && leaf.sourceNamespace !== root.sourceNamespace) return true;
  const common = Object.entries(leaf.sourceLabels).filter(([key]) =>
    Object.hasOwn(root.sourceLabels, key),
  );
  if (!selects(Object.fromEntries(common), root.sourceLabels)) return true;
  return (
    root.gateways.length > 0 && leaf.gateways.some((gateway) => !root.gateways.includes(gateway))
  );
}

/**
 * Whether what the leaf matches is not all matched by the root; regular expressions are not
 * compared.
 */
function textContradicts(root: StringMatch | undefined, leaf: StringMatch | undefined): boolean {
  if (root === undefined || leaf === undefined) return false;
  const wide = root.matchType;
  const narrow = leaf.matchType;
  if (wide === undefined || narrow === undefined) return true;
  if (wide.$case === 'exact') return narrow.$case !== 'exact' || narrow.value !== wide.value;
  if (wide.$case === 'prefix' && narrow.$case !== 'regex') {
    return !narrow.value.startsWith(wide.value);
  }
  return true;
}
