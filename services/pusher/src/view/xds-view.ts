import type { Selectors } from '@watershed/model/gen/record.ts';
import { topics } from '@watershed/model/keys.ts';
import { unreadable } from '@watershed/model/schema.ts';
import { Fold, type Change } from '@watershed/log/fold.ts';
import type { ReadBatch } from '@watershed/log/port.ts';
import type { Timer } from '@watershed/runtime/clock.ts';
import { follow, type FollowOptions } from '../follow.ts';
import { Debouncer } from '../push/debounce.ts';
import { rangesOf } from './ranges.ts';
import type { Scopes } from './scopes.ts';
import { Staging, type Arrival, type Changes } from './staging.ts';

export interface XdsViewOptions extends FollowOptions {
  /** Of the topic `xds`. */
  readonly partitions: number;
  readonly scopes: Scopes;
  readonly debounceAfterMs: number;
  readonly debounceMaxMs: number;
  /** Whether endpoints are debounced as configuration is. */
  readonly edsDebounce: boolean;
  /** How long configuration waits for a partition's watermark. Default 10 s. */
  readonly cutWaitMs?: number | undefined;
  readonly onSelectors: (changed: ReadonlyMap<string, Selectors | undefined>) => void;
  readonly observer?: ViewObserver;
}

export interface ViewObserver {
  records?(count: number): void;
  /** All partitions were heard of at that time (ms since the Unix epoch) or later. */
  heard?(atMs: number): void;
  arrived?(arrival: Arrival): void;
  /** `heldMs`: how long the debounce held the first change. */
  debounced?(heldMs: number): void;
  epoch?(partition: number, epoch: number): void;
  /** A cut was made without a watermark that it should have waited for. */
  overdue?(): void;
}

/**
 * Between two takings of endpoints: in a flood of them, a view for each batch of each partition
 * would cost more than what it brings.
 */
const paceMs = 10;

/** Follows the topic `xds` and decides when what arrived becomes a cut. */
export class XdsView {
  readonly #options: XdsViewOptions;
  readonly #staging: Staging;
  readonly #debouncer: Debouncer;
  readonly #folds: readonly Fold[];
  readonly #caughtUp: boolean[];
  readonly #stop = new AbortController();
  readonly #reading: Promise<void>[] = [];
  readonly #first = Promise.withResolvers<void>();
  /** Everything that was there at the start has been read. */
  #started = false;
  /** Keys whose last records are of a later schema, until it has started. */
  readonly #unreadable = new Set<string>();
  /** The debounce is over: the next cut is made as soon as watermarks allow. */
  #due = false;
  #overdue: Timer | undefined;
  /** The epoch whose watermarks were told to be overdue; 0: none are. */
  #missed = 0;
  /** Until endpoints are taken in again, and when they were last. */
  #paced: Timer | undefined;
  #endpointsMs = Number.NEGATIVE_INFINITY;
  /** Of the last cut. */
  #epoch = 0;
  /** When each partition was last heard of; NaN: not yet. */
  readonly #heardMs: number[];

  constructor(options: XdsViewOptions) {
    this.#options = options;
    this.#staging = new Staging(options.partitions, (key) => options.scopes.find(key));
    this.#heardMs = Array.from({ length: options.partitions }, () => Number.NaN);
    this.#folds = Array.from({ length: options.partitions }, () => new Fold());
    this.#caughtUp = this.#folds.map(() => false);
    this.#debouncer = new Debouncer({
      afterMs: options.debounceAfterMs,
      maxMs: options.debounceMaxMs,
      clock: options.time,
      timers: options.time,
      fire: (heldMs) => {
        options.observer?.debounced?.(heldMs);
        this.#due = true;
        this.#cut();
      },
    });
  }

  start(): void {
    for (const partition of this.#folds.keys()) this.#reading.push(this.#read(partition));
  }

  /**
   * Resolves when the log was read to the end that it had, and the first cut is made. While a
   * record there is of a later schema, that waits: what cannot be read is not "not there".
   */
  whenReady(): Promise<void> {
    return this.#first.promise;
  }

  get ready(): boolean {
    return this.#started;
  }

  /** Why it does not start, for people; `undefined`: nothing is in the way but what is to be read. */
  get trouble(): string | undefined {
    const { size } = this.#unreadable;
    if (this.#started || size === 0) return undefined;
    return `${size} records of the log are of a later schema: this version is too old for it`;
  }

  /** The config epoch that is served: what watermarks have passed may wait for others to be quiet. */
  get epoch(): number {
    return this.#staging.ready ? this.#epoch : this.#staging.epoch;
  }

  get watermarks(): readonly number[] {
    return this.#staging.watermarks;
  }

  /**
   * How long ago the log was last heard of, in ms, in the partition where that is longest;
   * `undefined`: not yet in all of them.
   */
  get ageMs(): number | undefined {
    let heardMs = Infinity;
    for (const each of this.#heardMs) heardMs = Math.min(heardMs, each);
    return Number.isNaN(heardMs) ? undefined : this.#options.time.monotonic() - heardMs;
  }

  /** A proxy that has nothing yet does not wait for others to be quiet. */
  hurry(): void {
    if (!this.#started || this.#options.scopes.waiting.length === 0) return;
    this.#due = true;
    this.#cut();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#debouncer.cancel();
    this.#overdue?.cancel();
    this.#paced?.cancel();
    await Promise.allSettled(this.#reading);
  }

  #read(partition: number): Promise<void> {
    const fold = this.#folds[partition] ?? new Fold();
    const take = (batch: ReadBatch): void => this.#take(partition, fold, batch);
    const { signal } = this.#stop;
    return follow(this.#options, { topic: topics.xds, partition, fold, take }, signal);
  }

  #take(partition: number, fold: Fold, batch: ReadBatch): void {
    const { time, logger, observer } = this.#options;
    const nowMs = time.monotonic();
    this.#heardMs[partition] = nowMs;
    const { ageMs } = this;
    if (ageMs !== undefined) observer?.heard?.(time.now() - ageMs);
    observer?.records?.(batch.records.length);
    const arrivals = new Set<Arrival>();
    for (const change of fold.apply(batch)) {
      if (!this.#canRead(partition, change)) continue;
      try {
        arrivals.add(this.#staging.put(partition, change, nowMs));
      } catch (error) {
        // Whoever wrote it is wrong; the last good value stays.
        logger.error('a record of the xds topic cannot be read', { key: change.key, error });
      }
    }
    if (fold.caughtUp) this.#caughtUp[partition] = true;
    this.#arrived(arrivals, partition);
  }

  /** What is of a later schema changes nothing: the value from before stays. */
  #canRead(partition: number, { key, record }: Change): boolean {
    const reason = unreadable(record?.headers);
    if (reason === undefined) {
      this.#unreadable.delete(key);
      return true;
    }
    const { logger } = this.#options;
    logger.error('a record of the xds topic cannot be read', { partition, key, reason });
    if (!this.#started) this.#unreadable.add(key);
    return false;
  }

  #arrived(arrivals: ReadonlySet<Arrival>, partition: number): void {
    const { observer } = this.#options;
    for (const arrival of arrivals) observer?.arrived?.(arrival);
    if (!this.#started) {
      if (!this.#caughtUp.every(Boolean) || this.#unreadable.size > 0) return;
      this.#started = true;
      this.#due = true;
      this.#staging.begin(this.#options.time.monotonic());
      this.#cut();
      this.#first.resolve();
      return;
    }
    if (arrivals.has('watermark')) {
      observer?.epoch?.(partition, this.#staging.watermarks[partition] ?? 0);
    }
    if (arrivals.has('endpoints')) this.#endpoints();
    if (arrivals.has('config')) this.#debouncer.note();
    this.hurry();
    this.#cut();
  }

  /** At once where they are few; what comes fast is taken in together, so many times a second. */
  #endpoints(): void {
    if (this.#options.edsDebounce) {
      this.#debouncer.note();
      return;
    }
    if (this.#paced !== undefined) return;
    const { time } = this.#options;
    const restMs = this.#endpointsMs + paceMs - time.monotonic();
    const take = (): void => {
      this.#paced = undefined;
      this.#endpointsMs = time.monotonic();
      this.#apply(this.#staging.takeImmediate(), false);
    };
    if (restMs <= 0) take();
    else this.#paced = time.after(restMs, take);
  }

  #cut(): void {
    if (this.#due) {
      this.#epoch = this.#staging.epoch;
      this.#apply(this.#staging.takeCut(), false);
      this.#due = this.#staging.pending;
    }
    if (this.#missed > 0 && this.#staging.behind(this.#missed).length === 0) {
      this.#missed = 0;
      this.#options.logger.info('no watermark is overdue any more');
    }
    this.#watchOverdue();
  }

  /** A partition whose owner is gone must not hold back the others for ever. */
  #watchOverdue(): void {
    const since = this.#staging.waitingSinceMs;
    if (since === undefined) {
      this.#overdue?.cancel();
      this.#overdue = undefined;
      return;
    }
    if (this.#overdue !== undefined) return;
    const { time, cutWaitMs = 10_000 } = this.#options;
    const leftMs = since + cutWaitMs - time.monotonic();
    if (leftMs <= 0) {
      this.#serveOverdue();
      return;
    }
    this.#overdue = time.after(leftMs, () => {
      this.#overdue = undefined;
      this.#watchOverdue();
    });
  }

  #serveOverdue(): void {
    const { waitingEpoch } = this.#staging;
    const changes = this.#staging.takeOverdue();
    if (changes === undefined) return;
    // Once until they come, however much else is overdue meanwhile.
    if (this.#missed === 0) {
      this.#missed = waitingEpoch;
      const text = 'a watermark is overdue: additions are served, removals wait';
      const partitions = rangesOf(this.#staging.behind(waitingEpoch));
      this.#options.logger.warn(text, { partitions });
    }
    this.#options.observer?.overdue?.();
    this.#apply(changes, true);
  }

  #apply(changes: Changes | undefined, additive: boolean): void {
    if (changes === undefined) return;
    if (changes.selectors.size > 0) this.#options.onSelectors(changes.selectors);
    this.#options.scopes.apply(changes, this.#staging.epoch, additive);
  }
}
