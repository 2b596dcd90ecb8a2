/**
 * Shared resources: each is computed while some manifest lists it (or a listed one follows it), by
 * the shard that owns its partition.
 */
import type { Digest } from '@watershed/blob/port.ts';
import type { Change, Graph } from '@watershed/derive/graph.ts';
import type { SharedResource } from '@watershed/model/gen/record.ts';
import { partitionOf, xdsKeys } from '@watershed/model/keys.ts';
import { digestText } from '../bytes.ts';
import type { Plans, ResourceKey, ResourcePlan } from '../plan.ts';
import { resourceId } from '../plan.ts';
import { contentOf, recordOf, versionOf } from './builder.ts';
import type { Builder, Content } from './builder.ts';
import { GeneratorError } from './cache.ts';
import { Deadlines } from './deadlines.ts';
import type { Diagnostics } from './diagnostics.ts';
import { OversizeError } from './published.ts';
import type { Published } from './published.ts';

export interface Ownership {
  /** Of the topics `endpoints` and `xds` alike. */
  readonly partitions: number;
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
  /** By how many manifests and followers. */
  listed: number;
  plan: ResourcePlan | undefined;
  /** The last good one: of this process, or read back from the log. */
  content: Content | undefined;
  version: Digest | undefined;
  dropped: boolean;
}

export class Resources {
  readonly #options: ResourcesOptions;
  readonly #entries = new Map<string, Entry>();
  /** Spares the making of ids: keys come again and again, in each manifest that lists them. */
  readonly #byKey = new WeakMap<ResourceKey, Entry>();
  /** By the id of a followed resource: ids of those that follow it. Scopes are followers too. */
  readonly #followers = new Map<string, Set<string>>();
  readonly #unlisted = new Deadlines<string>();
  readonly #dirty = new Set<string>();

  /** What the log holds and nobody lists by the end of the grace is taken back. */
  constructor(options: ResourcesOptions, nowMs: number) {
    this.#options = options;
    for (const recordKey of options.published.keys()) {
      const held = options.published.get(recordKey);
      if (held?.$case === 'resource') this.#restore(recordKey, held.value, nowMs);
    }
  }

  #restore(recordKey: string, resource: SharedResource, nowMs: number): void {
    const { typeUrl, name, variant } = resource;
    const partition = this.#options.published.partitionOf(recordKey) ?? 0;
    const entry = this.#create({ typeUrl, name, variant }, recordKey, partition);
    entry.content = contentOf(resource);
    entry.version = digestText(resource.version);
    this.#unlisted.set(entry.id, nowMs + this.#options.graceMs);
    // Up to date for as long as it stays, as if this process had published it.
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
      version: undefined,
      dropped: false,
    };
    this.#entries.set(id, created);
    this.#byKey.set(key, created);
    return created;
  }

  get size(): number {
    return this.#entries.size;
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

  list(key: ResourceKey): void {
    const entry =
      this.#find(key) ??
      this.#create(
        key,
        xdsKeys.resource(key.typeUrl, key.name, key.variant),
        partitionOf(key.host ?? key.name, this.#options.partitions),
      );
    entry.listed++;
    if (entry.listed > 1) return;
    this.#unlisted.delete(entry.id);
    this.#options.graph.observe(this.#options.plans.shared, entry.key);
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

  /** Whether a manifest may list it: it is on the log, or will be, or is another shard's. */
  available(key: ResourceKey): boolean {
    const entry = this.#find(key);
    return entry !== undefined && (!this.#owns(entry) || entry.content !== undefined);
  }

  /** `undefined`: not computed here. */
  version(key: ResourceKey): Digest | undefined {
    return this.#find(key)?.version;
  }

  /** From now on `follower` follows `after`, where it followed `before`. */
  follow(
    follower: string,
    before: readonly ResourceKey[],
    after: readonly ResourceKey[],
    nowMs: number,
  ): void {
    const gone = new Map(before.map((key) => [resourceId(key), key]));
    for (const key of after) {
      const id = resourceId(key);
      if (gone.delete(id)) continue;
      const followers = this.#followers.get(id) ?? new Set();
      if (followers.has(follower)) continue;
      this.#followers.set(id, followers.add(follower));
      this.list(key);
    }
    for (const [id, key] of gone) {
      const followers = this.#followers.get(id);
      if (followers?.delete(follower) === true) this.unlist(key, nowMs);
      if (followers?.size === 0) this.#followers.delete(id);
    }
  }

  changed(change: Change<ResourceKey, ResourcePlan | undefined>, nowMs: number): void {
    const entry = this.#find(change.key);
    if (entry === undefined) return;
    if (change.failure !== undefined) {
      this.#fail(entry, change.failure.error);
      return;
    }
    const before = entry.plan?.follows ?? [];
    entry.plan = change.after;
    const isGone = change.after === undefined && entry.listed === 0;
    // It went while no process was there to see it.
    if (isGone && this.isWhole(entry.key.typeUrl)) this.#unlisted.set(entry.id, nowMs);
    this.follow(entry.id, before, entry.plan?.follows ?? [], nowMs);
    this.#dirty.add(entry.id);
  }

  /**
   * Generates what changed. Gives the followers outside (scopes) whose versions may have changed.
   */
  async build(pause: () => Promise<void>): Promise<ReadonlySet<string>> {
    const built: Entry[] = [];
    for (const id of this.#dirty) {
      this.#dirty.delete(id);
      const entry = this.#entries.get(id);
      if (entry === undefined || !this.#owns(entry)) continue;
      this.#build(entry);
      built.push(entry);
      await pause();
    }
    return this.#reversion(built);
  }

  #build(entry: Entry): void {
    const { builder, diagnostics } = this.#options;
    // Its inputs are gone: whoever lists it will stop to, and until then it stays as it was.
    if (entry.plan === undefined) {
      diagnostics.clear(entry.id);
      return;
    }
    try {
      const built = builder.build(entry.plan);
      entry.content = built.content;
      diagnostics.set(entry.id, { warning: built.diagnostics });
    } catch (error) {
      if (!(error instanceof GeneratorError)) throw error;
      this.#fail(entry, error);
    }
  }

  #fail(entry: Entry, error: unknown): void {
    const { graph, plans, blame } = this.#options;
    if (!this.#owns(entry)) return;
    blame(graph.entriesOf(plans.shared, entry.key), entry.id, error);
  }

  readonly #staged = new Set<Entry>();

  /** Computes the versions of these and of all that follow them. */
  #reversion(built: readonly Entry[]): ReadonlySet<string> {
    const affected = new Set(built.map((entry) => entry.id));
    const outside = new Set<string>();
    for (const id of affected) {
      if (!this.#entries.has(id)) outside.add(id);
      for (const follower of this.#followers.get(id) ?? []) affected.add(follower);
    }
    const known = new Map<string, Digest | undefined>();
    for (const id of affected) {
      const entry = this.#entries.get(id);
      if (entry === undefined) continue;
      this.#computeVersion(entry, affected, known);
      this.#staged.add(entry);
    }
    return outside;
  }

  #computeVersion(
    entry: Entry,
    affected: ReadonlySet<string>,
    known: Map<string, Digest | undefined>,
  ): Digest | undefined {
    if (known.has(entry.id)) return known.get(entry.id);
    // In a circle of followers, each counts without what it is asked from.
    known.set(entry.id, undefined);
    const { content, plan } = entry;
    if (content === undefined || plan === undefined) {
      known.set(entry.id, entry.version);
      return entry.version;
    }
    const follows = plan.follows.map((key) => {
      const followed = this.#find(key);
      if (followed === undefined) return '';
      if (!affected.has(followed.id)) return followed.version ?? '';
      return this.#computeVersion(followed, affected, known) ?? '';
    });
    entry.version = versionOf(content.fragments, follows);
    known.set(entry.id, entry.version);
    return entry.version;
  }

  /** Stages the records of all that was built since the last call; gives how many are new. */
  stage(epoch: number): number {
    const { published } = this.#options;
    let count = 0;
    for (const entry of this.#staged) {
      const { content, version, plan } = entry;
      if (content === undefined || version === undefined || plan === undefined) continue;
      const record = { $case: 'resource', value: recordOf(entry.key, content, version) } as const;
      const at = this.#epochOf(entry, plan, epoch);
      try {
        if (published.put(entry.partition, entry.recordKey, record, at)) count++;
      } catch (error) {
        if (!(error instanceof OversizeError)) throw error;
        this.#fail(entry, error);
      }
    }
    this.#staged.clear();
    return count;
  }

  /**
   * What bypasses epochs has epoch 0, or that of the last change of what it follows: until a pusher
   * has come to that epoch, the new assignment must not overtake the new cluster.
   */
  #epochOf(entry: Entry, plan: ResourcePlan, epoch: number): number {
    if (!plan.bypassesEpochs) return epoch;
    if (plan.follows.length === 0) return 0;
    const { published } = this.#options;
    const held = published.get(entry.recordKey);
    if (held?.$case !== 'resource') return epoch;
    const follows = plan.follows.map((key) => this.version(key) ?? '');
    const unchanged = versionOf(contentOf(held.value).fragments, follows);
    return unchanged === digestText(held.value.version)
      ? published.epochOf(entry.recordKey)
      : epoch;
  }

  /**
   * Takes back what nobody has listed for the grace, unless `keep`: then it is asked again later.
   */
  expire(nowMs: number, keep: boolean): void {
    if (keep) return;
    for (let due = this.#unlisted.take(nowMs); due.length > 0; due = this.#unlisted.take(nowMs)) {
      for (const id of due) this.#drop(id, nowMs);
    }
  }

  #drop(id: string, nowMs: number): void {
    const { graph, plans, published, diagnostics, graceMs } = this.#options;
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.listed > 0) return;
    graph.unobserve(plans.shared, entry.key);
    // What only this one followed has been of no use for as long.
    this.follow(id, entry.plan?.follows ?? [], [], nowMs - graceMs);
    published.remove(entry.recordKey);
    diagnostics.clear(id);
    this.#entries.delete(id);
    entry.dropped = true;
    this.#dirty.delete(id);
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

  #owns(entry: Entry): boolean {
    return this.#options.owned.has(entry.partition);
  }
}
