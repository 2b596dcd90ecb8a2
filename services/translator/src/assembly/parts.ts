/**
 * What `plans.ts` composes: each part of assembly plans its own resources, and says which of them a
 * client has. `createPlans` asks the parts in turn; a part answers `undefined` for keys that are
 * not its own.
 */
import type { Query, Reader } from '@watershed/derive/graph.ts';
import type { ProxyType, ScopeClass } from '@watershed/model/gen/record.ts';
import type { Diagnostic, ManifestTypePlan, ResourceKey, ResourcePlan } from '../plan.ts';
import type { Core } from './core.ts';

/** As `SharedPlans`, for parts that are asked by `compose.ts` alone: it keeps what is unchanged. */
export type PlanOf = (read: Reader, key: ResourceKey) => ResourcePlan | undefined;

/**
 * A type of resource that is not Envoy's. A scope of the proxies that it is for has all of it, and
 * nothing else.
 */
export interface NativeType {
  readonly typeUrl: string;
  readonly proxies: readonly ProxyType[];
  readonly plans: (core: Core) => {
    /** All resources, in lists of which a new one changes few. */
    readonly keys: (read: Reader) => readonly (readonly ResourceKey[])[];
    readonly plan: PlanOf;
  };
}

/** Shared resources of a part, by key. `undefined`: its inputs are gone, or it is another part's. */
export type SharedPlans = Query<ResourceKey, ResourcePlan | undefined>;

/**
 * `assembly/routes.ts` exports `createSidecarRoutes(core): SidecarRoutes`. Its keys are
 * `routeTableId`s (`route-table.ts`); who refers to a table is the listeners' matter.
 */
export interface SidecarRoutes {
  readonly shared: SharedPlans;
}

/**
 * `assembly/routers.ts` exports `createRouterPlans(core): RouterPlans`: listeners, route tables and
 * secrets. Clusters and assignments of routers are planned with those of sidecars.
 */
export interface RouterPlans {
  readonly shared: SharedPlans;
  readonly set: Query<ScopeClass, RouterSet>;
}

/** What gateways make of a router's set. */
export interface RouterSet {
  readonly types: readonly ManifestTypePlan[];
  /** What of gateways could not be served, and why. */
  readonly problems: readonly Diagnostic[];
}
