/** Which of the mesh's routes a client may see, by what they name. What they say is not read here. */
import type { Query, Reader } from '@watershed/derive/graph.ts';
import type { Route } from '@watershed/model/gen/model.ts';
import type { Inputs, Keyed } from '../inputs.ts';
import type { HostFilter } from './egress.ts';
import { sameData } from './equal.ts';

/** What a route shows of itself to who chooses among routes. */
export interface RouteSummary {
  readonly key: string;
  readonly namespace: string;
  readonly createdMs: number;
  readonly hosts: readonly string[];
  readonly exportTo: readonly string[];
  /** Hosts that it sends requests to (mirrors too), sorted. */
  readonly destinations: readonly string[];
}

/** By an entry of `exportTo`. */
export type MeshRoutes = Query<string, readonly RouteSummary[]>;

export function createMeshRoutes(inputs: Inputs): MeshRoutes {
  return inputs.graph.query<string, readonly RouteSummary[]>({
    name: 'meshRoutes',
    id: (exportTo) => exportTo,
    compute: (read, exportTo) =>
      read.lookup(inputs.indexes.routesByMesh, exportTo).map((entry) => summaryOf(entry.value)),
    equal: sameData,
  });
}

function summaryOf(route: Keyed<Route>): RouteSummary {
  const { hosts, exportTo, createdMs, rules } = route.value;
  const destinations = new Set<string>();
  for (const { action, mirrors } of rules) {
    if (action?.$case === 'forward') {
      for (const backend of action.value.backends) destinations.add(backend.host);
    }
    for (const mirror of mirrors) {
      if (mirror.backend !== undefined) destinations.add(mirror.backend.host);
    }
  }
  const { key, namespace } = route;
  return { key, namespace, createdMs, hosts, exportTo, destinations: [...destinations].sort() };
}

/** The oldest first. @param namespace the client's; '' where only what is exported to all counts */
export function visibleRoutes(
  read: Reader,
  meshRoutes: MeshRoutes,
  filter: HostFilter,
  namespace: string,
): readonly RouteSummary[] {
  const own = namespace === '' ? [] : read.query(meshRoutes, namespace);
  const all = [
    ...read.query(meshRoutes, '*'),
    ...own.filter((route) => !route.exportTo.includes('*')),
  ];
  return all
    .filter((route) => route.hosts.some((host) => filter.touches(route.namespace, host)))
    .sort(byAge);
}

function byAge(a: RouteSummary, b: RouteSummary): number {
  if (a.createdMs !== b.createdMs) return a.createdMs - b.createdMs;
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}
