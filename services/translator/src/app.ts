/**
 * The translator: what the log says of config and endpoints, made into what the log and the blob
 * store say of proxies' resources.
 *
 *     config, endpoints, feedback ─► readers ─► engine (plans, generators) ─► blobs, then xds
 */
import type { BlobStore } from '@watershed/blob/port.ts';
import type { Log, ReadBatch } from '@watershed/log/port.ts';
import { topics } from '@watershed/model/keys.ts';
import type { Time, Timer } from '@watershed/runtime/clock.ts';
import type { DebugPage } from '@watershed/runtime/http.ts';
import type { Part } from '@watershed/runtime/lifecycle.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import { watershedMetrics } from '@watershed/runtime/metric-names.ts';
import type { Metrics } from '@watershed/runtime/metrics.ts';
import type { Readiness } from '@watershed/runtime/readiness.ts';
import type { Tracing } from '@watershed/runtime/tracing.ts';
import { digestText } from './bytes.ts';
import type { Assertion } from './engine/cache.ts';
import { readFeedback } from './engine/demand.ts';
import { Engine } from './engine/engine.ts';
import type { EngineOptions } from './engine/engine.ts';
import { LogOutputs } from './outputs.ts';
import type { PlansOf } from './plan.ts';
import { Reader } from './readers.ts';

export interface TranslatorOptions {
  readonly log: Log;
  readonly blobs: BlobStore;
  /** Of the topics `endpoints` and `xds` alike. */
  readonly partitions: number;
  /** Those that this shard owns. Default: all. */
  readonly owned?: ReadonlySet<number>;
  /** Of the topic `feedback`; every shard reads all of it. Default 1. */
  readonly feedbackPartitions?: number;
  /** Who writes, for people who read the log: the process's name. */
  readonly writer: string;
  readonly plans: PlansOf;
  readonly time: Time;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly tracing: Tracing;
  readonly readiness: Readiness;
  /** PILOT_XDS_CACHE_SIZE */
  readonly cacheEntries: number;
  readonly assertion: Assertion;
  /** How long what nobody wants any more stays on the log. Default 5 minutes. */
  readonly graceMs?: number;
  /** How often blobs that no record names are dropped. 0: never. Default 10 minutes. */
  readonly retainMs?: number;
  /**
   * Called at most once, when it cannot go on: another process owns its partitions now, or the log
   * is gone.
   */
  readonly onFatal: (error: unknown) => void;
  /** For tests. */
  readonly mutant?: NonNullable<EngineOptions['mutant']>;
}

export interface Translator extends Part {
  readonly start: () => Promise<void>;
  readonly stop: () => Promise<void>;
  /** Offsets that are on the log and not yet read. */
  readonly lag: () => Promise<number>;
  readonly engine: Engine;
  readonly pages: readonly DebugPage[];
}

const defaultGraceMs = 300_000;
const defaultRetainMs = 600_000;
const lagEveryMs = 10_000;

/**
 * It is ready (token `translator`) when all that was on the log at the start is read and its
 * outputs are on the log. `start` resolves when reading has begun; `stop` lets go of the log and
 * the blobs, which stay open.
 */
export function createTranslator(options: TranslatorOptions): Translator {
  const translator = new TranslatorPart(options);
  return {
    name: 'translator',
    start: () => translator.start(),
    stop: () => translator.stop(),
    lag: () => translator.lag(),
    engine: translator.engine,
    pages: [translatorPage(translator.engine)],
  };
}

class TranslatorPart {
  readonly engine: Engine;
  readonly #options: TranslatorOptions;
  readonly #owned: ReadonlySet<number>;
  readonly #signal = new AbortController();
  readonly #readers = new Map<string, Reader>();
  #running: Promise<unknown> = Promise.resolve();
  #outputs: LogOutputs | undefined;
  #lagTimer: Timer | undefined;
  #failed = false;

  constructor(options: TranslatorOptions) {
    this.#options = options;
    const { partitions, time } = options;
    this.#owned = options.owned ?? new Set(Array.from({ length: partitions }, (_, at) => at));
    this.engine = new Engine({
      ...options,
      owned: this.#owned,
      clock: time,
      timers: time,
      graceMs: options.graceMs ?? defaultGraceMs,
      retainMs: options.retainMs ?? defaultRetainMs,
      onFatal: (error) => this.#fail(error),
    });
  }

  async start(): Promise<void> {
    const ready = this.#options.readiness.expect('translator');
    const { engine } = this;
    this.#read(topics.config, [0], (changes, end) => engine.apply('config', changes, end));
    this.#read(topics.endpoints, this.#owned, (changes, end) =>
      engine.apply('endpoints', changes, end),
    );
    this.#read(
      topics.feedback,
      Array.from({ length: this.#options.feedbackPartitions ?? 1 }, (_, at) => at),
      (changes) => engine.feedback(changes),
      (batch) => this.#seeMissing(batch),
    );
    const runs = [...this.#readers.values()].map((reader) => reader.run());
    this.#running = Promise.all([...runs, this.#begin(ready)]).catch((error: unknown) => {
      this.#fail(error);
    });
    this.#measureLag();
  }

  async stop(): Promise<void> {
    this.#signal.abort();
    this.#lagTimer?.cancel();
    await this.engine.close();
    await this.#running;
    await this.#outputs?.close();
  }

  async lag(): Promise<number> {
    let lag = 0;
    for (const reader of this.#readers.values()) lag += await reader.lag();
    return lag;
  }

  /**
   * Only a shard that has read all there was takes the partitions over: its word is then as good.
   */
  async #begin(ready: () => void): Promise<void> {
    for (const reader of this.#readers.values()) await reader.caughtUp;
    const { signal } = this.#signal;
    if (signal.aborted) return;
    try {
      this.#outputs = await LogOutputs.open(
        { ...this.#options, owned: this.#owned, signal },
        (reason) => this.#fail(reason),
      );
      await this.engine.start(this.#outputs);
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
    const { scopes, resources } = this.engine.statistics;
    const { epoch } = this.engine;
    this.#options.logger.info('all that was on the log is translated', {
      epoch,
      scopes,
      resources,
    });
    ready();
  }

  #read(
    topic: string,
    partitions: Iterable<number>,
    apply: ConstructorParameters<typeof Reader>[0]['apply'],
    see?: (batch: ReadBatch) => void,
  ): void {
    for (const partition of partitions) {
      const reader = new Reader({
        ...this.#options,
        topic,
        partition,
        signal: this.#signal.signal,
        apply,
        ...(see === undefined ? {} : { see }),
      });
      this.#readers.set(`${topic} ${partition}`, reader);
    }
  }

  /** Asked again, the same digests are no change to a fold, but a new question. */
  #seeMissing(batch: ReadBatch): void {
    for (const { value } of batch.records) {
      const read = value === undefined ? undefined : readFeedback(value);
      if (read?.kind === 'missing') this.engine.missing(read.digests.map(digestText));
    }
  }

  #fail(error: unknown): void {
    if (this.#failed || this.#signal.signal.aborted) return;
    this.#failed = true;
    this.#options.logger.error('the translator cannot go on', { error });
    this.#signal.abort();
    this.#options.onFatal(error);
  }

  #measureLag(): void {
    const { time, metrics } = this.#options;
    this.#lagTimer = time.after(lagEveryMs, () => {
      void this.#setLag(metrics).then(() => {
        if (!this.#signal.signal.aborted) this.#measureLag();
      });
    });
  }

  async #setLag(metrics: Metrics): Promise<void> {
    const family = metrics.gauge(watershedMetrics.lagRecords);
    for (const [name, reader] of this.#readers) {
      const [topic = '', partition = ''] = name.split(' ');
      family.with({ topic, partition }).set(await reader.lag());
    }
  }
}

function translatorPage(engine: Engine): DebugPage {
  return {
    path: '/debug/translator',
    doc: 'what the translator holds, and what is wrong with objects as far as it can tell',
    handle: () => ({
      epoch: engine.epoch,
      statistics: engine.statistics,
      diagnostics: engine.findings,
    }),
  };
}
