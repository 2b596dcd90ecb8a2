/**
 * The engine: what the log says in, records and blobs out. Changes are applied at any time; passes
 * run one at a time, so a burst becomes one pass.
 */
import { BlobsAwayError, type Blob, type BlobStore, type Digest } from '@watershed/blob/port.ts';
import { Graph } from '@watershed/derive/graph.ts';
import type { GraphOptions } from '@watershed/derive/graph.ts';
import type { Clock, Timer, Timers } from '@watershed/runtime/clock.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import type { Metrics } from '@watershed/runtime/metrics.ts';
import { Outage } from '@watershed/runtime/outage.ts';
import { traced, type Tracing } from '@watershed/runtime/tracing.ts';
import { applyRecord, createInputs, isSynced } from '../inputs.ts';
import type { Inputs } from '../inputs.ts';
import type { Plans, PlansOf } from '../plan.ts';
import { BlobWriter } from './blob-writer.ts';
import { Builder } from './builder.ts';
import { GeneratorCache } from './cache.ts';
import type { Assertion } from './cache.ts';
import type { Canonical } from './canonical.ts';
import { Causes } from './causes.ts';
import { readFeedback } from './demand.ts';
import { Diagnostics } from './diagnostics.ts';
import type { Finding } from './diagnostics.ts';
import { Intake } from './intake.ts';
import type { InputChange, Portion } from './intake.ts';
import { Namespaces } from './namespaces.ts';
import type { Gained, Outputs } from './published.ts';
import { Pushers } from './pushers.ts';
import type { Ownership } from './resources.ts';
import { retry } from './retry.ts';
import { RegistryMetrics } from './registry-metrics.ts';
import { Shard } from './shard.ts';
import { Turns } from './turns.ts';

export interface EngineOptions extends Pick<Ownership, 'partitions'> {
  readonly plans: PlansOf;
  readonly blobs: BlobStore;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly tracing: Tracing;
  /** Bound of the generator cache, in entries. */
  readonly cacheEntries: number;
  readonly assertion: Assertion;
  /** How long what nobody wants any more stays on the log: pushers on an older cut still use it. */
  readonly graceMs: number;
  /**
   * How often blobs that no record names are dropped; 0: never. Only a shard that owns all does it.
   */
  readonly retainMs: number;
  /**
   * Resolves when all was applied that is on the log now, of `config` and of these partitions of
   * `endpoints`.
   */
  readonly allRead: (partitions: ReadonlySet<number>) => Promise<void>;
  /** Called at most once: the engine has stopped for good, and the process should end. */
  readonly onFatal: (error: unknown) => void;
  /** For tests that must notice what is forgotten of an argument or of its reads. */
  readonly mutant?: { readonly canonical?: Canonical } & GraphOptions;
}

/** A timer may not be set for longer than this; what is due later is looked at again. */
const maxWaitMs = 3_600_000;

export class Engine {
  readonly inputs: Inputs;
  readonly #options: EngineOptions;
  readonly #graph: Graph;
  readonly #plans: Plans;
  readonly #diagnostics: Diagnostics;
  readonly #registry: RegistryMetrics;
  readonly #blobs: BlobWriter;
  readonly #cache: GeneratorCache;
  readonly #builder: Builder;
  readonly #stop = new AbortController();
  readonly #owned = new Set<number>();
  readonly #intake = new Intake<Shard>();
  readonly #namespaces = new Namespaces();
  readonly #pushers = new Pushers();
  /** Demands that came before the start, by record. */
  readonly #early = new Map<string, Uint8Array>();
  readonly #storing: Outage;
  readonly #reading: Outage;
  #missing = new Set<Digest>();
  #causes = new Causes();
  /** The position in `config` up to which it is applied. */
  #epoch = 0;
  /** Where the last portion of `config` ended, and whether it was unfinished. */
  #read = 0;
  #isUnfinished = false;
  #shard: Shard | undefined;
  #passes: Promise<void> | undefined;
  #again = false;
  #timer: Timer | undefined;

  constructor(options: EngineOptions) {
    this.#options = options;
    const { metrics, logger, mutant = {} } = options;
    const stored = { away: 'blobs cannot be stored now', back: 'blobs are stored again' };
    this.#storing = new Outage({ logger, ...stored });
    const read = { away: 'blobs cannot be read now', back: 'blobs are read again' };
    this.#reading = new Outage({ logger, ...read });
    this.#graph = new Graph(mutant);
    this.inputs = createInputs(this.#graph);
    this.#plans = options.plans(this.inputs);
    this.#diagnostics = new Diagnostics(metrics, logger);
    this.#registry = new RegistryMetrics(metrics, this.inputs);
    this.#blobs = new BlobWriter((blobs, trace) => this.#put(blobs, trace));
    this.#cache = new GeneratorCache({
      maxEntries: options.cacheEntries,
      assertion: options.assertion,
      metrics,
      ...(mutant.canonical === undefined ? {} : { canonical: mutant.canonical }),
      made: (blob, inline) => this.#builder.made(blob, inline),
    });
    this.#builder = new Builder({
      cache: this.#cache,
      metrics,
      store: (blob) => this.#blobs.add(blob),
      storesInlined: () => this.#pushers.storesInlined(options.clock.now()),
    });
  }

  /** What is wrong now with the users' objects, as far as the translator can tell. */
  get findings(): readonly Finding[] {
    return this.#diagnostics.list();
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** The partitions that the shard owns now. */
  get owned(): ReadonlySet<number> {
    return this.#owned;
  }

  /** How often each query was computed, and what is held. For /debug and tests. */
  get statistics(): {
    readonly computed: Readonly<Record<string, number>>;
    readonly queries: number;
    readonly cacheEntries: number;
    readonly resources: number;
    readonly scopes: number;
    readonly scopesHeld: number;
    readonly blobsPut: number;
  } {
    return {
      computed: Object.fromEntries(this.#graph.computed),
      queries: this.#graph.size,
      cacheEntries: this.#cache.size,
      resources: this.#shard?.resources ?? 0,
      scopes: this.#shard?.scopes.size ?? 0,
      scopesHeld: this.#shard?.scopes.held.size ?? 0,
      blobsPut: this.#blobs.written,
    };
  }

  /**
   * Takes in changes of one partition of `config` or `endpoints`. Those of `config` are applied
   * between passes. Endpoints of a partition that is not the shard's yet are what it starts from
   * when it is.
   */
  apply(topic: 'config' | 'endpoints', partition: number, portion: Portion): void {
    if (topic === 'endpoints') {
      if (this.#applyAll(topic, portion, this.#owned.has(partition))) this.#wake();
      return;
    }
    const { changes, end, isUnfinished = false } = portion;
    const isNews = changes.length > 0 || end !== this.#read || this.#isUnfinished;
    this.#read = end;
    this.#isUnfinished = isUnfinished;
    if (this.#shard === undefined) this.#applyConfig(portion, false);
    else if (isNews) {
      this.#intake.add(portion);
      this.#wake();
    }
  }

  #applyConfig(portion: Portion, live: boolean): void {
    this.#applyAll('config', portion, live);
    this.#epoch = portion.end;
  }

  /**
   * Gives whether something changed. What was there already (not `live`) caused nothing that is to
   * be measured, traced or blamed.
   */
  #applyAll(topic: 'config' | 'endpoints', { changes }: Portion, live: boolean): boolean {
    let changed = false;
    for (const { key, value, record } of changes) {
      const applied = applyRecord(this.inputs, topic, key, value);
      if (applied.outcome === 'refused') {
        this.refuse(key, applied.refused.reason);
        continue;
      }
      this.#diagnostics.clear(`record ${key}`);
      if (applied.outcome === 'equal') continue;
      this.#registry.changed(topic, key, value === undefined);
      changed ||= live;
      if (live) this.#causes.add(key, record);
      if (topic === 'endpoints') continue;
      const { came, went } = this.#namespaces.note(key, value !== undefined);
      if (came !== undefined) this.#shard?.wantSelectors(came);
      if (went !== undefined) this.#shard?.unwantSelectors(went);
    }
    return changed;
  }

  /** Takes in changes of the topic `feedback`. */
  feedback(changes: readonly InputChange[]): void {
    for (const { key, value } of changes) {
      if (this.#shard === undefined) {
        if (value === undefined) this.#early.delete(key);
        else this.#early.set(key, value);
      } else this.#feedback(this.#shard, key, value, this.#options.clock.now());
    }
    this.#wake();
  }

  /**
   * A pusher did not find these blobs. Not folded: the same digests may be asked for again. What is
   * asked before the start is put anyway.
   */
  missing(digests: Iterable<Digest>): void {
    if (this.#shard === undefined) return;
    for (const digest of digests) this.#missing.add(digest);
    if (this.#missing.size > 0) this.#wake();
  }

  /**
   * Config and feedback were read to the end: what is not there is not there. It publishes nothing
   * until it owns a partition.
   */
  start(outputs: Outputs): void {
    const { clock, timers } = this.#options;
    const shard = new Shard(
      {
        ...this.#options,
        owned: this.#owned,
        graph: this.#graph,
        inputs: this.inputs,
        plans: this.#plans,
        builder: this.#builder,
        cache: this.#cache,
        blobs: this.#blobs,
        store: this.#options.blobs,
        readBlob: (digest) => this.#readBlob(digest),
        diagnostics: this.#diagnostics,
        turns: new Turns(clock, timers),
        onDoubt: (partitions, settle) => {
          void this.#options.allRead(partitions).then(() => this.#handOver(settle));
        },
      },
      outputs,
    );
    this.#shard = shard;
    for (const namespace of this.#namespaces.all()) shard.wantSelectors(namespace);
    for (const [key, value] of this.#early) this.#feedback(shard, key, value, 0);
    this.#early.clear();
    this.#wake();
  }

  /**
   * The shard owns these from the next pass on; their endpoints were applied, as far as the log had
   * any. Resolves after that pass.
   */
  async gain(gained: readonly Gained[]): Promise<void> {
    await this.#handOver((shard) => {
      for (const { partition } of gained) this.#owned.add(partition);
      shard.gain(gained);
    });
    await this.idle();
  }

  /**
   * The shard does not own it any more. `endpoints`: the keys of what was applied of it, which is
   * forgotten. Resolves when that is so.
   */
  lose(partition: number, endpoints: Iterable<string>): Promise<void> {
    return this.#handOver((shard) => {
      // First of all: what is forgotten must not look as if it were gone.
      this.#owned.delete(partition);
      shard.lose(partition);
      for (const key of endpoints) applyRecord(this.inputs, 'endpoints', key, undefined);
    });
  }

  /** The record of the key cannot be read: its object keeps the value that it had. */
  refuse(key: string, cause: string): void {
    const reason = `its record on the log is left out: ${cause}`;
    this.#diagnostics.set(`record ${key}`, {
      error: [{ object: key, field: '', value: '', reason }],
    });
  }

  #handOver(work: (shard: Shard) => void): Promise<void> {
    const done = this.#intake.do(work);
    this.#wake();
    return done;
  }

  /** Resolves when there is nothing to do. */
  async idle(): Promise<void> {
    while (this.#passes !== undefined) await this.#passes;
  }

  /**
   * Resolves when the running pass has ended; what it could not append is appended by the next
   * process.
   */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#timer?.cancel();
    await this.idle();
  }

  /** @param saidMs 0: some time ago */
  #feedback(shard: Shard, key: string, value: Uint8Array | undefined, saidMs: number): void {
    if (value === undefined) {
      shard.demand(key, undefined);
      this.#pushers.set(key, undefined);
      return;
    }
    const read = readFeedback(value);
    if (read.kind === 'demand') {
      const { demanded } = read;
      // Who asks now wants it now, however wrong its clock is.
      shard.demand(key, { ...demanded, expiresMs: Math.max(demanded.expiresMs, saidMs) });
    } else if (read.kind === 'pusher') this.#pushers.set(key, read);
    else if (read.kind === 'refused') {
      this.#options.logger.warn('a record of feedback is ignored', { key, reason: read.reason });
    }
  }

  #wake(): void {
    if (this.#shard === undefined || this.#stop.signal.aborted) return;
    this.#again = true;
    this.#passes ??= this.#run(this.#shard).finally(() => {
      this.#passes = undefined;
      if (this.#again) this.#wake();
    });
  }

  async #run(shard: Shard): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    // What is applied in the same turn is in the same pass.
    await Promise.resolve();
    try {
      while (this.#again && !this.#stop.signal.aborted) {
        this.#again = this.#intake.take(shard, (portion) => this.#applyConfig(portion, true));
        const causes = this.#causes;
        const missing = this.#missing;
        this.#causes = new Causes();
        this.#missing = new Set();
        await shard.pass({ epoch: this.#epoch, synced: isSynced(this.inputs), causes, missing });
        this.#diagnostics.flush();
      }
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      this.#stop.abort();
      this.#options.onFatal(error);
    }
    this.#schedule(shard);
  }

  #schedule(shard: Shard): void {
    const dueMs = shard.nextDueMs;
    if (dueMs === undefined || this.#stop.signal.aborted) return;
    const { clock, timers } = this.#options;
    const delayMs = Math.min(maxWaitMs, Math.max(0, dueMs - clock.now()));
    this.#timer = timers.after(delayMs, () => this.#wake());
  }

  #put(blobs: readonly Blob[], trace: string | undefined): Promise<void> {
    const bytes = blobs.reduce((sum, blob) => sum + blob.bytes.length, 0);
    const attributes = { 'watershed.blobs': blobs.length, 'watershed.bytes': bytes };
    return traced(this.#options.tracing, 'blob.put', { parent: trace, attributes }, () =>
      this.#persist(this.#storing, () => this.#options.blobs.put(blobs)),
    );
  }

  async #readBlob(digest: Digest): Promise<Uint8Array | undefined> {
    const [bytes] = await this.#persist(this.#reading, () => this.#options.blobs.get([digest]));
    return bytes;
  }

  /** The blob store may be away for long: proxies keep what they have meanwhile. */
  #persist<T>(outage: Outage, call: () => Promise<T>): Promise<T> {
    const { timers } = this.#options;
    const failed = (error: unknown): void => {
      if (!(error instanceof BlobsAwayError)) outage.failed(error);
    };
    const told = { failed, worked: () => outage.worked() };
    return retry(call, { timers, signal: this.#stop.signal, retriable: () => true, outage: told });
  }
}
