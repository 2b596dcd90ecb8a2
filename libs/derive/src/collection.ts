import type { Cell, Input } from './node.ts';
import { createCell } from './node.ts';

export interface Entry<V> {
  readonly key: string;
  readonly value: V;
}

/** Who has to know what changes: the graph. */
interface Watcher {
  /** Before a change; throws where none may be. */
  changing(): void;
  changed(cells: readonly Cell[]): void;
}

/**
 * Declared input: keyed values that are set from outside. Readers that looked at a key, or at an
 * index key that the change moves, become dirty; nobody else does.
 */
export class Collection<V> implements Input {
  readonly name: string;
  readonly #watcher: Watcher;
  readonly #equal: (a: V, b: V) => boolean;
  readonly #values = new Map<string, V>();
  readonly #cells = new Map<string, Cell>();
  readonly #indexes: Index<V>[] = [];

  /** Use `graph.collection`. */
  constructor(watcher: Watcher, name: string, equal: (a: V, b: V) => boolean) {
    this.#watcher = watcher;
    this.name = name;
    this.#equal = equal;
  }

  get size(): number {
    return this.#values.size;
  }

  /** Looks without being recorded: for the code around the graph, never inside a query. */
  peek(key: string): V | undefined {
    return this.#values.get(key);
  }

  entries(): IterableIterator<[string, V]> {
    return this.#values.entries();
  }

  /** Returns whether anything changed. */
  set(key: string, value: V): boolean {
    const before = this.#values.get(key);
    if (before !== undefined && this.#equal(before, value)) return false;
    this.#watcher.changing();
    this.#values.set(key, value);
    this.#changed(key, before, value);
    return true;
  }

  delete(key: string): boolean {
    const before = this.#values.get(key);
    if (before === undefined) return false;
    this.#watcher.changing();
    this.#values.delete(key);
    this.#changed(key, before, undefined);
    return true;
  }

  /**
   * An index: each entry is found under every key that `keysOf` gives. Declare before the first
   * `set`.
   */
  index(name: string, keysOf: (key: string, value: V) => readonly string[]): Index<V> {
    if (this.#values.size > 0) throw new Error(`index ${name}: ${this.name} is not empty`);
    const index = new Index<V>(`${this.name}.${name}`, keysOf);
    this.#indexes.push(index);
    return index;
  }

  /** For the graph. */
  cell(key: string): Cell {
    let cell = this.#cells.get(key);
    if (cell === undefined) {
      cell = createCell(this, key);
      this.#cells.set(key, cell);
    }
    return cell;
  }

  entriesAt(key: string): Iterable<string> {
    return [key];
  }

  forget(key: string): void {
    this.#cells.delete(key);
  }

  #changed(key: string, before: V | undefined, after: V | undefined): void {
    const cells: Cell[] = [];
    const own = this.#cells.get(key);
    if (own !== undefined) cells.push(own);
    for (const index of this.#indexes) index.move(key, before, after, cells);
    this.#watcher.changed(cells);
  }
}

/** Beyond so many changes since the last look, an index's entries are sorted anew. */
const maxPatches = 64;

export class Index<V> implements Input {
  readonly name: string;
  readonly #keysOf: (key: string, value: V) => readonly string[];
  readonly #buckets = new Map<string, Bucket<V>>();
  readonly #cells = new Map<string, Cell>();

  /** Use `collection.index`. */
  constructor(name: string, keysOf: (key: string, value: V) => readonly string[]) {
    this.name = name;
    this.#keysOf = keysOf;
  }

  /** Entries under an index key, sorted by their own key, so that no arrival order shows. */
  peek(indexKey: string): readonly Entry<V>[] {
    const bucket = this.#buckets.get(indexKey);
    return bucket === undefined ? [] : sortedOf(bucket);
  }

  /** For the collection. */
  move(key: string, before: V | undefined, after: V | undefined, cells: Cell[]): void {
    const touched = new Set<string>();
    if (before !== undefined) {
      for (const indexKey of this.#keysOf(key, before)) {
        this.#buckets.get(indexKey)?.values.delete(key);
        touched.add(indexKey);
      }
    }
    if (after !== undefined) {
      for (const indexKey of this.#keysOf(key, after)) {
        this.#bucket(indexKey).values.set(key, after);
        touched.add(indexKey);
      }
    }
    for (const indexKey of touched) {
      const bucket = this.#buckets.get(indexKey);
      if (bucket?.values.size === 0) this.#buckets.delete(indexKey);
      else if (bucket !== undefined) bucket.stale = (bucket.stale ?? new Set()).add(key);
      const cell = this.#cells.get(indexKey);
      if (cell !== undefined) cells.push(cell);
    }
  }

  /** For the graph. */
  cell(indexKey: string): Cell {
    let cell = this.#cells.get(indexKey);
    if (cell === undefined) {
      cell = createCell(this, indexKey);
      this.#cells.set(indexKey, cell);
    }
    return cell;
  }

  entriesAt(indexKey: string): Iterable<string> {
    return this.#buckets.get(indexKey)?.values.keys() ?? [];
  }

  forget(indexKey: string): void {
    this.#cells.delete(indexKey);
  }

  #bucket(indexKey: string): Bucket<V> {
    let bucket = this.#buckets.get(indexKey);
    if (bucket === undefined) {
      bucket = { values: new Map(), sorted: [], stale: undefined };
      this.#buckets.set(indexKey, bucket);
    }
    return bucket;
  }
}

/** The entries under one index key. `sorted` is never changed in place: readers keep it. */
interface Bucket<V> {
  readonly values: Map<string, V>;
  sorted: readonly Entry<V>[];
  /** Keys whose entries in `sorted` are out of date. */
  stale: Set<string> | undefined;
}

function sortedOf<V>(bucket: Bucket<V>): readonly Entry<V>[] {
  const { values, stale } = bucket;
  if (stale === undefined) return bucket.sorted;
  if (stale.size > maxPatches) {
    const all = [...values].map(([key, value]) => ({ key, value }));
    bucket.sorted = all.sort((a, b) => (a.key < b.key ? -1 : 1));
  } else {
    const patched = [...bucket.sorted];
    for (const key of stale) patch(patched, key, values);
    bucket.sorted = patched;
  }
  bucket.stale = undefined;
  return bucket.sorted;
}

function patch<V>(sorted: Entry<V>[], key: string, values: ReadonlyMap<string, V>): void {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle]?.key ?? '') < key) low = middle + 1;
    else high = middle;
  }
  const held = sorted[low]?.key === key ? 1 : 0;
  const value = values.get(key);
  if (value === undefined) sorted.splice(low, held);
  else sorted.splice(low, held, { key, value });
}
