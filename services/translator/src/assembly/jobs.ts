/** Equality of plans: an unchanged job stays the same object, so that the engine asks for nothing. */
import type { Job, ManifestPlan, ManifestTypePlan, ResourceKey, ResourcePlan } from '../plan.ts';
import { sameData } from './equal.ts';

export function sameJob(a: Job | undefined, b: Job | undefined): boolean {
  if (a === b) return true;
  if (a === undefined || b === undefined) return false;
  return a.generator === b.generator && sameData(a.argument, b.argument);
}

export function samePlan(a: ResourcePlan | undefined, b: ResourcePlan | undefined): boolean {
  if (a === b) return true;
  if (a === undefined || b === undefined) return false;
  return (
    sameKey(a.key, b.key) &&
    a.parts.length === b.parts.length &&
    a.parts.every((part, at) => sameJob(part, b.parts[at])) &&
    sameData(a.refs, b.refs) &&
    sameData(a.aliases, b.aliases) &&
    sameData(a.groups, b.groups) &&
    sameData(a.diagnostics, b.diagnostics) &&
    a.bypassesEpochs === b.bypassesEpochs
  );
}

function sameKey(a: ResourceKey, b: ResourceKey): boolean {
  return a === b || (a.name === b.name && a.variant === b.variant && a.typeUrl === b.typeUrl);
}

export function sameKeys(a: readonly ResourceKey[], b: readonly ResourceKey[]): boolean {
  if (a === b) return true;
  return a.length === b.length && a.every((key, at) => sameKey(key, b[at] ?? key));
}

export function sameManifest(a: ManifestPlan, b: ManifestPlan): boolean {
  if (a === b) return true;
  return (
    a.types.length === b.types.length &&
    a.types.every((type, at) => sameType(type, b.types[at])) &&
    sameData(a.diagnostics, b.diagnostics)
  );
}

function sameType(a: ManifestTypePlan, b: ManifestTypePlan | undefined): boolean {
  if (b === undefined) return false;
  return (
    a.typeUrl === b.typeUrl &&
    sameKeys(a.shared, b.shared) &&
    a.own.length === b.own.length &&
    a.own.every((plan, at) => samePlan(plan, b.own[at]))
  );
}

/** By name, then variant, by UTF-16 code units. */
export function byKey(a: ResourceKey, b: ResourceKey): number {
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  return a.variant < b.variant ? -1 : a.variant > b.variant ? 1 : 0;
}
