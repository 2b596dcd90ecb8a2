/**
 * Views of which not all is here yet: a pusher that has just started lacks bytes, or a shard is
 * behind. Who comes back may have what is missing, so nothing is taken from it until all is here.
 * Secrets are no part of this: who may have one no longer must not keep it, and Envoy keeps one
 * that is only said to be gone.
 */
import { resourceTypes } from '@watershed/proto/any.ts';
import type { ScopeView } from '../view/scope-view.ts';
import type { Entry, TypeView } from '../view/type-view.ts';
import { isAsked } from './asked.ts';
import { NameList } from './subscription.ts';
import type { TypeState } from './type-state.ts';

/** Whether what the client has stays, of what is in the view or not. */
export function keeps(
  { traits, resumed }: TypeState,
  goal: ScopeView | undefined,
): goal is ScopeView {
  return goal?.partial === true && resumed && traits.stage !== 'secrets';
}

/** All of `target` and what the client has beyond it. */
export function withKept({ traits, held }: TypeState, target: TypeView, goal: ScopeView): TypeView {
  if (held === undefined || held === target) return target;
  if (traits.stage !== 'hosts') return target.union(held, true);
  // Two hosts must not have one domain: of a table that is here none stays beside the new ones.
  const tables = goal.types.get(resourceTypes.route);
  const kept: Entry[] = [];
  held.each((entry) => {
    const table = entry.name.slice(0, entry.name.lastIndexOf('/'));
    if (tables?.get(table) === undefined) kept.push(entry);
  });
  const all = target.with(kept);
  return differs(held, all) ? all : held;
}

/** Of names that are owed, those that only the client has: they are told once all is here. */
export function toCome(target: TypeView, owed: NameList): NameList | undefined {
  const names = owed.leaves.filter((leaf) => {
    const entry = target.lookup(leaf);
    return entry !== undefined && entry.fragments === undefined;
  });
  return names.length === 0 ? undefined : new NameList(names.map(({ name }) => name));
}

/**
 * State of the world: whether a full set cannot be said, for it would take what it leaves out. What
 * the client has is not known yet, or it is not all here.
 */
export function lacksSome(state: TypeState, target: TypeView): boolean {
  const { traits, subscription, resume } = state;
  if (!traits.fullSet) return false;
  if (resume !== undefined) return true;
  let lacks = false;
  subscription.eachName((leaf) => {
    lacks ||= !target.serves(leaf);
  });
  if (!subscription.wildcard) return lacks;
  target.each((entry) => {
    lacks ||= entry.fragments === undefined && isAsked(subscription, target, entry);
  });
  return lacks;
}

function differs(one: TypeView, other: TypeView): boolean {
  let differs = false;
  one.diff(other, () => {
    differs = true;
  });
  return differs;
}
