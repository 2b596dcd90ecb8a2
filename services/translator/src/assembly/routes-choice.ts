/** Which routes a host gets at a site of the mesh: the most specific host, then the preferred route. */
import type { Query } from '@watershed/derive/graph.ts';
import type { Core } from './core.ts';
import { sameData } from './equal.ts';
import { bySpecificity, isWildcard, mostSpecific } from './hosts.ts';
import {
  byAge,
  byPreference,
  holdsSomewhere,
  type MeshSite,
  type RouteShape,
  type RouteShapes,
  shapesOf,
} from './routes-shapes.ts';
import { encodeLabels } from './variant.ts';

/** The routes of one listener of a view, at a site. */
export interface ChoiceKey {
  readonly view: string;
  readonly listener: number;
  readonly site: MeshSite;
}

export interface RouteChoice {
  /** Hosts that routes name themselves, the most specific first, with the preferred route of each. */
  readonly named: readonly (readonly [string, RouteShape])[];
  readonly byHost: ReadonlyMap<string, RouteShape>;
  /** Of `named`, those with a wildcard. */
  readonly wildcards: readonly (readonly [string, RouteShape])[];
}

/** One for all tables that choose alike: of a service each, there are as many as services. */
export function createRouteChoices(core: Core, shapes: RouteShapes): Query<ChoiceKey, RouteChoice> {
  return core.inputs.graph.query<ChoiceKey, RouteChoice>({
    name: 'routeChoice',
    id: ({ view, listener, site }) =>
      [view, listener, site.port, site.namespace, encodeLabels(site.labels)].join('\n'),
    compute: (read, { view, listener, site }) => {
      const at = { view, listener, namespace: site.namespace };
      const keys = read.query(core.visibility.routes, at);
      const visible = [...shapesOf(read, shapes, keys)]
        .filter((shape) => holdsSomewhere(shape, site))
        .sort(byPreference);
      const byHost = new Map<string, RouteShape>();
      for (const shape of visible) {
        for (const host of shape.hosts) if (!byHost.has(host)) byHost.set(host, shape);
      }
      const named = [...byHost].sort(([a], [b]) => bySpecificity(a, b));
      return { named, byHost, wildcards: named.filter(([host]) => isWildcard(host)) };
    },
    equal: (a, b) => sameData(a.named, b.named),
  });
}

interface Called {
  readonly host: string;
  readonly namespace: string;
}

/** The routes of a service's host. Several only where they are merged (the Gateway API's). */
export function routesOf(
  attached: readonly RouteShape[],
  { byHost, wildcards }: RouteChoice,
  at: { readonly called: Called; readonly site: MeshSite },
): readonly RouteShape[] {
  const own = attachedAt(attached, at);
  if (own.length > 0) return own;
  const preferred = mostSpecific(at.called.host, byHost, wildcards);
  return preferred === undefined ? [] : [preferred];
}

/**
 * Of the routes attached to a service (Gateway API, GAMMA): those of the client's namespace hold
 * for its clients alone and go first; else those of the service's namespace hold for all.
 */
function attachedAt(
  attached: readonly RouteShape[],
  { called, site }: { readonly called: Called; readonly site: MeshSite },
): readonly RouteShape[] {
  const holding = attached.filter((shape) => holdsSomewhere(shape, site));
  for (const namespace of [site.namespace, called.namespace]) {
    const own = holding.filter((shape) => shape.namespace === namespace);
    if (own.length > 0) return own.sort(byAge);
  }
  return [];
}
