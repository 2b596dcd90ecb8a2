/**
 * What routes show of themselves to who chooses among them: for which hosts they are, and where
 * they can hold. A change of what they do with a request is not seen here.
 */
import type { Query, Reader } from '@watershed/derive/graph.ts';
import type { Match, Route, Rule } from '@watershed/model/gen/model.ts';
import type { Inputs, Keyed } from '../inputs.ts';
import { sameData } from './equal.ts';
import { selects } from './policies.ts';

export interface RouteShape {
  readonly key: string;
  readonly namespace: string;
  readonly createdMs: number;
  /** Exported to everybody; what is meant for a few goes before it. */
  readonly exported: boolean;
  readonly hosts: readonly string[];
  /** Where its rules hold; `undefined`: some rule holds everywhere in the mesh. */
  readonly guards: readonly Guard[] | undefined;
  /** Keys of labels that some match reads, sorted. */
  readonly labels: readonly string[];
  /** Some match reads the client's namespace. */
  readonly readsNamespace: boolean;
}

/** A match that holds for some sites only. */
export interface Guard {
  readonly port: number;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface MeshSite {
  readonly port: number;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** By a route's config key. */
export type RouteShapes = Query<string, RouteShape | undefined>;

export function createRouteShapes(inputs: Inputs): RouteShapes {
  return inputs.graph.query<string, RouteShape | undefined>({
    name: 'routeShape',
    id: (key) => key,
    compute: (read, key) => {
      const route = read.get(inputs.routes, key);
      return route && shapeOf(route);
    },
    equal: sameData,
  });
}

/** Routes that name a service's host as their parent (Gateway API, GAMMA), by that host. */
export type AttachedRoutes = Query<string, readonly RouteShape[]>;

export function createAttachedRoutes({ graph, indexes }: Inputs): AttachedRoutes {
  return graph.query<string, readonly RouteShape[]>({
    name: 'attachedRoutes',
    id: (host) => host,
    compute: (read, host) =>
      read.lookup(indexes.routesByServiceHost, host).map((entry) => shapeOf(entry.value)),
    equal: sameData,
  });
}

/** Whether any rule of it can hold there: a route of which none does is passed over (istiod). */
export function holdsSomewhere(shape: RouteShape, site: MeshSite): boolean {
  if (shape.guards === undefined) return true;
  return shape.guards.some(
    (guard) =>
      (guard.port === 0 || guard.port === site.port) &&
      (guard.namespace === '' || guard.namespace === site.namespace) &&
      selects(guard.labels, site.labels),
  );
}

interface Ranked {
  readonly key: string;
  readonly createdMs: number;
  readonly exported: boolean;
}

/** What is exported to a few first, then the oldest, then by key (istiod). */
export function byPreference(a: Ranked, b: Ranked): number {
  if (a.exported !== b.exported) return a.exported ? 1 : -1;
  return byAge(a, b);
}

/** The oldest first, then by namespace and name. */
export function byAge(
  a: Pick<Ranked, 'key' | 'createdMs'>,
  b: Pick<Ranked, 'key' | 'createdMs'>,
): number {
  if (a.createdMs !== b.createdMs) return a.createdMs - b.createdMs;
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}

/** Shapes of routes by key, those that are gone left out. */
export function shapesOf(
  read: Reader,
  shapes: RouteShapes,
  keys: readonly string[],
): readonly RouteShape[] {
  return keys.flatMap((key) => read.query(shapes, key) ?? []);
}

function shapeOf({ key, namespace, value }: Keyed<Route>): RouteShape {
  const matches = value.rules.flatMap((rule) => rule.matches);
  return {
    key,
    namespace,
    createdMs: value.createdMs,
    exported: value.exportTo.includes('*'),
    hosts: value.hosts,
    guards: guardsOf(value.rules),
    labels: sorted(matches.flatMap((match) => Object.keys(match.sourceLabels))),
    readsNamespace: matches.some((match) => match.sourceNamespace !== ''),
  };
}

function sorted(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)].sort();
}

function guardsOf(rules: readonly Rule[]): readonly Guard[] | undefined {
  const guards: Guard[] = [];
  for (const { matches } of rules) {
    if (matches.length === 0) return undefined;
    for (const match of matches) {
      if (!reachesMesh(match)) continue;
      const guard = guardOf(match);
      if (guard === undefined) return undefined;
      guards.push(guard);
    }
  }
  return guards;
}

/** Gateways that a match names are all that it holds at. */
function reachesMesh({ gateways }: Match): boolean {
  return gateways.length === 0 || gateways.some((parent) => parent.to?.$case !== 'gateway');
}

/** `undefined`: it holds everywhere. The client is asked only where no gateway is named (Istio). */
function guardOf({ port, gateways, sourceNamespace, sourceLabels }: Match): Guard | undefined {
  const namespace = gateways.length === 0 ? sourceNamespace : '';
  const labels = gateways.length === 0 ? sourceLabels : {};
  if (port === 0 && namespace === '' && Object.keys(labels).length === 0) return undefined;
  return { port, namespace, labels };
}
