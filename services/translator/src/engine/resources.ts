/**
 * Shared resources: each is computed while some manifest lists it, by the shard that owns its
 * partition. Of the others a shard holds nothing: what manifests list is looked through again when
 * a partition becomes its own.
 */
import type { Digest } from '@watershed/blob/port.ts';
import type { Change, Graph } from '@watershed/derive/graph.ts';
import type { SharedResource } from '@watershed/model/gen/record.ts';
import { partitionOf, xdsKeys } from '@watershed/model/keys.ts';
import type { Plans, ResourceKey, ResourcePlan } from '../plan.ts';
import { resourceId } from '../plan.ts';
import { contentOf, recordOf } from './builder.ts';
import type { Builder, Content } from './builder.ts';
import { GeneratorError } from './cache.ts';
import { Deadlines } from './deadlines.ts';
import type { Diagnostics } from './diagnostics.ts';
import { OversizeError } from './published.ts';
import type { Published } from './published.ts';

export interface Ownership {
  /** Of the topics `endpoints` and `xds` alike. */
  readonly partitions: number;
  /** Changes while the shard runs, but never within a pass. */
  readonly owned: ReadonlySet<number>;
}

export interface ResourcesOptions extends Ownership {
  readonly graph: Graph;
  readonly plans: Plans;
  readonly builder: Builder;
  readonly published: Published;
  readonly diagnostics: Diagnostics;
  /** How long what nobody lists any more stays: pushers on an older cut still use it. */
  readonly graceMs: number;
  /** Whom to tell of a failure: the user's objects that the output is made of. */
  readonly blame: (entries: ReadonlySet<string>, at: string, error: unknown) => void;
}

interface Entry {
  readonly key: ResourceKey;
  readonly id: string;
  readonly recordKey: string;
  readonly partition: number;
  /** By how many manifests. */
  listed: number;
  plan: ResourcePlan | undefined;
  /** The last good one: of this process, or read back from the log. */
  content: Content | undefined;
  /** That it is empty is no accident of what was read first. */
  trulyEmpty: boolean;
  /** How often it was found to be full: what settles a doubt from before says nothing any more. */
  filled: number;
  dropped: boolean;
}

export class Resources {
  readonly #options: ResourcesOptions;
  readonly #entries = new Map<string, Entry>();
  /** Spares the making of ids: keys come again and again, in each manifest that lists them. */
  readonly #byKey = new WeakMap<ResourceKey, Entry>();
  readonly #unlisted = new Deadlines<string>();
  readonly #dirty = new Set<string>();
  readonly #staged = new Set<Entry>();
  /** Gained in this pass: all of them was read. */
  readonly #fresh = new Set<number>();
  #doubtful: Entry[] = [];
  /** In doubt, and never published: it will be, full or empty. */
  readonly #coming = new Set<Entry>();

  constructor(options: ResourcesOptions) {
    this.#options = options;
  }

  /**
   * Partitions are this shard's now: what the log holds and nobody lists goes after the grace.
   * `listed`: what all manifests list.
   */
  gain(partitions: ReadonlySet<number>, listed: Iterable<ResourceKey>, nowMs: number): void {
    const { published } = this.#options;
    for (const partition of partitions) {
      for (const recordKey of published.keysOf(partition)) {
        const held = published.get(recordKey);
        if (held?.$case === 'resource') this.#restore(recordKey, partition, held.value, nowMs);
      }
      this.#fresh.add(partition);
    }
    for (const key of listed) if (partitions.has(this.#partitionOf(key))) this.list(key);
  }

  /** Another shard's word counts from now on. */
  lose(partition: number): void {
    const { graph, plans, diagnostics } = this.#options;
    for (const entry of this.#of(partition)) {
      graph.unobserve(plans.shared, entry.key);
      diagnostics.clear(entry.id);
      this.#forget(entry);
    }
  }

  *#of(partition: number): IterableIterator<Entry> {
    for (const entry of this.#entries.values()) if (entry.partition === partition) yield entry;
  }

  #restore(recordKey: string, partition: number, resource: SharedResource, nowMs: number): void {
    const { typeUrl, name, variant } = resource;
    const key = { typeUrl, name, variant };
    const entry = this.#find(key) ?? this.#create(key, recordKey, partition);
    entry.content = contentOf(resource);
    if (entry.listed > 0) return;
    this.#unlisted.set(entry.id, nowMs + this.#options.graceMs);
    // Up to date for as long as it stays, as if this process had published it.
    this.#observe(entry);
  }

  #observe(entry: Entry): void {
    this.#options.graph.observe(this.#options.plans.shared, entry.key);
  }

  #create(key: ResourceKey, recordKey: string, partition: number): Entry {
    const id = resourceId(key);
    const created: Entry = {
      key,
      id,
      recordKey,
      partition,
      listed: 0,
      plan: undefined,
      content: undefined,
      trulyEmpty: false,
      filled: 0,
      dropped: false,
    };
    this.#entries.set(id, created);
    this.#byKey.set(key, created);
    return created;
  }

  /** Of the shard's own partitions. */
  get size(): number {
    return this.#entries.size;
  }

  #partitionOf(key: ResourceKey): number {
    return partitionOf(key.host ?? key.name, this.#options.partitions);
  }

  #find(key: ResourceKey): Entry | undefined {
    const known = this.#byKey.get(key);
    if (known !== undefined && !known.dropped) return known;
    const entry = this.#entries.get(resourceId(key));
    if (entry !== undefined) this.#byKey.set(key, entry);
    return entry;
  }

  /** When the next one is to be taken back. */
  get nextDueMs(): number | undefined {
    return this.#unlisted.next();
  }

  /** What is another shard's is left to it. */
  list(key: ResourceKey): void {
    const partition = this.#partitionOf(key);
    if (!this.#options.owned.has(partition)) return;
    const recordKey = xdsKeys.resource(key.typeUrl, key.name, key.variant);
    this.#count(this.#find(key) ?? this.#create(key, recordKey, partition));
  }

  /** Lists what is known here already: `key` need not tell whose it is. `false`: it is not. */
  keep(key: ResourceKey): boolean {
    const entry = this.#find(key);
    if (entry !== undefined) this.#count(entry);
    return entry !== undefined;
  }

  #count(entry: Entry): void {
    entry.listed++;
    if (entry.listed > 1) return;
    this.#unlisted.delete(entry.id);
    this.#observe(entry);
  }

  unlist(key: ResourceKey, nowMs: number): void {
    const entry = this.#find(key);
    if (entry === undefined) return;
    entry.listed--;
    if (entry.listed > 0) return;
    // Who has all of a type is told by the tombstone alone that it has no more of this one.
    const graceMs = this.isWhole(key.typeUrl) ? 0 : this.#options.graceMs;
    this.#unlisted.set(entry.id, nowMs + graceMs);
  }

  /** Whether scopes have all or nothing of a type. */
  isWhole(typeUrl: string): boolean {
    return this.#options.plans.whole?.has(typeUrl) === true;
  }

  /**
   * Whether a manifest may list it: it is on the log, or will be, or is another shard's. Pushers
   * hold a scope until what it lists is there: shown without its assignment, a cluster would not
   * warm, and be routed to.
   */
  available(key: ResourceKey): boolean {
    const entry = this.#find(key);
    if (entry !== undefined) return entry.content !== undefined || this.#coming.has(entry);
    return !this.#options.owned.has(this.#partitionOf(key));
  }

  /** Something may be listed that is not there yet: should it fail, manifests must not list it. */
  get hasComing(): boolean {
    return this.#coming.size > 0;
  }

  changed(change: Change<ResourceKey, ResourcePlan | undefined>, nowMs: number): void {
    const entry = this.#find(change.key);
    if (entry === undefined) return;
    if (change.failure !== undefined) {
      this.#fail(entry, change.failure.error);
      return;
    }
    entry.plan = change.after;
    const isGone = change.after === undefined && entry.listed === 0;
    // It went while no process was there to see it.
    if (isGone && this.isWhole(entry.key.typeUrl)) this.#unlisted.set(entry.id, nowMs);
    this.#dirty.add(entry.id);
  }

  /** Generates what changed. */
  async build(pause: () => Promise<void>): Promise<void> {
    for (const id of this.#dirty) {
      this.#dirty.delete(id);
      const entry = this.#entries.get(id);
      if (entry === undefined || this.#doubts(entry)) continue;
      this.#build(entry);
      this.#staged.add(entry);
      await pause();
    }
  }

  /**
   * Whether something that looks empty may only look so: its endpoints, or that its service is
   * gone, are on the log and not read yet. The last good stays until that is known.
   */
  #doubts(entry: Entry): boolean {
    const empty = entry.plan?.empty === true;
    if (empty && !entry.trulyEmpty && !this.#fresh.has(entry.partition)) {
      this.#doubtful.push(entry);
      if (entry.content === undefined) this.#coming.add(entry);
      return true;
    }
    this.#coming.delete(entry);
    entry.trulyEmpty = empty;
    if (!empty) entry.filled++;
    return false;
  }

  /**
   * What is doubted since the last call: the partitions, and what to do when all that was on the
   * log of them (and of `config`) is read.
   */
  takeDoubts(): { readonly partitions: ReadonlySet<number>; readonly settle: () => void } {
    const doubts = this.#doubtful.map((entry) => ({ entry, filled: entry.filled }));
    this.#doubtful = [];
    const settle = (): void => {
      for (const { entry, filled } of doubts) {
        if (entry.dropped || entry.filled !== filled) continue;
        entry.trulyEmpty = true;
        this.#dirty.add(entry.id);
      }
    };
    return { partitions: new Set(doubts.map(({ entry }) => entry.partition)), settle };
  }

  #build(entry: Entry): void {
    const { builder, diagnostics } = this.#options;
    // Its inputs are gone: whoever lists it will stop to, and until then it stays as it was.
    if (entry.plan === undefined) {
      diagnostics.clear(entry.id);
      return;
    }
    try {
      const built = builder.build(entry.plan, true);
      entry.content = built.content;
      diagnostics.set(entry.id, { warning: built.diagnostics });
    } catch (error) {
      if (!(error instanceof GeneratorError)) throw error;
      this.#fail(entry, error);
    }
  }

  #fail(entry: Entry, error: unknown): void {
    const { graph, plans, blame } = this.#options;
    blame(graph.entriesOf(plans.shared, entry.key), entry.id, error);
  }

  /** Stages the records of all that was built since the last call; gives how many are new. */
  stage(epoch: number): number {
    const { published } = this.#options;
    let count = 0;
    for (const entry of this.#staged) {
      const { content, plan } = entry;
      if (content === undefined || plan === undefined) continue;
      const record = { $case: 'resource', value: recordOf(entry.key, content) } as const;
      try {
        const at = plan.bypassesEpochs ? 0 : epoch;
        if (published.put(entry.partition, entry.recordKey, record, at)) count++;
      } catch (error) {
        if (!(error instanceof OversizeError)) throw error;
        this.#fail(entry, error);
      }
    }
    this.#staged.clear();
    this.#fresh.clear();
    return count;
  }

  /**
   * Takes back what nobody has listed for the grace, unless `keep`: then it is asked again later.
   */
  expire(nowMs: number, keep: boolean): void {
    if (keep) return;
    for (const id of this.#unlisted.take(nowMs)) {
      const entry = this.#entries.get(id);
      if (entry === undefined || entry.listed > 0) continue;
      const { graph, plans, published, diagnostics } = this.#options;
      graph.unobserve(plans.shared, entry.key);
      published.remove(entry.recordKey);
      diagnostics.clear(id);
      this.#forget(entry);
    }
  }

  #forget(entry: Entry): void {
    this.#entries.delete(entry.id);
    this.#unlisted.delete(entry.id);
    entry.dropped = true;
    this.#dirty.delete(entry.id);
    this.#coming.delete(entry);
    this.#staged.delete(entry);
  }

  /** Digests of all that the log's records name. */
  *digests(): IterableIterator<Digest> {
    for (const { content } of this.#entries.values()) yield* content?.fragments ?? [];
  }

  /** Generates again what has one of these digests; gives those that were made. */
  *again(wanted: ReadonlySet<Digest>): IterableIterator<Digest> {
    for (const { plan, content } of this.#entries.values()) {
      if (plan === undefined || content?.fragments.some((digest) => wanted.has(digest)) !== true) {
        continue;
      }
      yield* this.#options.builder.again(plan, wanted);
    }
  }
}
