/**
 * A shard: it knows what the log holds of the partitions that it owns (which come and go), and
 * works passes:
 *
 *     settle ─► build resources ─► build manifests ─► put blobs ─► append records
 *
 * Blobs are stored before a record names them, shared resources come before the manifests that list
 * them, and a watermark is the last record of its partition.
 */
import type { BlobStore, Digest } from '@watershed/blob/port.ts';
import { isChangeOf } from '@watershed/derive/graph.ts';
import type { Graph } from '@watershed/derive/graph.ts';
import { xdsKeys } from '@watershed/model/keys.ts';
import type { Clock } from '@watershed/runtime/clock.ts';
import { describeError } from '@watershed/runtime/errors.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import { watershedMetrics } from '@watershed/runtime/metric-names.ts';
import type { Counter, Metrics } from '@watershed/runtime/metrics.ts';
import { injectTraceparent, noTracing } from '@watershed/runtime/tracing.ts';
import type { Tracing } from '@watershed/runtime/tracing.ts';
import type { Inputs } from '../inputs.ts';
import type { Plans } from '../plan.ts';
import type { BlobWriter } from './blob-writer.ts';
import type { Builder } from './builder.ts';
import type { GeneratorCache } from './cache.ts';
import type { Causes } from './causes.ts';
import type { Demanded } from './demand.ts';
import type { Diagnostics } from './diagnostics.ts';
import { Published } from './published.ts';
import type { Gained, Outputs } from './published.ts';
import { Resources } from './resources.ts';
import type { Ownership } from './resources.ts';
import { Scopes } from './scopes.ts';
import { SelectorTable } from './selectors.ts';
import type { Turns } from './turns.ts';

export interface ShardOptions extends Ownership {
  readonly graph: Graph;
  readonly inputs: Inputs;
  readonly plans: Plans;
  readonly builder: Builder;
  readonly cache: GeneratorCache;
  readonly blobs: BlobWriter;
  readonly store: BlobStore;
  readonly readBlob: (digest: Digest) => Promise<Uint8Array | undefined>;
  readonly diagnostics: Diagnostics;
  readonly clock: Clock;
  readonly turns: Turns;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly tracing: Tracing;
  readonly graceMs: number;
  readonly retainMs: number;
  /** To be settled, between passes, when all is read that is on the log of these partitions now. */
  readonly onDoubt: (partitions: ReadonlySet<number>, settle: () => void) => void;
}

/** What one pass is about. */
export interface Work {
  readonly epoch: number;
  /** All sources have been listed to the end: what was never seen before may be shown. */
  readonly synced: boolean;
  readonly causes: Causes;
  /** Digests that the blob store has lost. */
  readonly missing: ReadonlySet<Digest>;
}

/** Of objects that one failure is told of. */
const maxBlamed = 8;
/** When to look again at what could not be taken back. */
const lookAgainMs = 10_000;

export class Shard {
  readonly #options: ShardOptions;
  readonly #published: Published;
  readonly #resources: Resources;
  readonly #scopes: Scopes;
  readonly #selectors: SelectorTable;
  /** By partition: the epoch of its last watermark. */
  readonly #told = new Map<number, number>();
  readonly #lost: Counter;
  #causes: Causes | undefined;
  #retainDueMs: number;
  #retained: ReadonlySet<Digest> = new Set();

  constructor(options: ShardOptions, outputs: Outputs) {
    this.#options = options;
    const published = new Published(outputs);
    const blame = (entries: ReadonlySet<string>, at: string, error: unknown): void =>
      this.#blame(entries, at, error);
    const common = { ...options, published, blame };
    this.#published = published;
    this.#resources = new Resources(common);
    this.#scopes = new Scopes({ ...common, resources: this.#resources });
    this.#selectors = new SelectorTable(common);
    this.#lost = options.metrics.counter(watershedMetrics.lostBlobs).with();
    this.#retainDueMs = options.clock.now() + options.retainMs;
  }

  /** Owns these partitions from now on; not to be called within a pass. */
  gain(gained: readonly Gained[]): void {
    const nowMs = this.#options.clock.now();
    for (const { partition, current } of gained) this.#published.gain(partition, current);
    const partitions = new Set(gained.map(({ partition }) => partition));
    this.#resources.gain(partitions, this.#scopes.listed(), nowMs);
    for (const partition of partitions) {
      this.#scopes.gain(partition, nowMs);
      this.#selectors.gain(partition);
    }
  }

  /** Does not own it any more; not to be called within a pass. */
  lose(partition: number): void {
    this.#scopes.lose(partition, this.#options.clock.now());
    this.#resources.lose(partition);
    this.#selectors.lose(partition);
    this.#told.delete(partition);
    this.#published.lose(partition);
  }

  /** Scopes that are computed, and those of them that are not yet shown. */
  get scopes(): { readonly size: number; readonly held: ReadonlySet<string> } {
    return this.#scopes;
  }

  get resources(): number {
    return this.#resources.size;
  }

  /** When there is something to do that no event tells of. */
  get nextDueMs(): number | undefined {
    const { clock, retainMs } = this.#options;
    const resources = this.#scopes.listsUnknown
      ? clock.now() + lookAgainMs
      : this.#resources.nextDueMs;
    const retain = retainMs > 0 ? this.#retainDueMs : undefined;
    const due = [resources, this.#scopes.nextDueMs, retain].filter((ms) => ms !== undefined);
    return due.length === 0 ? undefined : Math.min(...due);
  }

  demand(record: string, demanded: Demanded | undefined): void {
    this.#scopes.demand(record, demanded, this.#options.clock.now());
  }

  wantSelectors(namespace: string): void {
    this.#selectors.want(namespace);
  }

  unwantSelectors(namespace: string): void {
    this.#selectors.unwant(namespace);
  }

  /**
   * Rejects only if the shard cannot go on: it is not the owner any more, or a generator is impure.
   */
  async pass(work: Work): Promise<void> {
    const { tracing, metrics, clock } = this.#options;
    const span = (work.causes.keys.size > 0 ? tracing : noTracing).start(
      'translate',
      work.causes.span,
    );
    this.#causes = work.causes;
    try {
      await this.#build(work, span.traceparent);
      const staged = this.#stage(work);
      const appended = await this.#published.flush(injectTraceparent({}, span));
      span.set('watershed.epoch', work.epoch);
      span.set('watershed.records', appended);
      const { sinceMs } = work.causes;
      if (staged > 0 && sinceMs !== undefined) {
        const seconds = metrics
          .histogram(watershedMetrics.stageSeconds)
          .with({ stage: 'translate' });
        seconds.observe(Math.max(0, clock.now() - sinceMs) / 1_000);
      }
      metrics.gauge(watershedMetrics.scopes).with().set(this.#scopes.size);
      await this.#retain();
    } catch (error) {
      span.fail(error);
      throw error;
    } finally {
      span.end();
    }
  }

  async #build(work: Work, trace: string | undefined): Promise<void> {
    const { blobs, turns, clock } = this.#options;
    const nowMs = clock.now();
    turns.begin();
    this.#settle(nowMs);
    const pause = async (): Promise<void> => {
      if (blobs.full) await blobs.flush(trace);
      await turns.pause();
    };
    await this.#resources.build(pause);
    const { partitions, settle } = this.#resources.takeDoubts();
    if (partitions.size > 0) this.#options.onDoubt(partitions, settle);
    await this.#scopes.build(work.synced, nowMs, pause);
    this.#regenerate(work.missing);
    await blobs.flush(trace);
  }

  /** A new manifest lists new resources, which are then computed too. */
  #settle(nowMs: number): void {
    const { graph, plans } = this.#options;
    for (let changes = graph.settle(); changes.length > 0; changes = graph.settle()) {
      for (const change of changes) {
        if (isChangeOf(change, plans.shared)) this.#resources.changed(change, nowMs);
        if (isChangeOf(change, plans.manifest)) this.#scopes.changed(change, nowMs);
        if (isChangeOf(change, plans.selectors)) this.#selectors.changed(change);
      }
    }
  }

  #regenerate(missing: ReadonlySet<Digest>): void {
    if (missing.size === 0) return;
    const made = new Set([...this.#resources.again(missing), ...this.#scopes.again(missing)]);
    const lost = new Set<Digest>();
    // All shards are asked, also for what another's records name, or none any more.
    for (const digest of this.#named()) {
      if (missing.has(digest) && !made.has(digest)) lost.add(digest);
    }
    if (lost.size === 0) return;
    this.#lost.add(lost.size);
    this.#options.logger.warn('blobs that nothing makes any more are missing', {
      count: lost.size,
    });
  }

  /** Digests of all that this shard's records name, as far as that is known. */
  *#named(): IterableIterator<Digest> {
    yield* this.#resources.digests();
    yield* this.#scopes.digests();
  }

  /** Gives how many records tell of outputs; the watermark is none. */
  #stage({ epoch, synced }: Work): number {
    const nowMs = this.#options.clock.now();
    let staged = this.#resources.stage(epoch);
    staged += this.#scopes.stage(epoch);
    staged += this.#selectors.stage(epoch, synced);
    this.#scopes.expire(nowMs);
    this.#resources.expire(nowMs, this.#scopes.listsUnknown);
    this.#published.bringTo(epoch);
    this.#tell(epoch);
    return staged;
  }

  /** Watermarks: of partitions whose last one tells of another epoch. */
  #tell(epoch: number): void {
    const { owned, metrics } = this.#options;
    for (const partition of epoch > 0 ? owned : []) {
      if (this.#told.get(partition) === epoch) continue;
      this.#told.set(partition, epoch);
      const watermark = { $case: 'watermark', value: { partition, epoch } } as const;
      this.#published.put(partition, xdsKeys.watermark(partition), watermark, epoch);
      metrics
        .gauge(watershedMetrics.epoch)
        .with({ partition: String(partition) })
        .set(epoch);
    }
  }

  /**
   * Gives up blobs that no record names now, or named the last time: pushers may be that far
   * behind.
   */
  async #retain(): Promise<void> {
    const { clock, retainMs, owned, partitions, store, cache, logger } = this.#options;
    const nowMs = clock.now();
    if (retainMs === 0 || nowMs < this.#retainDueMs) return;
    this.#retainDueMs = nowMs + retainMs;
    // What other shards name is not known here.
    if (this.#scopes.digestsUnknown || (owned.size < partitions && !store.shared)) return;
    const live = new Set([...this.#named(), ...cache.digests()]);
    const before = this.#retained;
    this.#retained = live;
    // The first time, what an earlier process named is not known.
    if (before.size === 0 && !store.shared) return;
    try {
      await store.retain(new Set([...live, ...before]));
    } catch (error) {
      logger.warn('blobs that are not needed could not be dropped', { error });
    }
  }

  /**
   * Tells the objects that a failed output is made of: those that changed just now, or else all of
   * them if they are few.
   */
  #blame(entries: ReadonlySet<string>, at: string, error: unknown): void {
    const { diagnostics, logger } = this.#options;
    const cause = describeError(error);
    const reason = `internal error: ${cause}; what proxies have of it stays`;
    const before = diagnostics.at(at).filter((finding) => finding.severity === 'error');
    let objects = [...entries].filter((key) => this.#causes?.keys.has(key) === true);
    if (objects.length === 0) objects = before.map((finding) => finding.object);
    if (objects.length === 0 && entries.size <= maxBlamed) objects = [...entries];
    if (objects.length === 0) objects = [''];
    const blamed = objects.slice(0, maxBlamed);
    diagnostics.set(at, {
      error: blamed.map((object) => ({ object, field: '', value: '', reason })),
    });
    if (before.length > 0) return;
    logger.warn('an output keeps its last good value', {
      output: at,
      reason: cause,
      objects: blamed,
    });
  }
}
