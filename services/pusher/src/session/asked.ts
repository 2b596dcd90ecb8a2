/** What a subscription asks for: by name, by alias (rule 44), or as a member of what is asked for. */
import type { Entry, TypeView } from '../view/type-view.ts';
import { hashName } from '../view/trie.ts';
import type { Subscription } from './subscription.ts';

/**
 * Whether a resource of the view is to be sent. Costs its other names, and not how many are
 * subscribed.
 */
export function isAsked(subscription: Subscription, view: TypeView, entry: Entry): boolean {
  if (subscription.wildcard && entry.located !== true) return true;
  if (isNamed(subscription, entry)) return true;
  return (entry.groups ?? []).some((name) => {
    const leaf = { name, hash: hashName(name) };
    if (subscription.names(leaf)) return true;
    const group = view.lookup(leaf);
    return group !== undefined && isNamed(subscription, group);
  });
}

/**
 * What a client says it holds, as if what is there the same and not asked for by any of its names
 * were there no more: it came with something that is gone, or by an alias that has moved.
 */
export function withoutUnasked(held: TypeView, view: TypeView, by: Subscription): TypeView {
  // Where each is asked for by its own name, the client may be about to name what it did not yet.
  if (view.isPlain) return held;
  const unasked: Entry[] = [];
  held.each((entry) => {
    const now = view.lookup(entry);
    // A version that nothing has: so it differs, and is told to be gone.
    if (now !== undefined && !isAsked(by, view, now)) unasked.push({ ...entry, version: '' });
  });
  return held.with(unasked);
}

/** By its own name or an alias. */
function isNamed(subscription: Subscription, entry: Entry): boolean {
  if (subscription.names(entry)) return true;
  return (entry.aliases ?? []).some((name) => subscription.names({ name, hash: hashName(name) }));
}

/** Walks the smaller side; a resource may come twice. */
export function eachAsked(
  subscription: Subscription,
  view: TypeView,
  visit: (entry: Entry) => void,
): void {
  if (subscription.wildcard) {
    view.each((entry) => {
      if (isAsked(subscription, view, entry)) visit(entry);
    });
  } else subscription.eachName((leaf) => view.eachNamed(leaf, visit));
}
