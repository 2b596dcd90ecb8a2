/**
 * The ingester: what the users' sources hold, made into normalised events on the log.
 *
 *     sources ─► ingest (last good, holds, emit queries) ─► publisher ─► config, endpoints, history
 */
import { Graph } from '@watershed/derive/graph.ts';
import { LogError, type Log } from '@watershed/log/port.ts';
import { abortable } from '@watershed/log/time.ts';
import { topics } from '@watershed/model/keys.ts';
import type { Time } from '@watershed/runtime/clock.ts';
import type { Dependency } from '@watershed/runtime/dependency.ts';
import type { DebugPage } from '@watershed/runtime/debug-pages.ts';
import type { Part } from '@watershed/runtime/lifecycle.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import type { Metrics } from '@watershed/runtime/metrics.ts';
import type { Readiness } from '@watershed/runtime/readiness.ts';
import type { Sealing } from '@watershed/runtime/sealing.ts';
import { noTracing, type Tracing } from '@watershed/runtime/tracing.ts';
import { Diagnostics, type Diagnostic } from './core/diagnostics.ts';
import type { HeldObject, HoldLimits } from './core/holds.ts';
import { Ingest, type PublishedEvent } from './core/ingest.ts';
import { decodeLastGood } from './core/last-good.ts';
import { Publisher } from './core/publisher.ts';
import type { Registration } from './core/registry.ts';
import { Untaken } from './core/untaken.ts';
import { debugPages } from './debug.ts';
import { EventLog } from './event-log.ts';
import type { RawObject, SourceSettings } from './kind.ts';
import { ingestMetrics, type IngestMetrics } from './metrics.ts';
import { DiagnosticLog } from './diagnostic-log.ts';
import type { Source } from './source.ts';
import { meshDefaults } from './sources/configured.ts';

/** Of one span. */
const maxNamedObjects = 8;

export interface IngesterOptions {
  readonly log: Log;
  readonly sources: readonly Source[];
  readonly kinds: readonly Registration[];
  readonly settings: SourceSettings;
  /** How many the topics have; `config` and `objects` have one. */
  readonly partitions: { readonly endpoints: number; readonly history: number };
  /** Who writes, for people who read the log: the process's name. */
  readonly writer: string;
  /** Unique for ever; see `OwnedPartitionOptions`. */
  readonly newClaimId?: () => string;
  readonly sealing: Pick<Sealing, 'seal' | 'unseal'>;
  readonly time: Time;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly tracing: Tracing;
  readonly readiness: Readiness;
  /** Default: 20 objects, 50 %, 5 s. */
  readonly holdLimits?: HoldLimits;
  /**
   * Called at most once, when it cannot go on: another process owns the cluster's records now, or
   * the log is gone.
   */
  readonly onFatal: (error: unknown) => void;
  /** The command line that asks this process, for people who read the log. Default: no address. */
  readonly xdsctl?: (command: string) => string;
}

export interface Ingester extends Part {
  readonly start: () => Promise<void>;
  readonly stop: (signal: AbortSignal) => Promise<void>;
  /** Resolves when all that the sources held at the start is on the log, and marked as synced. */
  readonly synced: Promise<void>;
  readonly pages: readonly DebugPage[];
  /** It has called `onFatal`: nothing that it still appends counts. */
  readonly hasFailed: boolean;
  diagnostics(): readonly Diagnostic[];
  held(): readonly HeldObject[];
  /** What is said on the log of the configuration of one kind, by key. */
  told: Ingest['told'];
  /** Releases held deletions, of all sources or of one. Returns what was released. */
  confirm(source?: string): readonly HeldObject[];
  /** Resolves when all that was taken in so far is on the log. */
  flushed(): Promise<void>;
}

/**
 * It is ready when the cluster's records on the log are its own (token `ingester-log`), all sources
 * have been listed (`ingester-sources`) and the difference to what the log held is on the log
 * (`ingester-records`); a source that cannot be read, and of which the log has nothing, is waited
 * for; `/ready` says which cannot be read and why, then and later. `start` resolves when the
 * sources are being read; `stop` lets what waits be written, and lets go of the log, which stays
 * open.
 */
export function createIngester(options: IngesterOptions): Ingester {
  return new IngesterPart(options);
}

class IngesterPart implements Ingester {
  readonly name = 'ingester';
  readonly synced: Promise<void>;
  readonly pages: readonly DebugPage[];
  readonly #options: IngesterOptions;
  readonly #metrics: IngestMetrics;
  readonly #problems: DiagnosticLog;
  readonly #diagnostics: Diagnostics;
  readonly #untaken: Untaken;
  readonly #ingest: Ingest;
  /** Called once each, in this order. */
  readonly #mark: Readonly<Record<'owned' | 'listed' | 'synced', () => void>>;
  #log: EventLog | undefined;
  #publisher: Publisher | undefined;
  #listing: Promise<void> = Promise.resolve();
  #isStopped = false;
  hasFailed = false;

  constructor(options: IngesterOptions) {
    this.#options = options;
    const { time, kinds, settings, sealing, holdLimits, readiness } = options;
    this.#metrics = ingestMetrics(options.metrics);
    const { xdsctl = (command): string => `xdsctl ${command}` } = options;
    this.#problems = new DiagnosticLog(options.logger, xdsctl, time);
    this.#diagnostics = new Diagnostics(() => time.now(), this.#problems);
    this.#untaken = new Untaken(this.#diagnostics, (owner) => this.#ingest.originOf(owner));
    this.#ingest = new Ingest({
      graph: new Graph(),
      kinds,
      settings,
      sealing,
      diagnostics: this.#diagnostics,
      counters: this.#metrics.counters,
      now: () => time.now(),
      monotonicMs: () => time.monotonic(),
      ...(holdLimits === undefined ? {} : { holdLimits }),
      publish: (events) => this.#publish(events),
    });
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const owned = readiness.expect('ingester-log');
    const listed = readiness.expect('ingester-sources');
    const recorded = readiness.expect('ingester-records');
    this.synced = promise;
    const synced = (): void => {
      recorded();
      resolve(undefined);
    };
    this.#mark = { owned, listed, synced };
    this.pages = debugPages(this, this.#ingest, options);
  }

  async start(): Promise<void> {
    const { settings, sources } = this.#options;
    this.#log = await EventLog.open({ ...this.#options, cluster: settings.cluster });
    this.#mark.owned();
    const { lost } = this.#log;
    const fail = (): void => this.#fail(lost.reason);
    lost.addEventListener('abort', fail, { once: true });
    // While the last partitions were claimed, another process may have taken the first ones over.
    if (lost.aborted) fail();
    this.#ingest.apply(meshDefaults);
    const sink = {
      apply: (batch: Parameters<Ingest['apply']>[0]): void => {
        this.#ingest.apply(batch);
        this.#metrics.read(batch.source);
        this.#show();
      },
      trouble: (source: string, reason: string | undefined): void => {
        this.#ingest.trouble(source, reason);
        const dependency = this.#dependency(source);
        if (reason === undefined) dependency.worked();
        else dependency.failed(reason);
        this.#show();
      },
    };
    const known = (source: string): readonly RawObject[] => this.#known(source);
    const listed = sources.map((source) => source.start(sink, known));
    this.#listing = this.#whenListed(Promise.all(listed)).catch((error: unknown) => {
      this.#fail(error);
    });
  }

  async stop(signal: AbortSignal): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#options.sources.map((source) => source.stop()));
    // Who cannot go on has nothing to bring to the log: all of it is void.
    await this.#publisher?.stop(this.hasFailed ? AbortSignal.abort() : signal);
    await this.#log?.close();
    this.#problems.flush();
    // Before the log was let go, it may have been reading what the log holds.
    if (this.#publisher === undefined || this.hasFailed) return;
    await abortable(this.#listing, signal).catch(() => undefined);
  }

  diagnostics(): readonly Diagnostic[] {
    return this.#diagnostics.list();
  }

  held(): readonly HeldObject[] {
    return this.#ingest.held();
  }

  told(kind: Parameters<Ingest['told']>[0]): ReturnType<Ingest['told']> {
    return this.#ingest.told(kind);
  }

  confirm(source?: string): readonly HeldObject[] {
    const released = this.#ingest.confirm(source);
    this.#show();
    return released;
  }

  async flushed(): Promise<void> {
    await this.#publisher?.flushed();
  }

  #known(source: string): readonly RawObject[] {
    const { sealing } = this.#options;
    const records = this.#log?.objects() ?? [];
    return records.flatMap(({ value }) => decodeLastGood(value, sealing, source)?.raw ?? []);
  }

  /** All sources are listed: the difference to what the log holds, then the marker. */
  async #whenListed(listed: Promise<unknown>): Promise<void> {
    await listed;
    this.#mark.listed();
    const log = this.#log;
    if (log === undefined || this.#isStopped) return;
    const stored = log.stored();
    const { time, logger } = this.#options;
    this.#publisher = new Publisher(
      {
        writer: log,
        time,
        counters: this.#metrics.counters,
        refused: (event, reason) => {
          this.#untaken.refused(event, reason);
          this.#show();
        },
        taken: (event) => {
          this.#untaken.taken(event);
          this.#show();
        },
        failed: (error) => this.#fail(error),
      },
      stored,
    );
    this.#ingest.open(stored);
    await this.#publisher.flushed();
    if (this.#isStopped || this.hasFailed) return;
    await log.complete();
    this.#publish([this.#ingest.marker()]);
    await this.#publisher.flushed();
    if (this.hasFailed) return;
    const { objects, events } = this.#ingest.sizes;
    logger.info('all sources are on the log', {
      // As the files have them: the mesh's defaults are nobody's.
      objects: objects - 1,
      records: events,
      held: this.held().length,
    });
    this.#show();
    this.#mark.synced();
  }

  #publish(events: readonly PublishedEvent[]): void {
    const publisher = this.#publisher;
    if (publisher === undefined) return;
    const { tracing, time } = this.#options;
    const count = events.filter(({ topic }) => topic !== topics.objects).length;
    const attributes = { 'watershed.objects': objectsOf(events), 'watershed.events': count };
    // What is kept for a restart alone is nobody's change.
    const span = (count === 0 ? noTracing : tracing).start('ingest', { attributes });
    const startMs = time.monotonic();
    publisher.publish(events, span.traceparent);
    void publisher.flushed().then(() => {
      span.end();
      this.#metrics.durableAfter((time.monotonic() - startMs) / 1_000);
    });
  }

  #dependency(source: string): Dependency {
    const { readiness, logger, time } = this.#options;
    return readiness.dependencies.get(source) ?? readiness.dependency(source, { logger, time });
  }

  #show(): void {
    const { sizes } = this.#ingest;
    this.#metrics.show({ sizes, held: this.held(), diagnostics: this.#diagnostics });
  }

  #fail(error: unknown): void {
    if (this.hasFailed || this.#isStopped) return;
    this.hasFailed = true;
    const { onFatal, settings } = this.#options;
    onFatal(isFenced(error) ? takenOver(settings.cluster, error) : error);
  }
}

function isFenced(error: unknown): boolean {
  return error instanceof LogError && error.code === 'fenced';
}

/** For who has started two, and knows of no claims. */
function takenOver(cluster: string, cause: unknown): LogError {
  const text = `another ingester with --clusterID ${cluster} has taken over; there can be one only`;
  return new LogError('fenced', text, { retriable: false, cause });
}

/** Of a span: which objects changed, `group/kind/namespace/name`; of many, the first ones. */
function objectsOf(events: readonly PublishedEvent[]): string {
  const owners = new Set(events.map(({ owner }) => owner));
  return [...owners].slice(0, maxNamedObjects).join(', ');
}
