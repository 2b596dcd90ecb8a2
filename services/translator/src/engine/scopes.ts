/**
 * Scopes: each is computed while some pusher asks for it, and for a grace after that; its manifest
 * is published by the shard that owns the scope's partition. All demanded scopes are looked at,
 * because they tell which shared resources are listed.
 */
import { digestOf } from '@watershed/blob/digest.ts';
import type { Digest } from '@watershed/blob/port.ts';
import { scopeId } from '@watershed/blob/scope-id.ts';
import type { Change } from '@watershed/derive/graph.ts';
import { ManifestContent } from '@watershed/model/gen/record.ts';
import type { Manifest, ScopeClass } from '@watershed/model/gen/record.ts';
import { partitionOf, xdsKeys } from '@watershed/model/keys.ts';
import { digestBytes, digestText } from '../bytes.ts';
import { deepFreeze } from '../freeze.ts';
import type { Inputs } from '../inputs.ts';
import type { ManifestPlan, ResourceKey } from '../plan.ts';
import type { BlobWriter } from './blob-writer.ts';
import { Deadlines } from './deadlines.ts';
import type { Demanded } from './demand.ts';
import { buildManifest, DuplicateNameError, ownOf } from './manifest.ts';
import type { BuiltManifest, Own } from './manifest.ts';
import type { Resources, ResourcesOptions } from './resources.ts';

export interface ScopesOptions extends Omit<ResourcesOptions, 'graceMs'> {
  readonly inputs: Inputs;
  readonly resources: Resources;
  readonly blobs: BlobWriter;
  /** Reads a manifest of an earlier process back; `undefined` if the store has lost it. */
  readonly readBlob: (digest: Digest) => Promise<Uint8Array | undefined>;
  /** How long a scope that nobody asks for any more is still computed. */
  readonly graceMs: number;
}

interface Entry {
  readonly id: string;
  readonly scopeClass: ScopeClass;
  readonly partition: number;
  readonly recordKey: string;
  /** Feedback records that ask for it, and until when. */
  readonly demands: Map<string, number>;
  plan: ManifestPlan | undefined;
  /** `undefined`: not known; what the log holds is of an earlier process. */
  own: Own | undefined;
  /** Of the manifest on the log. */
  digest: Digest | undefined;
  /** Listed on behalf of the manifest on the log, while the scope has failed. */
  kept: readonly ResourceKey[] | undefined;
}

export class Scopes {
  readonly #options: ScopesOptions;
  readonly #entries = new Map<string, Entry>();
  /** Scope by feedback record. */
  readonly #demands = new Map<string, string>();
  readonly #lapses = new Deadlines<string>();
  readonly #dirty = new Set<string>();
  /**
   * Never seen before, and not yet to be shown: absence says nothing before the sources are synced.
   */
  readonly #held = new Set<string>();
  /** Their manifests leave out what does not exist yet, or may list it (see `Resources`). */
  readonly #waiting = new Set<string>();
  /** The manifest on the log stays, and so does what it lists. */
  readonly #failed = new Set<string>();
  #staged: { readonly entry: Entry; readonly record: Manifest }[] = [];

  constructor(options: ScopesOptions) {
    this.#options = options;
  }

  /** A partition is this shard's now: its manifests on the log stay for the grace, asked for or not. */
  gain(partition: number, nowMs: number): void {
    const { published, graceMs } = this.#options;
    for (const key of published.keysOf(partition)) {
      const held = published.get(key);
      if (held?.$case !== 'manifest' || held.value.scopeClass === undefined) continue;
      const entry = this.#want(scopeId(held.value.scopeClass), held.value.scopeClass);
      entry.digest = digestText(held.value.content);
      if (entry.demands.size === 0) this.#lapses.set(entry.id, nowMs + graceMs);
    }
    for (const entry of this.#of(partition)) this.#dirty.add(entry.id);
    // Of what failed scopes list, more may be this shard's now.
    for (const id of this.#failed) {
      const entry = this.#entries.get(id);
      if (entry !== undefined) this.#give(entry, nowMs);
    }
  }

  /** What the plans of all scopes list, of whatever shard; one of several comes several times. */
  *listed(): IterableIterator<ResourceKey> {
    for (const { plan } of this.#entries.values()) {
      for (const { shared } of plan?.types ?? []) yield* shared;
    }
  }

  /** Another shard's word counts from now on. */
  lose(partition: number, nowMs: number): void {
    const { diagnostics } = this.#options;
    for (const entry of this.#of(partition)) {
      this.#give(entry, nowMs);
      entry.own = undefined;
      entry.digest = undefined;
      diagnostics.clear(placeOf(entry));
      for (const set of [this.#dirty, this.#held, this.#waiting]) set.delete(entry.id);
    }
    this.#staged = this.#staged.filter(({ entry }) => entry.partition !== partition);
  }

  *#of(partition: number): IterableIterator<Entry> {
    for (const entry of this.#entries.values()) if (entry.partition === partition) yield entry;
  }

  /** What was listed on behalf of the manifest on the log is not any more. */
  #give(entry: Entry, nowMs: number): void {
    for (const key of entry.kept ?? []) this.#options.resources.unlist(key, nowMs);
    entry.kept = undefined;
  }

  get size(): number {
    return this.#entries.size;
  }

  get held(): ReadonlySet<string> {
    return this.#held;
  }

  /** When the next one lapses. */
  get nextDueMs(): number | undefined {
    return this.#lapses.next();
  }

  /** One record of the topic `feedback`; `undefined`: it was taken back. */
  demand(record: string, demanded: Demanded | undefined, nowMs: number): void {
    const before = this.#demands.get(record);
    if (before !== undefined && before !== demanded?.scope) {
      this.#demands.delete(record);
      const entry = this.#entries.get(before);
      entry?.demands.delete(record);
      if (entry !== undefined) this.#schedule(entry, nowMs);
    }
    if (demanded === undefined || demanded.expiresMs + this.#options.graceMs <= nowMs) return;
    const entry = this.#want(demanded.scope, demanded.scopeClass);
    this.#demands.set(record, entry.id);
    entry.demands.set(record, demanded.expiresMs);
    this.#schedule(entry, nowMs);
  }

  #want(id: string, scopeClass: ScopeClass): Entry {
    const known = this.#entries.get(id);
    if (known !== undefined) return known;
    const { graph, plans, inputs, partitions } = this.#options;
    const entry: Entry = {
      id,
      scopeClass: deepFreeze(scopeClass),
      partition: partitionOf(id, partitions),
      recordKey: xdsKeys.manifest(id),
      demands: new Map(),
      plan: undefined,
      own: undefined,
      digest: undefined,
      kept: undefined,
    };
    this.#entries.set(id, entry);
    inputs.demand.set(id, entry.scopeClass);
    graph.observe(plans.manifest, entry.scopeClass);
    return entry;
  }

  #schedule(entry: Entry, nowMs: number): void {
    const expiresMs = Math.max(nowMs, ...entry.demands.values());
    this.#lapses.set(entry.id, expiresMs + this.#options.graceMs);
  }

  changed(change: Change<ScopeClass, ManifestPlan>, nowMs: number): void {
    const entry = this.#entries.get(scopeId(change.key));
    if (entry === undefined) return;
    if (change.failure !== undefined) {
      this.#fail(entry, change.failure.error);
      return;
    }
    const before = entry.plan;
    entry.plan = change.after;
    this.#relist(entry, before, nowMs);
    this.#dirty.add(entry.id);
  }

  /** What the new plan lists is listed before what the old one listed is given up. */
  #relist(entry: Entry, before: ManifestPlan | undefined, nowMs: number): void {
    const { resources } = this.#options;
    const kept = new Set<readonly ResourceKey[]>(before?.types.map((type) => type.shared));
    for (const { shared } of entry.plan?.types ?? []) {
      if (kept.delete(shared)) continue;
      for (const key of shared) resources.list(key);
    }
    for (const shared of kept) for (const key of shared) resources.unlist(key, nowMs);
  }

  /** Builds manifests of scopes that changed. */
  async build(synced: boolean, nowMs: number, pause: () => Promise<void>): Promise<void> {
    for (const id of this.#waiting) this.#dirty.add(id);
    if (synced) for (const id of this.#held) this.#dirty.add(id);
    for (const id of this.#dirty) {
      this.#dirty.delete(id);
      const entry = this.#entries.get(id);
      if (entry?.plan === undefined || !this.#owns(entry)) continue;
      if (!synced && !this.#options.published.has(entry.recordKey)) {
        this.#held.add(id);
        continue;
      }
      this.#held.delete(id);
      await this.#build(entry, entry.plan, nowMs);
      await pause();
    }
    await this.#relistFailed();
  }

  async #build(entry: Entry, plan: ManifestPlan, nowMs: number): Promise<void> {
    const { builder, resources, diagnostics } = this.#options;
    try {
      let built = buildManifest(plan, entry.own ?? new Map(), builder, resources);
      if (built.lacks && entry.own === undefined && entry.digest !== undefined) {
        const last = await this.#last(entry.digest);
        if (last === undefined) {
          // The last good manifest is known by its digest alone: the whole of it stays.
          this.#fail(entry, built.errors[0]);
          return;
        }
        built = buildManifest(plan, ownOf(last), builder, resources);
      }
      this.#keep(entry, built, nowMs);
      if (built.errors.length > 0) this.#blame(entry, built.errors[0]);
      else diagnostics.set(placeOf(entry), { warning: built.diagnostics });
    } catch (error) {
      if (error instanceof DuplicateNameError) this.#fail(entry, error);
      else throw error;
    }
  }

  #keep(entry: Entry, built: BuiltManifest, nowMs: number): void {
    entry.own = built.own;
    this.#failed.delete(entry.id);
    this.#give(entry, nowMs);
    if (built.waits) this.#waiting.add(entry.id);
    else this.#waiting.delete(entry.id);
    const bytes = ManifestContent.encode(built.content).finish();
    const digest = digestOf(bytes);
    this.#options.blobs.add({ digest, bytes });
    entry.digest = digest;
    const { id: scope, scopeClass } = entry;
    this.#staged.push({ entry, record: { scope, content: digestBytes(digest), scopeClass } });
  }

  async #last(digest: Digest): Promise<ManifestContent | undefined> {
    const bytes = await this.#options.readBlob(digest);
    return bytes === undefined ? undefined : ManifestContent.decode(bytes);
  }

  #fail(entry: Entry, error: unknown): void {
    this.#failed.add(entry.id);
    this.#blame(entry, error);
  }

  #blame(entry: Entry, error: unknown): void {
    const { graph, plans, blame } = this.#options;
    if (!this.#owns(entry)) return;
    blame(graph.entriesOf(plans.manifest, entry.scopeClass), placeOf(entry), error);
  }

  /** Lists what the manifests of failed scopes list, so that it is not taken back. */
  async #relistFailed(): Promise<void> {
    for (const id of this.#failed) {
      const entry = this.#entries.get(id);
      if (entry?.digest === undefined || entry.kept !== undefined || !this.#owns(entry)) continue;
      const last = await this.#last(entry.digest);
      entry.kept = last?.types
        .flatMap(({ typeUrl, shared }) =>
          shared.map((ref) => ({ typeUrl, name: ref.name, variant: ref.variant })),
        )
        .filter((key) => this.#options.resources.keep(key));
    }
  }

  /** Some manifest on the log stays, and what it lists is not known: nothing may be taken back. */
  get listsUnknown(): boolean {
    for (const id of this.#failed) {
      const entry = this.#entries.get(id);
      if (entry?.digest !== undefined && entry.kept === undefined && this.#owns(entry)) return true;
    }
    return false;
  }

  /** Stages the manifests that were built since the last call; gives how many are new. */
  stage(epoch: number): number {
    let count = 0;
    for (const { entry, record } of this.#staged) {
      const content = { $case: 'manifest', value: record } as const;
      const { partition, recordKey } = entry;
      if (this.#options.published.put(partition, recordKey, content, epoch)) count++;
    }
    this.#staged = [];
    return count;
  }

  /** Takes back what nobody has asked for since the grace. */
  expire(nowMs: number): void {
    const { graph, plans, inputs, published, diagnostics } = this.#options;
    for (const id of this.#lapses.take(nowMs)) {
      const entry = this.#entries.get(id);
      if (entry === undefined) continue;
      for (const record of entry.demands.keys()) this.#demands.delete(record);
      const before = entry.plan;
      entry.plan = undefined;
      this.#relist(entry, before, nowMs);
      this.#give(entry, nowMs);
      graph.unobserve(plans.manifest, entry.scopeClass);
      inputs.demand.delete(id);
      if (this.#owns(entry)) published.remove(entry.recordKey);
      diagnostics.clear(placeOf(entry));
      this.#entries.delete(id);
      for (const set of [this.#dirty, this.#held, this.#waiting, this.#failed]) set.delete(id);
    }
  }

  /** Of some manifest on the log, what it names is not known. */
  get digestsUnknown(): boolean {
    for (const { digest, own } of this.#entries.values()) {
      if (digest !== undefined && own === undefined) return true;
    }
    return false;
  }

  /** Digests of all that the manifests on the log name, as far as that is known. */
  *digests(): IterableIterator<Digest> {
    for (const { digest, own } of this.#entries.values()) {
      if (digest === undefined) continue;
      yield digest;
      for (const { fragments } of own?.values() ?? []) yield* fragments;
    }
  }

  /** Generates again what has one of these digests; gives those that were made. */
  *again(wanted: ReadonlySet<Digest>): IterableIterator<Digest> {
    const { builder } = this.#options;
    for (const { plan, own, digest } of this.#entries.values()) {
      if (plan === undefined || own === undefined) continue;
      for (const each of plan.types.flatMap((type) => type.own)) yield* builder.again(each, wanted);
      if (digest !== undefined && wanted.has(digest)) yield* this.#manifestAgain(plan, own);
    }
  }

  *#manifestAgain(plan: ManifestPlan, own: Own): IterableIterator<Digest> {
    const { builder, resources, blobs } = this.#options;
    try {
      const { content } = buildManifest(plan, own, builder, resources);
      const bytes = ManifestContent.encode(content).finish();
      blobs.add({ digest: digestOf(bytes), bytes });
      yield digestOf(bytes);
    } catch (error) {
      // The plan does not make the manifest that stays; that was told when it came.
      if (!(error instanceof DuplicateNameError)) throw error;
    }
  }

  #owns(entry: Entry): boolean {
    return this.#options.owned.has(entry.partition);
  }
}

/** Where diagnostics of the scope are found. */
function placeOf(entry: Entry): string {
  return `scope ${entry.id}`;
}
