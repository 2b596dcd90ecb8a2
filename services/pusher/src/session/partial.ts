/**
 * Views that lack something: a pusher that has just started has not all bytes yet, or reads them
 * from its disk as they once were, or a shard is behind. Who comes back may have just that, or
 * newer than that, so it is not taken from it until it is here. Of what the log says secrets are no
 * part: who may have one no longer must not keep it, and Envoy keeps one that is only said to be
 * gone.
 */
import { resourceTypes } from '@watershed/proto/any.ts';
import { isLocator } from '../resource-name.ts';
import { tableOf } from '../view/host-tables.ts';
import type { Missing } from '../view/missing.ts';
import type { ScopeView } from '../view/scope-view.ts';
import type { Entry, TypeView } from '../view/type-view.ts';
import { isAsked } from './asked.ts';
import { NameList } from './subscription.ts';
import type { TypeState } from './type-state.ts';

const { cluster, endpoint, listener, route, virtualHost } = resourceTypes;

/** What refers to resources of a type: what the client keeps of those may name one of these. */
const referring: ReadonlyMap<string, readonly string[]> = new Map([
  [route, [listener]],
  [cluster, [listener, route]],
  [endpoint, [listener, route, cluster]],
]);

/** What the view lacks, for a client that may have it; `undefined`: nothing. */
export function missingFor(
  { traits, resumed }: TypeState,
  goal: ScopeView | undefined,
): Missing | undefined {
  const missing = resumed ? goal?.missing : undefined;
  return traits.stage !== 'secrets' || missing?.isOld === true ? missing : undefined;
}

/** Whether it may lack a resource of that name; without one, any of the type. */
export function mayLack({ all, names }: Missing, typeUrl: string, name?: string): boolean {
  if (all) return true;
  // Hosts are in their tables.
  if (typeUrl === virtualHost) return mayLack({ all, names }, route, name && tableOf(name));
  if (referring.get(typeUrl)?.some((other) => names.has(other)) === true) return true;
  const some = names.get(typeUrl);
  if (name === undefined || isLocator(name)) return some !== undefined;
  return some?.has(name) === true;
}

interface Known {
  readonly byHeld: WeakMap<TypeView, TypeView>;
  /** By what they have, and how much of it without bytes. */
  readonly byContent: Map<string, TypeView>;
}

/** Views together with what clients keep beyond them; the same for all that keep the same. */
export class KeptViews {
  readonly #known = new WeakMap<Missing, WeakMap<TypeView, Known>>();

  /** `target`, and what the client has that the view may lack. */
  of({ traits, held }: TypeState, target: TypeView, goal: ScopeView, missing: Missing): TypeView {
    if (held === undefined || held === target) return target;
    const byTarget = this.#known.get(missing) ?? new WeakMap<TypeView, Known>();
    const known = byTarget.get(target) ?? { byHeld: new WeakMap(), byContent: new Map() };
    this.#known.set(missing, byTarget.set(target, known));
    // Of hosts it depends on the tables, too.
    let all = traits.typeUrl === virtualHost ? undefined : known.byHeld.get(held);
    if (all === undefined) {
      const kept: Entry[] = [];
      held.each((entry) => {
        if (isNotHere(traits.typeUrl, entry, target, { goal, missing })) kept.push(entry);
      });
      all = kept.length === 0 ? target : same(known, target.with(kept), kept);
      known.byHeld.set(held, all);
    }
    return all;
  }
}

/** Not by what the client has beside that: a stream would never be where it is to go. */
function same({ byContent }: Known, all: TypeView, kept: readonly Entry[]): TypeView {
  const bare = kept.filter(({ fragments }) => fragments === undefined).length;
  const key = `${all.digest}|${bare}`;
  if (byContent.size > mostKept) byContent.clear();
  const found = byContent.get(key) ?? all;
  byContent.set(key, found);
  return found;
}

/** Of one target. */
const mostKept = 1_024;

/** Also where the view has another version of it, which is the one before. */
function isNotHere(
  typeUrl: string,
  entry: Entry,
  target: TypeView,
  { goal, missing }: { readonly goal: ScopeView; readonly missing: Missing },
): boolean {
  const { name } = entry;
  const isHost = typeUrl === virtualHost;
  const [type, of] = isHost ? [route, tableOf(name)] : [typeUrl, name];
  const isOlder = missing.isOld === true || missing.names.get(type)?.has(of) === true;
  if (isOlder || target.lookup(entry) !== undefined) return isOlder;
  if (!mayLack(missing, typeUrl, name)) return false;
  // Of a table that is here no host stays beside the new ones: two must not have one domain.
  return !isHost || goal.types.get(route)?.get(of) === undefined;
}

/**
 * Of names that are owed, those that are known to be missing, or newer than the disk: they are told
 * once they are here.
 */
export function toCome(target: TypeView, owed: NameList, missing: Missing): NameList | undefined {
  const listed = missing.names.get(target.typeUrl);
  const names = owed.leaves.filter((leaf) => {
    const entry = target.lookup(leaf);
    if (entry !== undefined) return entry.fragments === undefined;
    return missing.isOld === true || listed?.has(leaf.name) === true;
  });
  return names.length === 0 ? undefined : new NameList(names.map(({ name }) => name));
}

/**
 * State of the world: whether a full set cannot be said, for it would take what it leaves out. What
 * the client has is not known yet, or its bytes are not here.
 */
export function lacksSome(state: TypeState, target: TypeView, missing: Missing): boolean {
  const { traits, subscription, resume, held } = state;
  // Of what may be old nothing is said: all of it may be newer there.
  if (missing.isOld === true) return true;
  if (!traits.fullSet) return false;
  if (resume !== undefined && subscription.wildcard) return mayLack(missing, traits.typeUrl);
  let lacks = false;
  if (held === undefined) {
    subscription.eachName((leaf) => {
      lacks ||= !target.serves(leaf) && mayLack(missing, traits.typeUrl, leaf.name);
    });
    return lacks;
  }
  target.each((entry) => {
    lacks ||= entry.fragments === undefined && isAsked(subscription, target, entry);
  });
  return lacks;
}
