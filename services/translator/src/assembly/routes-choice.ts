/** Which routes a host gets at a site of the mesh: the most specific host, then the preferred route. */
import type { Reader } from '@watershed/derive/graph.ts';
import type { Core } from './core.ts';
import { bySpecificity, isSubsetOf, isWildcard } from './hosts.ts';
import {
  byAge,
  byPreference,
  holdsSomewhere,
  type MeshSite,
  type RouteShape,
  type RouteShapes,
  shapesOf,
} from './routes-shapes.ts';

export interface RouteChoice {
  /** Of a service's host. Several only where they are merged (the Gateway API's). */
  readonly forHost: (host: string, serviceNamespace: string) => readonly RouteShape[];
  /** Hosts that routes name themselves, the most specific first, with the preferred route of each. */
  readonly named: readonly (readonly [string, RouteShape])[];
}

export interface ChoiceKey {
  readonly view: string;
  readonly listener: number;
  readonly site: MeshSite;
}

export function chooseRoutes(
  core: Core,
  shapes: RouteShapes,
  read: Reader,
  { view, listener, site }: ChoiceKey,
): RouteChoice {
  const keys = read.query(core.visibility.routes, { view, listener, namespace: site.namespace });
  const visible = [...shapesOf(read, shapes, keys)]
    .filter((shape) => holdsSomewhere(shape, site))
    .sort(byPreference);
  const preferred = new Map<string, RouteShape>();
  for (const shape of visible) {
    for (const host of shape.hosts) if (!preferred.has(host)) preferred.set(host, shape);
  }
  const named = [...preferred].sort(([a], [b]) => bySpecificity(a, b));
  const wildcards = named.filter(([host]) => isWildcard(host));
  const forHost = (host: string, serviceNamespace: string): readonly RouteShape[] => {
    const attached = attachedTo(core, shapes, read, host, { site, serviceNamespace });
    if (attached.length > 0) return attached;
    const exact = preferred.get(host);
    if (exact !== undefined) return [exact];
    const covering = wildcards.find(([wildcard]) => isSubsetOf(host, wildcard));
    return covering === undefined ? [] : [covering[1]];
  };
  return { forHost, named };
}

/**
 * Routes attached to the service (Gateway API, GAMMA): those of the client's namespace hold for its
 * clients alone and go first; else those of the service's namespace hold for all.
 */
function attachedTo(
  core: Core,
  shapes: RouteShapes,
  read: Reader,
  host: string,
  { site, serviceNamespace }: { readonly site: MeshSite; readonly serviceNamespace: string },
): readonly RouteShape[] {
  const keys = read.lookup(core.inputs.indexes.routesByServiceHost, host).map((entry) => entry.key);
  const attached = shapesOf(read, shapes, keys).filter((shape) => holdsSomewhere(shape, site));
  for (const namespace of [site.namespace, serviceNamespace]) {
    const own = attached.filter((shape) => shape.namespace === namespace);
    if (own.length > 0) return own.sort(byAge);
  }
  return [];
}
