/**
 * Incremental computation with recorded reads.
 *
 * Inputs are collections; a query is a pure function of a reader and a key. Every read is recorded, so a
 * change dirties exactly the nodes that read what changed; a recomputed value equal to the last one stops
 * there (early cut-off). There are no lists of "what depends on what" to keep by hand.
 *
 * The algorithm is salsa's red-green marking with eager dirtying: `settle` costs what changed, not what is.
 */
import { Collection, type Entry, type Index } from './collection.ts';
import type { Cell, Node, Source } from './node.ts';

/** What a query may look at. Nothing else: no clock, no environment, no closure over mutable state. */
export interface Reader {
  get<V>(collection: Collection<V>, key: string): V | undefined;
  /** Sorted by entry key. */
  lookup<V>(index: Index<V>, indexKey: string): readonly Entry<V>[];
  query<K, V>(query: Query<K, V>, key: K): V;
}

export interface QuerySpec<K, V> {
  readonly name: string;
  /** A string that is equal exactly for equal keys. */
  readonly id: (key: K) => string;
  readonly compute: (read: Reader, key: K) => V;
  /** Default: `Object.is`. Where it holds, readers are not recomputed and keep the old value. */
  readonly equal?: (a: V, b: V) => boolean;
}

export interface Query<K, V> extends QuerySpec<K, V> {
  /** For the graph. */
  readonly nodes: Map<string, Node>;
}

export interface Change<K, V> {
  readonly query: Query<K, V>;
  readonly id: string;
  readonly before: V | undefined;
  readonly after: V;
}

export interface GraphOptions {
  /**
   * For tests that must notice a forgotten read: return true and the read is not recorded. `reader` and
   * `source` are names of queries, collections or indexes.
   */
  readonly forget?: (reader: string, source: string, key: string) => boolean;
}

export class CycleError extends Error {
  constructor(path: readonly string[]) {
    super(`queries read each other in a circle: ${path.join(' → ')}`);
    this.name = 'CycleError';
  }
}

export class Graph {
  #revision = 1;
  readonly #forget: GraphOptions['forget'];
  readonly #pending = new Set<Node>();
  readonly #orphans = new Set<Source>();
  readonly #queries = new Map<Node, Query<never, unknown>>();
  readonly #stack: Node[] = [];
  readonly #computed = new Map<string, number>();

  constructor(options: GraphOptions = {}) {
    this.#forget = options.forget;
  }

  /** How often each query has computed a value, for counters and for tests of silence. */
  get computed(): ReadonlyMap<string, number> {
    return this.#computed;
  }

  collection<V>(name: string, equal: (a: V, b: V) => boolean = Object.is): Collection<V> {
    return new Collection<V>(this, name, equal);
  }

  query<K, V>(spec: QuerySpec<K, V>): Query<K, V> {
    return { ...spec, nodes: new Map() };
  }

  /** Computes (or returns) a value from outside. What nobody observes is dropped at the next `settle`. */
  read<K, V>(query: Query<K, V>, key: K): V {
    const node = this.#node(query, key);
    if (node.readers.size === 0 && !node.observed) this.#orphans.add(node);
    this.#validate(node);
    return node.value as V;
  }

  /** Keeps a key of a query up to date; the first `settle` reports it. */
  observe<K, V>(query: Query<K, V>, key: K): void {
    const node = this.#node(query, key);
    if (node.observed) return;
    node.observed = true;
    this.#pending.add(node);
  }

  unobserve<K, V>(query: Query<K, V>, key: K): void {
    const node = query.nodes.get(query.id(key));
    if (node === undefined || !node.observed) return;
    node.observed = false;
    node.reported = undefined;
    node.reportedAt = 0;
    this.#pending.delete(node);
    if (node.readers.size === 0) this.#orphans.add(node);
  }

  /** Brings all observed nodes up to date and returns those whose values changed (or are new). */
  settle(): readonly Change<unknown, unknown>[] {
    const changes: Change<unknown, unknown>[] = [];
    while (this.#pending.size > 0) {
      const batch = [...this.#pending];
      this.#pending.clear();
      for (const node of batch) {
        this.#validate(node);
        if (node.changedAt <= node.reportedAt) continue;
        const query = this.#queries.get(node) as unknown as Query<unknown, unknown>;
        changes.push({ query, id: node.key, before: node.reported, after: node.value });
        node.reported = node.value;
        node.reportedAt = node.changedAt;
      }
    }
    this.#collect();
    return changes;
  }

  /** For collections: these cells have new content. */
  changed(cells: readonly Cell[]): void {
    if (this.#stack.length > 0) throw new Error('an input changed while a query was computing');
    this.#revision++;
    for (const cell of cells) {
      cell.changedAt = this.#revision;
      for (const reader of cell.readers) this.#dirty(reader);
    }
  }

  #dirty(root: Node): void {
    const unseen = root.state === 'clean';
    root.state = 'dirty';
    if (!unseen) return;
    const queue: Node[] = [root];
    for (let node = queue.pop(); node !== undefined; node = queue.pop()) {
      if (node.observed) this.#pending.add(node);
      for (const reader of node.readers) {
        if (reader.state !== 'clean') continue;
        reader.state = 'check';
        queue.push(reader);
      }
    }
  }

  #node<K, V>(query: Query<K, V>, key: K): Node {
    const id = query.id(key);
    const known = query.nodes.get(id);
    if (known !== undefined) return known;
    const node: Node = {
      kind: 'node',
      name: query.name,
      key: id,
      state: 'dirty',
      value: undefined,
      hasValue: false,
      changedAt: 0,
      verifiedAt: 0,
      observed: false,
      reported: undefined,
      reportedAt: 0,
      reads: new Set(),
      readers: new Set(),
      compute: (self) => query.compute(this.#reader(self), key),
      equal: (query.equal ?? Object.is) as (a: unknown, b: unknown) => boolean,
      drop: () => {
        query.nodes.delete(id);
        this.#queries.delete(node);
      },
    };
    query.nodes.set(id, node);
    this.#queries.set(node, query as unknown as Query<never, unknown>);
    return node;
  }

  #reader(node: Node): Reader {
    const record = (source: Source): void => {
      if (this.#forget?.(node.name, source.name, source.key)) {
        if (source.readers.size === 0) this.#orphans.add(source);
        return;
      }
      node.reads.add(source);
      source.readers.add(node);
    };
    return {
      get: (collection, key) => {
        record(collection.cell(key));
        return collection.peek(key);
      },
      lookup: (index, indexKey) => {
        record(index.cell(indexKey));
        return index.peek(indexKey);
      },
      query: <K, V>(query: Query<K, V>, key: K): V => {
        const source = this.#node(query, key);
        this.#validate(source);
        record(source);
        return source.value as V;
      },
    };
  }

  /** Afterwards the node is clean. */
  #validate(node: Node): void {
    if (node.state === 'clean') return;
    if (node.state === 'computing') {
      throw new CycleError([...this.#stack, node].map((n) => `${n.name}(${n.key})`));
    }
    if (node.state === 'check' && !this.#readChanged(node)) {
      node.state = 'clean';
      node.verifiedAt = this.#revision;
      return;
    }
    this.#compute(node);
  }

  #readChanged(node: Node): boolean {
    for (const source of node.reads) {
      if (source.kind === 'node') this.#validate(source);
      if (source.changedAt > node.verifiedAt) return true;
    }
    return false;
  }

  #compute(node: Node): void {
    const reads = node.reads;
    node.reads = new Set();
    node.state = 'computing';
    this.#stack.push(node);
    try {
      const value = node.compute(node);
      this.#computed.set(node.name, (this.#computed.get(node.name) ?? 0) + 1);
      if (!node.hasValue || !node.equal(node.value, value)) {
        node.value = value;
        node.hasValue = true;
        node.changedAt = this.#revision;
      }
      node.state = 'clean';
      node.verifiedAt = this.#revision;
    } catch (error) {
      // It stays dirty and keeps what it read before as well, so that a later change reaches it.
      node.state = 'dirty';
      for (const source of reads) node.reads.add(source);
      throw error;
    } finally {
      this.#stack.pop();
      for (const source of reads) {
        if (node.reads.has(source)) continue;
        source.readers.delete(node);
        if (source.readers.size === 0) this.#orphans.add(source);
      }
    }
  }

  /** Drops what nobody reads or observes any more. */
  #collect(): void {
    for (const source of this.#orphans) {
      if (source.readers.size > 0 || (source.kind === 'node' && source.observed)) continue;
      source.drop();
      if (source.kind === 'cell') continue;
      for (const read of source.reads) {
        read.readers.delete(source);
        if (read.readers.size === 0) this.#orphans.add(read);
      }
      source.reads.clear();
    }
    this.#orphans.clear();
  }
}
