/** What the simulation reads of the resources that clients get. */
import { sameBytes } from '@watershed/log/ownership.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import { Cluster } from '@watershed/proto/envoy/config/cluster/v3/cluster.ts';
import { ClusterLoadAssignment } from '@watershed/proto/envoy/config/endpoint/v3/endpoint.ts';
import { Listener } from '@watershed/proto/envoy/config/listener/v3/listener.ts';
import { RouteConfiguration } from '@watershed/proto/envoy/config/route/v3/route.ts';
import type { Route } from '@watershed/proto/envoy/config/route/v3/route_components.ts';
import { HttpConnectionManager } from '@watershed/proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts';

const { cluster, endpoint, listener, route } = resourceTypes;

/** State of the world sends no names. */
export function nameOf(typeUrl: string, bytes: Uint8Array): string {
  switch (typeUrl) {
    case cluster:
      return Cluster.decode(bytes).name;
    case endpoint:
      return ClusterLoadAssignment.decode(bytes).clusterName;
    case listener:
      return Listener.decode(bytes).name;
    case route:
      return RouteConfiguration.decode(bytes).name;
    default:
      throw new RangeError(`nobody asked for ${typeUrl}`);
  }
}

/** Whether it says of the cluster only that it has no endpoints. */
export function isEmptyAssignment(clusterName: string, bytes: Uint8Array): boolean {
  const empty = ClusterLoadAssignment.fromPartial({ clusterName });
  return sameBytes(ClusterLoadAssignment.encode(empty).finish(), bytes);
}

/** The route tables that a listener names. */
export function tablesOf(bytes: Uint8Array): readonly string[] {
  const { filterChains, defaultFilterChain } = Listener.decode(bytes);
  const tables: string[] = [];
  for (const filter of [...filterChains, defaultFilterChain].flatMap((one) => one?.filters ?? [])) {
    if (filter.configType?.$case !== 'typedConfig') continue;
    if (!filter.configType.value.typeUrl.endsWith('HttpConnectionManager')) continue;
    const { routeSpecifier } = HttpConnectionManager.decode(filter.configType.value.value);
    if (routeSpecifier?.$case === 'rds') tables.push(routeSpecifier.value.routeConfigName);
  }
  return tables;
}

/** The clusters that a route table routes to. */
export function targetsOf(bytes: Uint8Array): readonly string[] {
  const { virtualHosts } = RouteConfiguration.decode(bytes);
  return virtualHosts.flatMap(({ routes }) => routes.flatMap(clustersOf));
}

function clustersOf({ action }: Route): readonly string[] {
  if (action?.$case !== 'route') return [];
  const { clusterSpecifier } = action.value;
  if (clusterSpecifier?.$case === 'cluster') return [clusterSpecifier.value];
  if (clusterSpecifier?.$case !== 'weightedClusters') return [];
  return clusterSpecifier.value.clusters.map(({ name }) => name);
}

/** Which generation of what is in a resource: see `Catalog`. */
export function generationsOf(
  typeUrl: string,
  bytes: Uint8Array,
): readonly (readonly [what: string, generation: number])[] {
  switch (typeUrl) {
    case cluster: {
      const { name, circuitBreakers } = Cluster.decode(bytes);
      const generation = circuitBreakers?.thresholds[0]?.maxRequests;
      return generation === undefined || generation > 1_000_000 ? [] : [[name, generation]];
    }
    case endpoint: {
      const { clusterName, endpoints } = ClusterLoadAssignment.decode(bytes);
      return endpoints.flatMap(({ lbEndpoints }) =>
        lbEndpoints.flatMap(({ hostIdentifier }) => {
          if (hostIdentifier?.$case !== 'endpoint') return [];
          const { address } = hostIdentifier.value.address ?? {};
          if (address?.$case !== 'socketAddress') return [];
          const [, from, high, low] = address.value.address.split('.').map(Number);
          return [[`${clusterName} ${from}`, ((high ?? 0) << 8) | (low ?? 0)] as const];
        }),
      );
    }
    case route: {
      const { name, virtualHosts } = RouteConfiguration.decode(bytes);
      return virtualHosts.flatMap(({ name: host, routes }) =>
        routes.flatMap(({ requestHeadersToAdd }) =>
          requestHeadersToAdd
            .filter(({ header }) => header?.key === 'x-generation')
            .map(({ header }) => [`${name} ${host}`, Number(header?.value)] as const),
        ),
      );
    }
    default:
      return [];
  }
}
