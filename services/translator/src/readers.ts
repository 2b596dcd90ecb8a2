/** Reads one partition of the log for ever and keeps its fold. */
import { Fold, type Change } from '@watershed/log/fold.ts';
import { isRetriable } from '@watershed/log/port.ts';
import type { Log, LogRecord, ReadBatch } from '@watershed/log/port.ts';
import { abortable, Notice } from '@watershed/log/time.ts';
import { unreadable } from '@watershed/model/schema.ts';
import type { Time } from '@watershed/runtime/clock.ts';
import { watershedMetrics } from '@watershed/runtime/metric-names.ts';
import type { Metrics } from '@watershed/runtime/metrics.ts';
import { Gaps } from './engine/gaps.ts';
import type { Portion } from './engine/intake.ts';
import { Periods } from './engine/periods.ts';
import { retry, type RetryOptions } from './engine/retry.ts';

export interface ReaderOptions {
  readonly log: Log;
  readonly topic: string;
  readonly partition: number;
  readonly time: Time;
  readonly metrics: Metrics;
  readonly signal: AbortSignal;
  /** Told of what changed, period by period. */
  readonly apply: (portion: Portion) => void;
  /** All records of a batch that can be read, folded or not, after `apply`. */
  readonly see?: (records: readonly LogRecord[]) => void;
  /** A record of a later schema; what was there of its key stays. */
  readonly refuse: (key: string, reason: string) => void;
  /** What cannot be read is not waited for: it is said again while it is true. */
  readonly repeated?: boolean;
}

export class Reader {
  readonly #options: ReaderOptions;
  readonly #fold = new Fold();
  readonly #periods = new Periods();
  readonly #gaps = new Gaps();
  readonly #news = new Notice();
  #ended = false;
  #endAtStart = 0;
  /** How often it has begun to read again. */
  #resets = 0;
  #isCaughtUp = false;
  readonly #caughtUp = Promise.withResolvers<void>();
  /** Keys whose last records cannot be read, until it has caught up. */
  readonly #unreadable = new Set<string>();

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  /** Resolves when all is applied that was on the log when it was called, or when the reader ends. */
  async allRead(): Promise<void> {
    // A log that was put back to an older copy since may end before what was its end.
    for (let resets = -1; resets !== this.#resets && !this.#ended;) {
      resets = this.#resets;
      let news = this.#news.next();
      let end = await this.#end();
      const waits = (): boolean =>
        !this.#ended && resets === this.#resets && (this.#fold.position?.offset ?? 0) < end;
      while (waits()) {
        await news;
        news = this.#news.next();
        // What came after the call is not waited for.
        if (waits() && this.#fold.caughtUp) end = Math.min(end, await this.#end());
      }
    }
  }

  get topic(): string {
    return this.#options.topic;
  }

  get partition(): number {
    return this.#options.partition;
  }

  /**
   * Resolves when all is applied that was there when the reader started, or when the reader ends.
   * While one of them is of a later schema, it does not resolve: what cannot be read is not "not
   * there".
   */
  get caughtUp(): Promise<void> {
    return this.#caughtUp.promise;
  }

  /** Of all that is held. */
  *keys(): IterableIterator<string> {
    for (const [key] of this.#fold.entries()) yield key;
  }

  /** Offsets between the reader and the end; 0 if that cannot be told now. */
  async lag(): Promise<number> {
    const { log, topic, partition } = this.#options;
    const end = await log.end(topic, partition).catch(() => undefined);
    const at = this.#fold.position?.offset ?? 0;
    return end === undefined ? 0 : Math.max(0, end.offset - at);
  }

  /**
   * Reads until the signal aborts, through outages of the log. Rejects on what does not pass: then
   * the process cannot go on.
   */
  async run(): Promise<void> {
    const { signal } = this.#options;
    const options = this.#retrying;
    try {
      this.#endAtStart = await this.#end();
      await retry(() => this.#read(), options);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      this.#caughtUp.resolve();
      this.#ended = true;
      this.#news.tell();
    }
  }

  get #retrying(): RetryOptions {
    const { time, signal } = this.#options;
    return { timers: time, signal, retriable: isRetriable };
  }

  async #read(): Promise<void> {
    const { log, topic, partition, signal, metrics, apply, see, repeated } = this.#options;
    const read = metrics.counter(watershedMetrics.recordsRead).with({ topic });
    for await (const batch of log.read(topic, partition, this.#fold.position, signal)) {
      if (batch.reset !== undefined) this.#resets++;
      for (const portion of this.#portions(batch)) apply(portion);
      see?.(batch.records.filter(({ headers }) => unreadable(headers) === undefined));
      this.#news.tell();
      read.add(batch.records.length);
      if (!this.#fold.caughtUp || this.#isCaughtUp) continue;
      // Its end came before the one that was asked for: it may have been put back since.
      if (batch.position.offset < this.#endAtStart) this.#endAtStart = await this.#end();
      const isRead = repeated === true || this.#unreadable.size === 0;
      this.#isCaughtUp = isRead && batch.position.offset >= this.#endAtStart;
      if (this.#isCaughtUp) this.#caughtUp.resolve();
    }
  }

  async #end(): Promise<number> {
    const { log, topic, partition, signal } = this.#options;
    const end = retry(() => log.end(topic, partition), this.#retrying);
    return (await abortable(end, signal)).offset;
  }

  *#portions(whole: ReadBatch): Generator<Portion, void, void> {
    for (const { batch, height } of this.#periods.split(whole)) {
      const changes = this.#fold.apply(batch).filter((change) => this.#canRead(change));
      const isUnfinished = this.#gaps.see(batch) || this.#fold.isReadingAgain;
      yield { changes, end: batch.position.offset, height, isUnfinished };
    }
  }

  #canRead({ key, record }: Change): boolean {
    const reason = unreadable(record?.headers);
    if (reason === undefined) {
      this.#unreadable.delete(key);
      return true;
    }
    this.#unreadable.add(key);
    this.#options.refuse(key, reason);
    return false;
  }
}
