/**
 * Entries by names that are not their own: aliases (rule 44), and the groups that they come with. A
 * persistent map like the view itself, so that a change costs what it changes.
 */
import { hashName, trieDelete, trieEach, trieGet, trieSet, type Leaf, type Trie } from './trie.ts';

interface Named<E extends Leaf> extends Leaf {
  readonly entries: Trie<E>;
}

export type OtherNames<E extends Leaf> = Trie<Named<E>>;

export function addNames<E extends Leaf>(
  table: OtherNames<E>,
  entry: E,
  names: readonly string[] = [],
): OtherNames<E> {
  let next = table;
  for (const name of names) {
    const hash = hashName(name);
    const entries = trieSet(trieGet(next, name, hash)?.entries, entry);
    next = trieSet(next, { name, hash, version: '', entries });
  }
  return next;
}

export function dropNames<E extends Leaf>(
  table: OtherNames<E>,
  entry: E,
  names: readonly string[] = [],
): OtherNames<E> {
  let next = table;
  for (const name of names) {
    const hash = hashName(name);
    const entries = trieDelete(trieGet(next, name, hash)?.entries, entry.name, entry.hash);
    next =
      entries === undefined
        ? trieDelete(next, name, hash)
        : trieSet(next, { name, hash, version: '', entries });
  }
  return next;
}

/** Visits the entries that have the name. */
export function eachOf<E extends Leaf>(
  table: OtherNames<E>,
  { name, hash }: { readonly name: string; readonly hash: number },
  visit: (entry: E) => void,
): void {
  if (table !== undefined) trieEach(trieGet(table, name, hash)?.entries, visit);
}
