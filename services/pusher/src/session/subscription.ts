/**
 * What a stream asked for, of one type. Subscriptions are interned: a thousand proxies that name
 * the same thousand resources, in any order and by any way, hold one object. So "the same place" is
 * a comparison of pointers, and a stream's own share is a pointer.
 */
import { isLocator } from '../resource-name.ts';
import {
  hashName,
  trieDelete,
  trieDiff,
  trieDigest,
  trieEach,
  trieGet,
  trieSet,
  trieSize,
  type Leaf,
  type Trie,
} from '../view/trie.ts';
import { bytesPerName } from './kept-names.ts';

const wildcardName = '*';

/**
 * The names in one request, compared by identity: a request decoder gives equal lists as one
 * object.
 */
export class NameList {
  readonly names: readonly string[];
  /**
   * The request's bytes that it was decoded from, if they are worth comparing with the next
   * request's.
   */
  readonly encoded: Uint8Array | undefined;
  #leaves: readonly Leaf[] | undefined;
  #longest: number | undefined;
  #bytes: number | undefined;
  #hasWildcard: boolean | undefined;
  #hasLocator: boolean | undefined;

  constructor(names: readonly string[], encoded?: Uint8Array) {
    this.names = names;
    this.encoded = encoded;
  }

  get leaves(): readonly Leaf[] {
    this.#leaves ??= this.names.map((name) => ({ name, hash: hashName(name), version: '' }));
    return this.#leaves;
  }

  get length(): number {
    return this.names.length;
  }

  /** Of a name, in characters. */
  get longest(): number {
    this.#longest ??= this.names.reduce((most, { length }) => Math.max(most, length), 0);
    return this.#longest;
  }

  /** What they cost where they are kept. */
  get bytes(): number {
    this.#bytes ??= this.names.reduce((sum, name) => sum + bytesOf(name), 0);
    return this.#bytes;
  }

  /** The others; itself where it has none of them. */
  without(names: ReadonlySet<string>): NameList {
    const rest = this.names.filter((name) => !names.has(name));
    return rest.length === this.length ? this : new NameList(rest);
  }

  get hasWildcard(): boolean {
    this.#hasWildcard ??= this.names.includes(wildcardName);
    return this.#hasWildcard;
  }

  get hasLocator(): boolean {
    this.#hasLocator ??= this.names.some(isLocator);
    return this.#hasLocator;
  }
}

export const noNames: NameList = new NameList([]);

/** Up to so many names are few. */
export const fewNames = 16;

export class Subscription {
  /** All resources, those that appear later too. */
  readonly wildcard: boolean;
  /** What its names cost. */
  readonly bytes: number;
  readonly #names: Trie<Leaf>;

  constructor(wildcard: boolean, names: Trie<Leaf>, bytes = 0) {
    this.wildcard = wildcard;
    this.bytes = bytes;
    this.#names = names;
  }

  get isEmpty(): boolean {
    return !this.wildcard && this.#names === undefined;
  }

  /** How many names were given explicitly. */
  get size(): number {
    return trieSize(this.#names);
  }

  /** A few names and no wildcard: they are looked up, where for more all there is is walked. */
  get isNarrow(): boolean {
    return !this.wildcard && this.size <= fewNames;
  }

  /** Whether a resource of that name is to be sent. */
  has(leaf: { readonly name: string; readonly hash: number }): boolean {
    return this.wildcard || this.names(leaf);
  }

  /** Whether it was named, the wildcard apart. */
  names(leaf: { readonly name: string; readonly hash: number }): boolean {
    return trieGet(this.#names, leaf.name, leaf.hash) !== undefined;
  }

  eachName(visit: (leaf: Leaf) => void): void {
    trieEach(this.#names, visit);
  }

  get trie(): Trie<Leaf> {
    return this.#names;
  }
}

/** The intern table of one process. Holds subscriptions weakly. */
export class Subscriptions {
  readonly none = new Subscription(false, undefined);
  #all: Subscription | undefined;
  readonly #byContent = new Map<string, WeakRef<Subscription>>();
  #sweepAt = 1_024;
  readonly #listed = new WeakMap<NameList, Subscription>();
  readonly #added = new WeakMap<Subscription, WeakMap<NameList, Subscription>>();
  readonly #removed = new WeakMap<Subscription, WeakMap<NameList, Subscription>>();
  readonly #named = new WeakMap<Subscription, NameList>();
  readonly #news = new WeakMap<Subscription, WeakMap<Subscription, NameList>>();

  constructor() {
    this.#byContent.set(contentKey(false, undefined), new WeakRef(this.none));
  }

  /** How many subscriptions the table knows, some perhaps unused by now. */
  get size(): number {
    return this.#byContent.size;
  }

  /** Exactly what a state-of-the-world request lists; `*` is the wildcard (rules 15, 19, 22). */
  of(list: NameList): Subscription {
    return memo(this.#listed, list, () => this.#apply(this.none, list, noNames));
  }

  all(): Subscription {
    return (this.#all ??= this.of(everything));
  }

  /** With more names; `*` adds the wildcard. */
  add(to: Subscription, list: NameList): Subscription {
    if (list.length === 0) return to;
    return memo2(this.#added, to, list, () => this.#apply(to, list, noNames));
  }

  /** With fewer names; `*` ends the wildcard; names that are not in it do not matter (rule 35). */
  remove(from: Subscription, list: NameList): Subscription {
    if (list.length === 0) return from;
    return memo2(this.#removed, from, list, () => this.#apply(from, noNames, list));
  }

  /** All that it names. */
  namesOf(subscription: Subscription): NameList {
    return memo(this.#named, subscription, () => {
      const names: string[] = [];
      subscription.eachName((leaf) => names.push(leaf.name));
      return new NameList(names);
    });
  }

  /** Names that `after` gives and `before` does not. */
  newNames(before: Subscription, after: Subscription): NameList {
    if (before === after) return noNames;
    return memo2(this.#news, before, after, () => {
      const found: string[] = [];
      trieDiff(before.trie, after.trie, (name, old) => {
        if (old === undefined) found.push(name);
      });
      return found.length === 0 ? noNames : new NameList(found);
    });
  }

  #apply(base: Subscription, add: NameList, remove: NameList): Subscription {
    let { wildcard, trie, bytes } = base;
    for (const leaf of add.leaves) {
      if (leaf.name === wildcardName) wildcard = true;
      // The leaf that is there is kept, so that equal sets share their structure.
      else if (trieGet(trie, leaf.name, leaf.hash) === undefined) {
        trie = trieSet(trie, leaf);
        bytes += bytesOf(leaf.name);
      }
    }
    for (const leaf of remove.leaves) {
      if (leaf.name === wildcardName) wildcard = false;
      else if (trieGet(trie, leaf.name, leaf.hash) !== undefined) {
        trie = trieDelete(trie, leaf.name, leaf.hash);
        bytes -= bytesOf(leaf.name);
      }
    }
    if (wildcard === base.wildcard && trie === base.trie) return base;
    return this.#intern(wildcard, trie, bytes);
  }

  #intern(wildcard: boolean, trie: Trie<Leaf>, bytes: number): Subscription {
    const key = contentKey(wildcard, trie);
    const known = this.#byContent.get(key)?.deref();
    if (known !== undefined) return known;
    if (this.#byContent.size >= this.#sweepAt) this.#sweep();
    const made = new Subscription(wildcard, trie, bytes);
    this.#byContent.set(key, new WeakRef(made));
    return made;
  }

  #sweep(): void {
    for (const [key, ref] of this.#byContent) {
      if (ref.deref() === undefined) this.#byContent.delete(key);
    }
    this.#sweepAt = Math.max(1_024, 2 * this.#byContent.size);
  }
}

function bytesOf(name: string): number {
  return bytesPerName + name.length;
}

const everything = new NameList([wildcardName]);

function contentKey(wildcard: boolean, trie: Trie<Leaf>): string {
  return `${wildcard ? '*' : ''}${trieSize(trie)}:${trieDigest(trie)}`;
}

function memo<K extends WeakKey, V>(table: WeakMap<K, V>, key: K, make: () => V): V {
  let value = table.get(key);
  if (value === undefined) table.set(key, (value = make()));
  return value;
}

function memo2<A extends WeakKey, B extends WeakKey, V>(
  table: WeakMap<A, WeakMap<B, V>>,
  a: A,
  b: B,
  make: () => V,
): V {
  return memo(
    memo(table, a, () => new WeakMap<B, V>()),
    b,
    make,
  );
}
