/**
 * The translator: what the log says of config and endpoints, made into what the log and the blob
 * store say of proxies' resources.
 *
 *     config, endpoints, feedback ─► readers ─► engine (plans, generators) ─► blobs, then xds
 */
import type { BlobStore } from '@watershed/blob/port.ts';
import { soleMember, type PartitionGroup } from '@watershed/log/group.ts';
import { LogError, type Log, type LogRecord } from '@watershed/log/port.ts';
import { abortable, within } from '@watershed/log/time.ts';
import { topics } from '@watershed/model/keys.ts';
import type { Time, Timer } from '@watershed/runtime/clock.ts';
import type { DebugPage } from '@watershed/runtime/debug-pages.ts';
import type { Part } from '@watershed/runtime/lifecycle.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import { watershedMetrics } from '@watershed/runtime/metric-names.ts';
import type { Metrics } from '@watershed/runtime/metrics.ts';
import type { Readiness } from '@watershed/runtime/readiness.ts';
import type { Tracing } from '@watershed/runtime/tracing.ts';
import { digestText } from './bytes.ts';
import type { Assertion } from './engine/cache.ts';
import { readFeedback } from './engine/demand.ts';
import { shown } from './engine/diagnostics.ts';
import { Engine } from './engine/engine.ts';
import type { EngineOptions } from './engine/engine.ts';
import type { Portion } from './engine/intake.ts';
import { Losses } from './losses.ts';
import { LogOutputs } from './outputs.ts';
import { Partitions } from './partitions.ts';
import type { PlansOf } from './plan.ts';
import { Reader } from './readers.ts';
import { meshPages } from './mesh-pages.ts';
import { registryPages } from './registry-pages.ts';

export interface TranslatorOptions {
  readonly log: Log;
  readonly blobs: BlobStore;
  /** Of the topics `endpoints` and `xds` alike. */
  readonly partitions: number;
  /** Tells which of them are this shard's. Default: all are. */
  readonly group?: PartitionGroup;
  /** Of the topic `feedback`; every shard reads all of it. Default 1. */
  readonly feedbackPartitions?: number;
  /** Who writes, for people who read the log: the process's name. */
  readonly writer: string;
  /** Unique for ever; see `OwnedPartitionOptions`. */
  readonly newClaimId?: () => string;
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
/** For the last pass; what a log that is away does not take, the next owner appends. */
const lastAppendMs = 4_000;

/** Partitions are mostly taken over sooner: what takes longer is told. */
const lateMs = 10_000;

/** A shard that lost what the group says is its own has not heard the newest word yet, or is alone. */
const takeAgainMs = 10_000;

/**
 * It is ready when all that was on the log at the start is read (token `translator-log`), when the
 * blob store has worked once (`translator-blobs`), and when the outputs of the partitions that it
 * was given first are on the log (`translator-partitions`). Until the first two it takes none.
 * `start` resolves when reading has begun; `stop` lets go of the log and the blobs, which stay
 * open.
 */
export function createTranslator(options: TranslatorOptions): Translator {
  const translator = new TranslatorPart(options);
  return {
    name: 'translator',
    start: () => translator.start(),
    stop: () => translator.stop(),
    lag: () => translator.lag(),
    engine: translator.engine,
    pages: [
      ...pagesOf(translator.engine),
      ...registryPages(translator.engine.inputs),
      ...meshPages(translator.engine.inputs),
    ],
  };
}

class TranslatorPart {
  readonly engine: Engine;
  readonly #options: TranslatorOptions;
  readonly #group: PartitionGroup;
  readonly #signal = new AbortController();
  /** Of what every shard reads. */
  readonly #common: Reader[] = [];
  readonly #outputs: LogOutputs;
  readonly #partitions: Partitions;
  readonly #losses: Losses;
  #running: Promise<unknown> = Promise.resolve();
  #lagTimer: Timer | undefined;
  #takeAgain: Timer | undefined;
  #failed = false;
  #measured: readonly Reader[] = [];

  constructor(options: TranslatorOptions) {
    this.#options = options;
    this.#group = options.group ?? soleMember(options.partitions);
    const { time, metrics } = options;
    this.engine = new Engine({
      ...options,
      clock: time,
      timers: time,
      graceMs: options.graceMs ?? defaultGraceMs,
      retainMs: options.retainMs ?? defaultRetainMs,
      allRead: (partitions) => this.#allRead(partitions),
      onFatal: (error) => this.#fail(error),
    });
    this.#losses = new Losses(time, options.logger);
    this.#outputs = new LogOutputs({ ...options, signal: this.#signal.signal });
    const owned = metrics.gauge(watershedMetrics.partitionsOwned).with();
    this.#partitions = new Partitions({
      engine: this.engine,
      outputs: this.#outputs,
      clock: time,
      read: (partition, signal) =>
        this.#reader(topics.endpoints, partition, signal, (portion) =>
          this.engine.apply('endpoints', partition, portion),
        ),
      allRead: async () => this.#common[0]?.allRead(),
      onLost: (reason) => this.#lost(reason),
      onError: (error) => this.#fail(error),
      onOwned: (count) => owned.set(count),
    });
  }

  async start(): Promise<void> {
    const { readiness, feedbackPartitions = 1 } = this.#options;
    const read = readiness.expect('translator-log');
    const { reached } = this.#options.blobs;
    if (reached !== undefined) void reached.then(readiness.expect('translator-blobs'));
    const owned = readiness.expect('translator-partitions');
    readiness.remark(() => this.#arrears());
    const { engine } = this;
    const { signal } = this.#signal;
    this.#common.push(
      this.#reader(topics.config, 0, signal, (portion) => engine.apply('config', 0, portion)),
    );
    for (let partition = 0; partition < feedbackPartitions; partition++) {
      const apply = ({ changes }: Portion): void => engine.feedback(changes);
      const see = (records: readonly LogRecord[]): void => this.#seeMissing(records);
      this.#common.push(this.#reader(topics.feedback, partition, signal, apply, see));
    }
    const runs = this.#common.map((reader) => reader.run());
    this.#running = Promise.all([...runs, this.#begin(read, owned)]).catch((error: unknown) => {
      this.#fail(error);
    });
    this.#measureLag();
  }

  async stop(): Promise<void> {
    this.#signal.abort();
    this.#lagTimer?.cancel();
    this.#takeAgain?.cancel();
    this.#losses.tell();
    await within(this.#options.time, lastAppendMs, this.engine.close());
    await this.#partitions.close();
    // Behind the last append: the next owner has nothing to wait for.
    await this.#group.leave();
    await this.#running;
  }

  async lag(): Promise<number> {
    const lags = await Promise.all([...this.#readers()].map((reader) => reader.lag()));
    return lags.reduce((sum, lag) => sum + lag, 0);
  }

  async #begin(read: () => void, owned: () => void): Promise<void> {
    for (const reader of this.#common) await reader.caughtUp;
    if (this.#signal.signal.aborted) return;
    this.engine.start(this.#outputs);
    read();
    const { blobs, logger, metrics } = this.#options;
    // Who cannot store what it makes must not keep partitions from those that can.
    if (blobs.reached !== undefined) await abortable(blobs.reached, this.#signal.signal);
    const assigned = metrics.gauge(watershedMetrics.partitionsAssigned).with();
    let first = true;
    this.#group.join((partitions) => {
      assigned.set(partitions.size);
      void this.#partitions.assign(partitions).then(() => {
        if (this.#signal.signal.aborted) return;
        const { epoch, statistics } = this.engine;
        const { scopes, resources } = statistics;
        const count = this.engine.owned.size;
        logger.info('partitions are translated', { partitions: count, epoch, scopes, resources });
        if (first) owned();
        first = false;
      });
    });
  }

  /** What its group has given to it is translated by nobody meanwhile. */
  #arrears(): string | undefined {
    const { count, forMs } = this.#partitions.arrears;
    if (count === 0 || forMs < lateMs) return undefined;
    return `${count} partitions are not taken over for ${Math.round(forMs / 1_000)} s`;
  }

  #reader(
    topic: string,
    partition: number,
    signal: AbortSignal,
    apply: ConstructorParameters<typeof Reader>[0]['apply'],
    see?: (records: readonly LogRecord[]) => void,
  ): Reader {
    return new Reader({
      ...this.#options,
      topic,
      partition,
      signal,
      apply,
      refuse: (key, reason) => this.#refuse(topic, key, reason),
      ...(see === undefined ? {} : { see, repeated: true }),
    });
  }

  #refuse(topic: string, key: string, reason: string): void {
    this.#options.logger.error('a record cannot be read', { topic, key, reason });
    if (topic !== topics.feedback) this.engine.refuse(key, reason);
  }

  *#readers(): IterableIterator<Reader> {
    yield* this.#common;
    yield* this.#partitions.readers.values();
  }

  async #allRead(partitions: ReadonlySet<number>): Promise<void> {
    const readers = [...this.#readers()].filter(
      ({ topic, partition }) =>
        topic === topics.config || (topic === topics.endpoints && partitions.has(partition)),
    );
    // A reader that has ended knows no more.
    await Promise.all(readers.map((reader) => reader.allRead().catch(() => undefined)));
  }

  /**
   * Who is alone must end: somebody runs it twice. Else the group's next word settles it. Where the
   * log is another one, nobody has taken what this shard had.
   */
  #lost(reason: unknown): void {
    if (this.#signal.signal.aborted) return;
    const known = reason instanceof LogError && this.#group.shared ? reason : undefined;
    if (known?.code === 'other-log') {
      this.#losses.add('partitions are taken over again', known);
      void this.#partitions.again();
    } else if (known?.code === 'fenced') {
      this.#losses.add('another shard has taken partitions', known);
      this.#takeAgain ??= this.#options.time.after(takeAgainMs, () => {
        this.#takeAgain = undefined;
        void this.#partitions.again();
      });
    } else this.#fail(reason);
  }

  /** Asked again, the same digests are no change to a fold, but a new question. */
  #seeMissing(records: readonly LogRecord[]): void {
    for (const { value } of records) {
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
    const set = ({ topic, partition }: Reader, lag: number): void =>
      family.with({ topic, partition: String(partition) }).set(lag);
    const read = [...this.#readers()];
    // What was given up is another shard's lag now.
    for (const reader of this.#measured) set(reader, 0);
    await Promise.all(read.map(async (reader) => set(reader, await reader.lag())));
    this.#measured = read;
  }
}

function pagesOf(engine: Engine): readonly DebugPage[] {
  return [
    {
      path: '/debug/translator',
      doc: 'what the translator holds',
      handle: () => ({ epoch: engine.epoch, statistics: engine.statistics }),
    },
    {
      path: '/debug/diagnosticz',
      doc: 'What is wrong with what proxies get, by object, as far as the translator can tell.',
      handle: () => engine.findings.map(shown),
    },
  ];
}
