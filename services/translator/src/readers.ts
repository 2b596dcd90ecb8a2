/** Reads one partition of the log for ever and keeps its fold. */
import { Fold } from '@watershed/log/fold.ts';
import { LogError } from '@watershed/log/port.ts';
import type { Log, ReadBatch } from '@watershed/log/port.ts';
import { Notice } from '@watershed/log/time.ts';
import type { Time } from '@watershed/runtime/clock.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import { watershedMetrics } from '@watershed/runtime/metric-names.ts';
import type { Metrics } from '@watershed/runtime/metrics.ts';
import type { Portion } from './engine/intake.ts';
import { Periods } from './engine/periods.ts';
import { retry, type RetryOptions } from './engine/retry.ts';

export interface ReaderOptions {
  readonly log: Log;
  readonly topic: string;
  readonly partition: number;
  readonly time: Time;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly signal: AbortSignal;
  /** Told of what changed, period by period. */
  readonly apply: (portion: Portion) => void;
  /** All records of a batch, folded or not, after `apply`. */
  readonly see?: (batch: ReadBatch) => void;
}

export class Reader {
  readonly #options: ReaderOptions;
  readonly #fold = new Fold();
  readonly #periods = new Periods();
  readonly #news = new Notice();
  #ended = false;
  #endAtStart = 0;
  /** How often it has begun to read again. */
  #resets = 0;
  #isCaughtUp = false;
  readonly #caughtUp = Promise.withResolvers<void>();

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  /** Resolves when all is applied that was on the log when it was called, or when the reader ends. */
  async allRead(): Promise<void> {
    // The end of a log that was put back to an older copy since may never be reached.
    for (let resets = -1; resets !== this.#resets && !this.#ended;) {
      resets = this.#resets;
      const offset = await this.#end();
      const waits = (): boolean => !this.#ended && resets === this.#resets;
      while (waits() && (this.#fold.position?.offset ?? 0) < offset) await this.#news.next();
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
    const { time, logger, signal, topic, partition } = this.#options;
    return {
      timers: time,
      signal,
      retriable: (error) => error instanceof LogError && error.retriable,
      onRetry: (error, attempt) => {
        const level = attempt === 1 ? 'warn' : 'debug';
        logger[level]('the log cannot be read, trying again', { topic, partition, attempt, error });
      },
    };
  }

  async #read(): Promise<void> {
    const { log, topic, partition, signal, metrics, apply, see } = this.#options;
    const read = metrics.counter(watershedMetrics.recordsRead).with({ topic });
    for await (const batch of log.read(topic, partition, this.#fold.position, signal)) {
      if (batch.reset !== undefined) this.#resets++;
      for (const portion of this.#portions(batch)) apply(portion);
      see?.(batch);
      this.#news.tell();
      read.add(batch.records.length);
      if (!this.#fold.caughtUp || this.#isCaughtUp) continue;
      // Its end came before the one that was asked for: it may have been put back since.
      if (batch.position.offset < this.#endAtStart) this.#endAtStart = await this.#end();
      this.#isCaughtUp = batch.position.offset >= this.#endAtStart;
      if (this.#isCaughtUp) this.#caughtUp.resolve();
    }
  }

  async #end(): Promise<number> {
    const { log, topic, partition } = this.#options;
    return (await retry(() => log.end(topic, partition), this.#retrying)).offset;
  }

  *#portions(whole: ReadBatch): Generator<Portion, void, void> {
    for (const { batch, height } of this.#periods.split(whole)) {
      const changes = this.#fold.apply(batch);
      const isUnfinished = this.#fold.isReadingAgain;
      yield { changes, end: batch.position.offset, height, isUnfinished };
    }
  }
}
