/**
 * Resources under names of the scheme `xdstp` (rule 50): `xdstp://watershed/TYPE/NAME` is the
 * scope's resource of that type and name, and `xdstp://watershed/TYPE/*` all listeners. Clients
 * refer to such a resource, and drop it, by that name, so it is the name in the message, too: of
 * each of these types the first field, of which the last one counts.
 *
 * Clusters have none: routes name them as they are. Nor have secrets, which are sealed by name.
 */
import { resourceTypes } from '@watershed/proto/any.ts';
import { collectionOf, isLocator, locatorOf } from '../resource-name.ts';
import { nameField } from '../wire.ts';
import { hashName } from './trie.ts';
import { TypeView, type Entry } from './type-view.ts';

const { endpoint, listener, route } = resourceTypes;

export class Located {
  readonly #views = new WeakMap<TypeView, TypeView>();
  readonly #held = new WeakMap<TypeView, TypeView>();
  readonly #last = new Map<string, { readonly raw: TypeView; readonly view: TypeView }>();
  readonly #entries = new WeakMap<Entry, Entry>();
  readonly #gone = new WeakMap<TypeView, { readonly former: TypeView; readonly gone: TypeView }>();

  /** A view with its resources under both names. Views without such names are given as they are. */
  of(raw: TypeView): TypeView {
    const { typeUrl } = raw;
    if (typeUrl !== listener && typeUrl !== route && typeUrl !== endpoint) return raw;
    let view = this.#views.get(raw);
    if (view === undefined) {
      // From the view that was asked for last: a change costs what it changes.
      const empty = TypeView.empty(typeUrl, false);
      const near = this.#last.get(typeUrl) ?? { raw: empty, view: empty };
      const set: Entry[] = [];
      const gone: string[] = [];
      near.raw.diff(raw, (name, _before, after) => {
        if (after === undefined) gone.push(name, nameOf(typeUrl, name));
        else set.push(after, this.#entry(after));
      });
      view = near.view.with(set, gone);
      this.#views.set(raw, view);
      this.#last.set(typeUrl, { raw, view });
    }
    return view;
  }

  /** What a client says it holds: of a collection, what has gone is told by it. */
  held(view: TypeView): TypeView {
    let known = this.#held.get(view);
    if (known === undefined) {
      const members: Entry[] = [];
      view.each((entry) => {
        const groups = [collectionOf(view.typeUrl)];
        if (isLocator(entry.name)) members.push({ ...entry, located: true, groups });
      });
      this.#held.set(view, (known = view.with(members)));
    }
    return known;
  }

  /**
   * What of a former view the present one, which has such names as well, has no more; `undefined`:
   * nothing.
   */
  gone(former: TypeView | undefined, view: TypeView): TypeView | undefined {
    if (former === undefined) return undefined;
    let known = this.#gone.get(view);
    if (known?.former !== former) {
      const gone: Entry[] = [];
      this.of(former).each((entry) => {
        if (view.lookup(entry) === undefined) gone.push(entry);
      });
      known = { former, gone: TypeView.empty(view.typeUrl, false).with(gone) };
      this.#gone.set(view, known);
    }
    return known.gone.size === 0 ? undefined : known.gone;
  }

  #entry(entry: Entry): Entry {
    const known = this.#entries.get(entry);
    if (known !== undefined) return known;
    const { typeUrl, version, refs, aliases, isEmpty, referrers } = entry;
    const name = nameOf(typeUrl, entry.name);
    const own = nameField(name);
    const made: Entry = {
      typeUrl,
      version,
      refs,
      ...(aliases === undefined ? {} : { aliases }),
      ...(isEmpty === undefined ? {} : { isEmpty }),
      ...(referrers === undefined ? {} : { referrers }),
      name,
      hash: hashName(name),
      fragments: entry.fragments === undefined ? undefined : [...entry.fragments, own],
      size: entry.size + own.length,
      located: true,
      ...(typeUrl === listener ? { groups: [collectionOf(listener)] } : {}),
    };
    this.#entries.set(entry, made);
    return made;
  }
}

/**
 * A collection has what is directly in it: a listener on a Unix socket, whose name is a path, would
 * be of another one.
 */
function nameOf(typeUrl: string, name: string): string {
  return locatorOf(
    typeUrl,
    typeUrl === listener ? name.replace(/[%/]/g, encodeURIComponent) : name,
  );
}
