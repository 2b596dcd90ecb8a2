/**
 * Incremental computation with recorded reads.
 *
 * Inputs are collections; a query is a pure function of a reader and a key. Every read is recorded,
 * so a change dirties exactly the nodes that read what changed; a recomputed value equal to the
 * last one stops there (early cut-off). There are no lists of "what depends on what" to keep by
 * hand.
 *
 * The algorithm is salsa's red-green marking with eager dirtying: `settle` costs what changed, not
 * what is. An error is an outcome like a value: it is remembered, thrown to whoever reads it, and
 * computed again when something that was read before the throw changes.
 */
import { Collection } from './collection.ts';
import type { Entry, Index } from './collection.ts';
import { addReader, isChecking, readersOf, removeReader } from './node.ts';
import type { Cell, Node, Rule, Source } from './node.ts';
import { CycleError, entriesBelow, outcomeOf, sameError } from './outcome.ts';

/**
 * What a query may look at. Nothing else: no clock, no environment, no closure over mutable state.
 */
export interface Reader {
  get<V>(collection: Collection<V>, key: string): V | undefined;
  /** Sorted by entry key. */
  lookup<V>(index: Index<V>, indexKey: string): readonly Entry<V>[];
  /**
   * Throws what the query threw. Do not catch it: in a circle of queries, who sees it first is not
   * defined.
   */
  query<K, V>(query: Query<K, V>, key: K): V;
  /** A key's equal that the query has, or else itself: who keeps many keys keeps no copies then. */
  same<K, V>(query: Query<K, V>, key: K): K;
}

export interface QuerySpec<K, V> {
  readonly name: string;
  /** A string that is equal exactly for equal keys. */
  id(key: K): string;
  compute(read: Reader, key: K): V;
  /** Default: `Object.is`. Where it holds, readers are not recomputed and keep the old value. */
  equal?(a: V, b: V): boolean;
}

export interface Query<K, V> extends QuerySpec<K, V> {
  /** For the graph. */
  readonly nodes: Map<string, Node<V, K>>;
  readonly rule: Rule<V>;
}

export interface Change<K, V> {
  readonly query: Query<K, V>;
  readonly key: K;
  readonly id: string;
  /** The last value that was reported. */
  readonly before: V | undefined;
  /** `undefined` if the query threw. */
  readonly after: V | undefined;
  /** Present if the query threw: what `before` said is the last good value. */
  readonly failure?: { readonly error: unknown };
}

/** Whether a change is one of this query's. */
export function isChangeOf<K, V>(
  change: Change<unknown, unknown>,
  query: Query<K, V>,
): change is Change<K, V> {
  return change.query === query;
}

export interface GraphOptions {
  /**
   * For tests that must notice a forgotten read: return true and the read is not recorded. `reader`
   * and `source` are names of queries, collections or indexes.
   */
  readonly forget?: (reader: string, source: string, key: string) => boolean;
  /**
   * Told of every computation: whether it had another outcome than the one before, and which of the
   * sources that were read then (their names) have changed since.
   */
  readonly onCompute?: (query: string, changed: boolean, causes: readonly string[]) => void;
}

export class Graph {
  #revision = 1;
  readonly #options: GraphOptions;
  readonly #pending = new Set<Node<unknown>>();
  readonly #orphans = new Set<Source>();
  readonly #queries = new Map<Rule<unknown>, Query<unknown, unknown>>();
  readonly #nodes = new Set<Node<unknown>>();
  /** What is being computed, and what it has read so far. */
  readonly #stack: { readonly node: Node<unknown>; readonly reads: Set<Source> }[] = [];
  readonly #computed = new Map<string, number>();
  /**
   * Readers are counted, and a circle counts itself: after one was seen, all is marked and swept
   * once.
   */
  #circular = false;

  constructor(options: GraphOptions = {}) {
    this.#options = options;
  }

  /** How often each query has been computed, for counters and for tests of silence. */
  get computed(): ReadonlyMap<string, number> {
    return this.#computed;
  }

  /** How many keys of queries are held, for gauges and for tests of collection. */
  get size(): number {
    return this.#nodes.size;
  }

  collection<V>(name: string, equal: (a: V, b: V) => boolean = Object.is): Collection<V> {
    return new Collection<V>(this, name, equal);
  }

  query<K, V>(spec: QuerySpec<K, V>): Query<K, V> {
    const nodes = new Map<string, Node<V, K>>();
    const given: QuerySpec<unknown, V> = spec;
    const rule: Rule<V> = {
      compute: (self) => given.compute(this.#reader(self), self.given),
      equal: (a, b) => (spec.equal === undefined ? Object.is(a, b) : spec.equal(a, b)),
      drop: ({ key }) => nodes.delete(key),
    };
    const query = { ...spec, nodes, rule };
    this.#queries.set(rule, query);
    return query;
  }

  /**
   * Computes (or returns) a value from outside. What nobody observes is dropped at the next
   * `settle`. Throws what the query threw.
   */
  read<K, V>(query: Query<K, V>, key: K): V {
    if (this.#stack.length > 0) throw new Error(`${query.name} is read past the reader of a query`);
    const node = this.#node(query, key);
    if (node.readers === undefined && !node.observed) this.#orphans.add(node);
    this.#validate(node);
    return outcomeOf(node);
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
    if (node.readers === undefined) this.#orphans.add(node);
  }

  /** Brings all observed nodes up to date and returns those whose outcome changed (or is new). */
  settle(): readonly Change<unknown, unknown>[] {
    const changes: Change<unknown, unknown>[] = [];
    for (const node of this.#pending) {
      this.#pending.delete(node);
      this.#validate(node);
      const query = this.#queries.get(node.rule);
      if (node.changedAt <= node.reportedAt || query === undefined) continue;
      node.reportedAt = node.changedAt;
      const told = { query, key: node.given, id: node.key, before: node.reported };
      if (node.failure !== undefined) {
        changes.push({ ...told, after: undefined, failure: node.failure });
        continue;
      }
      node.reported = node.good?.value;
      changes.push({ ...told, after: node.reported });
    }
    this.#collect();
    return changes;
  }

  /**
   * Keys of all entries of collections that a key of a query was last computed from, through other
   * queries too: where an output comes from. Empty for what was not computed.
   */
  entriesOf<K, V>(query: Query<K, V>, key: K): ReadonlySet<string> {
    return entriesBelow(query.nodes.get(query.id(key)));
  }

  /** For collections, before a change: refused while a query computes. */
  changing(): void {
    if (this.#stack.length > 0) throw new Error('an input changed while a query was computing');
  }

  /** For collections: these cells have new content. */
  changed(cells: readonly Cell[]): void {
    this.#revision++;
    for (const cell of cells) {
      cell.changedAt = this.#revision;
      for (const reader of readersOf(cell)) this.#dirty(reader);
    }
  }

  #dirty(root: Node<unknown>): void {
    const unseen = root.state === 'clean';
    root.state = 'dirty';
    if (!unseen) return;
    const queue: Node<unknown>[] = [root];
    for (let node = queue.pop(); node !== undefined; node = queue.pop()) {
      if (node.observed) this.#pending.add(node);
      for (const reader of readersOf(node)) {
        if (reader.state !== 'clean') continue;
        reader.state = 'check';
        queue.push(reader);
      }
    }
  }

  #node<K, V>(query: Query<K, V>, key: K): Node<V, K> {
    const id = query.id(key);
    const known = query.nodes.get(id);
    if (known !== undefined) return known;
    const node: Node<V, K> = {
      kind: 'node',
      name: query.name,
      rule: query.rule,
      key: id,
      given: key,
      state: 'dirty',
      good: undefined,
      failure: undefined,
      changedAt: 0,
      verifiedAt: 0,
      observed: false,
      reported: undefined,
      reportedAt: 0,
      reads: [],
      readers: undefined,
    };
    query.nodes.set(id, node);
    this.#nodes.add(node);
    return node;
  }

  #reader(node: Node<unknown>): Reader {
    const record = (source: Source): void => {
      const computing = this.#stack.at(-1);
      if (computing?.node !== node) {
        throw new Error(
          `${node.name}(${node.key}) reads ${source.name} outside of its computation`,
        );
      }
      if (this.#options.forget?.(node.name, source.name, source.key)) {
        if (source.readers === undefined) this.#orphans.add(source);
        return;
      }
      computing.reads.add(source);
      addReader(source, node);
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
        record(source);
        if (source.state === 'computing') {
          this.#circular = true;
          const circle = [...this.#stack.map(({ node }) => node), source];
          throw new CycleError(circle.map((n) => `${n.name}(${n.key})`));
        }
        this.#validate(source);
        return outcomeOf(source);
      },
      same: (query, key) => query.nodes.get(query.id(key))?.given ?? key,
    };
  }

  /** Afterwards the node is clean. */
  #validate(node: Node<unknown>): void {
    if (node.state === 'clean') return;
    if (node.state !== 'check') {
      this.#compute(node);
      return;
    }
    node.state = 'checking';
    const changed = this.#readChanged(node);
    // In a circle, the node may have been computed while its reads were asked.
    if (!isChecking(node)) return;
    if (changed) {
      this.#compute(node);
      return;
    }
    node.state = 'clean';
    node.verifiedAt = this.#revision;
  }

  /**
   * Asks in the order of the reads: a pure query whose first reads are the same reads the next one
   * too.
   */
  #readChanged(node: Node<unknown>): boolean {
    for (const source of node.reads) {
      if (source.kind === 'node') {
        // A circle: only computing again tells whether it is one still.
        if (source.state === 'computing' || source.state === 'checking') return true;
        this.#validate(source);
        if (!isChecking(node)) return false;
      }
      if (source.changedAt > node.verifiedAt) return true;
    }
    return false;
  }

  #compute(node: Node<unknown>): void {
    const { reads: before, verifiedAt } = node;
    const reads = new Set<Source>();
    node.state = 'computing';
    this.#stack.push({ node, reads });
    this.#computed.set(node.name, (this.#computed.get(node.name) ?? 0) + 1);
    try {
      this.#keep(node, node.rule.compute(node));
    } catch (error) {
      if (node.failure === undefined || !sameError(node.failure.error, error)) {
        node.failure = { error };
        node.changedAt = this.#revision;
      }
    } finally {
      this.#stack.pop();
      node.state = 'clean';
      node.verifiedAt = this.#revision;
      node.reads = [...reads];
      for (const source of before) {
        if (!reads.has(source) && removeReader(source, node)) this.#orphans.add(source);
      }
      this.#tell(node, before, verifiedAt);
    }
  }

  #tell(node: Node<unknown>, before: readonly Source[], verifiedAt: number): void {
    const { onCompute } = this.#options;
    if (onCompute === undefined) return;
    const causes = before.filter((source) => source.changedAt > verifiedAt);
    const changed = node.changedAt === this.#revision;
    onCompute(node.name, changed, [...new Set(causes.map((source) => source.name))]);
  }

  #keep(node: Node<unknown>, value: unknown): void {
    const same = node.good !== undefined && node.rule.equal(node.good.value, value);
    if (same && node.failure === undefined) return;
    if (!same) node.good = { value };
    node.failure = undefined;
    node.changedAt = this.#revision;
  }

  /** Drops what nobody reads or observes any more. */
  #collect(): void {
    if (this.#circular) this.#sweep();
    for (const source of this.#orphans) {
      // Taken out first: what is dropped below may be its last reader, and puts it in again.
      this.#orphans.delete(source);
      if (source.readers !== undefined || (source.kind === 'node' && source.observed)) continue;
      if (source.kind === 'cell') {
        source.input.forget(source.key);
        continue;
      }
      source.rule.drop(source);
      this.#nodes.delete(source);
      for (const read of source.reads) if (removeReader(read, source)) this.#orphans.add(read);
      source.reads = [];
    }
  }

  /**
   * Takes the readers from every node that no observed node reaches, so that circles are dropped as
   * well.
   */
  #sweep(): void {
    const reached = new Set<Source>();
    const queue: Source[] = [...this.#nodes].filter((node) => node.observed);
    for (let source = queue.pop(); source !== undefined; source = queue.pop()) {
      if (reached.has(source)) continue;
      reached.add(source);
      if (source.kind === 'node') queue.push(...source.reads);
    }
    this.#circular = false;
    for (const node of this.#nodes) {
      if (!reached.has(node)) {
        node.readers = undefined;
        this.#orphans.add(node);
      } else if (node.failure?.error instanceof CycleError) this.#circular = true;
    }
  }
}
