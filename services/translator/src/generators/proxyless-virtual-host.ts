/** What a call by gRPC without a proxy is routed by (gRFC A28, A31, A33, A42, A44). */
import {
  type Route,
  RetryPolicy,
  Route as RouteMessage,
  RouteAction,
  VirtualHost,
  WeightedCluster_ClusterWeight as ClusterWeight,
} from '@watershed/proto/gen/envoy/config/route/v3/route_components.ts';
import { RouteConfiguration } from '@watershed/proto/gen/envoy/config/route/v3/route.ts';
import type { Fault } from '@watershed/model/gen/model.ts';
import type { Diagnostic, Generator } from '../plan.ts';
import { type MatchArgument, routeMatch } from './route-match.ts';
import { durationOf } from './values.ts';
import { faultConfig } from './virtual-host.ts';

export interface ProxylessVirtualHostArgument {
  readonly name: string;
  readonly routes: readonly ProxylessRouteArgument[];
  /** Absent: none. */
  readonly problems?: readonly Diagnostic[];
}

export interface ProxylessRouteArgument {
  readonly match: ProxylessMatch;
  /** One or more; of a lone one the weight does not count. */
  readonly backends: readonly { readonly cluster: string; readonly weight: number }[];
  /** 0: the caller's deadline alone counts. */
  readonly timeoutMs: number;
  /** `undefined`: no retries. */
  readonly retry: ProxylessRetry | undefined;
  /** Headers that calls are hashed by. */
  readonly hash: readonly string[];
  readonly fault: Fault | undefined;
}

export type ProxylessMatch = Pick<MatchArgument, 'path' | 'ignorePathCase' | 'headers'>;

export interface ProxylessRetry {
  readonly attempts: number;
  /** Names of gRPC's statuses, with commas between. */
  readonly retryOn: string;
  readonly backoffMs: number | undefined;
}

export const proxylessVirtualHost: Generator<ProxylessVirtualHostArgument> = {
  name: 'proxyless-virtual-host',
  version: 1,
  generate({ name, routes, problems }) {
    const host = VirtualHost.fromPartial({ name, domains: ['*'] });
    host.routes = routes.map(routeOf);
    const table = RouteConfiguration.fromPartial({});
    table.virtualHosts = [host];
    const bytes = RouteConfiguration.encode(table).finish();
    return problems === undefined ? { bytes } : { bytes, diagnostics: problems };
  },
};

function routeOf(argument: ProxylessRouteArgument): Route {
  const { match, backends, timeoutMs, retry, hash, fault } = argument;
  const route = RouteMessage.fromPartial({});
  const { path, ignorePathCase, headers } = match;
  const rest = { scheme: undefined, method: undefined, authority: undefined, queryParams: [] };
  route.match = routeMatch({ path, ignorePathCase, headers, ...rest });
  const action = RouteAction.fromPartial({
    maxStreamDuration: { maxStreamDuration: durationOf(timeoutMs) },
    hashPolicy: hash.map((headerName) => ({
      policySpecifier: { $case: 'header' as const, value: { headerName } },
    })),
  });
  action.clusterSpecifier = clustersOf(backends);
  action.retryPolicy = retry && retryPolicyOf(retry);
  route.action = { $case: 'route', value: action };
  if (fault !== undefined) {
    route.typedPerFilterConfig = { 'envoy.filters.http.fault': faultConfig(fault) };
  }
  return route;
}

function clustersOf(backends: ProxylessRouteArgument['backends']): RouteAction['clusterSpecifier'] {
  const [only, ...more] = backends;
  if (only !== undefined && more.length === 0) return { $case: 'cluster', value: only.cluster };
  const clusters = backends.map(({ cluster, weight }) =>
    ClusterWeight.fromPartial({ name: cluster, weight }),
  );
  const nothing = { totalWeight: undefined, runtimeKeyPrefix: '', randomValueSpecifier: undefined };
  return { $case: 'weightedClusters', value: { clusters, ...nothing } };
}

function retryPolicyOf({ attempts, retryOn, backoffMs }: ProxylessRetry): RetryPolicy {
  return RetryPolicy.fromPartial({
    retryOn,
    numRetries: attempts,
    ...(backoffMs === undefined ? {} : { retryBackOff: { baseInterval: durationOf(backoffMs) } }),
  });
}
