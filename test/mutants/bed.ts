/** The engine in memory: no log, no disk, and time that stands still. */
import { digestOf } from '@watershed/blob/digest.ts';
import { memoryBlobs } from '@watershed/blob/memory.ts';
import { scopeId } from '@watershed/blob/scope-id.ts';
import { Event } from '@watershed/model/gen/model.ts';
import { Feedback, ManifestContent, XdsRecord } from '@watershed/model/gen/record.ts';
import type { ScopeClass } from '@watershed/model/gen/record.ts';
import { configKey, parseEndpointsKey, partitionOf, xdsKeys } from '@watershed/model/keys.ts';
import { systemTime } from '@watershed/runtime/clock.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import { Metrics } from '@watershed/runtime/metrics.ts';
import { noTracing } from '@watershed/runtime/tracing.ts';
import { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import { digestText } from '@watershed/translator/bytes.ts';
import { Engine } from '@watershed/translator/engine/engine.ts';
import type { EngineOptions } from '@watershed/translator/engine/engine.ts';
import type { OutputRecord } from '@watershed/translator/engine/published.ts';
import type { PlansOf } from '@watershed/translator/plan.ts';

export type EventObject = NonNullable<Event['object']>;

/** One record of `config` or `endpoints`. */
export interface Input {
  readonly topic: 'config' | 'endpoints';
  readonly key: string;
  /** `undefined`: a tombstone. */
  readonly object: EventObject | undefined;
}

/** What mutants are tried on: objects, and the proxies that ask. */
export interface Corpus {
  readonly inputs: readonly Input[];
  /** Not there at first: each comes (or replaces one that is there) and goes again. */
  readonly extra?: readonly Input[];
  readonly scopes: readonly ScopeClass[];
}

const graceMs = 60_000;

const logger: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  fatal: () => {},
  enabled: () => false,
  with: () => logger,
};

/** What of the topics' partitions a bed has for itself. */
export interface Share {
  readonly partitions: number;
  readonly owned: readonly number[];
  /** Default: all is read at once. */
  readonly allRead?: EngineOptions['allRead'];
}

export class Bed {
  readonly #engine: Engine;
  readonly #virtual = new VirtualTime();
  readonly #blobs = memoryBlobs();
  readonly #appended: OutputRecord[] = [];
  /** What the log would hold. */
  readonly #held = new Map<string, Uint8Array>();
  /** Which partition each of those is in. */
  readonly #placed = new Map<string, number>();
  readonly fatal: unknown[] = [];
  #offset = 0;
  #told = '';

  readonly #share: Share;
  /** Of partitions that are not this bed's; with what there is of each host now. */
  readonly #endpoints = new Map<string, Input>();

  private constructor(plans: PlansOf, mutant: EngineOptions['mutant'], share: Share) {
    const virtual = this.#virtual;
    this.#share = share;
    this.#engine = new Engine({
      plans,
      partitions: share.partitions,
      blobs: this.#blobs,
      clock: virtual,
      timers: { after: (ms, done) => virtual.after(ms, done), soon: systemTime.soon },
      logger,
      metrics: new Metrics(),
      tracing: noTracing,
      cacheEntries: 1_000_000,
      assertion: { every: 1, random: () => 1 },
      graceMs,
      retainMs: 0,
      allRead: share.allRead ?? (() => Promise.resolve()),
      onFatal: (error) => this.fatal.push(error),
      ...(mutant === undefined ? {} : { mutant }),
    });
  }

  /** Loads a corpus and translates it. */
  static async open(
    plans: PlansOf,
    corpus: Corpus,
    mutant?: EngineOptions['mutant'],
    share: Share = { partitions: 1, owned: [0] },
  ): Promise<Bed> {
    const bed = new Bed(plans, mutant, share);
    const synced: Input = {
      topic: 'config',
      key: configKey({ cluster: 'c', kind: 'source', namespace: '', name: 'corpus' }),
      object: { $case: 'source', value: { synced: true } },
    };
    bed.#apply([...corpus.inputs, synced]);
    for (const scopeClass of corpus.scopes) {
      const scope = scopeId(scopeClass);
      const demand = { scope, scopeClass, expiresMs: Number.MAX_SAFE_INTEGER };
      const value = Feedback.encode({ report: { $case: 'demand', value: demand } }).finish();
      bed.#engine.feedback([{ key: `d|p|${scope}`, value, record: undefined }]);
    }
    bed.#engine.start({
      append: async (records) => {
        for (const record of records) {
          const { partition, key, value } = record;
          bed.#appended.push(record);
          bed.#placed.set(key, partition);
          if (value === undefined) bed.#held.delete(key);
          else bed.#held.set(key, value);
        }
      },
    });
    for (const partition of share.owned) bed.#read(partition);
    await bed.#engine.gain(share.owned.map((partition) => ({ partition, current: [] })));
    await bed.apply([]);
    return bed;
  }

  /** What `apply` gives when nothing followed. */
  static readonly nothing = '';

  /**
   * Applies records, and lets everything end that waits for the end of a grace, so that one change
   * leaves no traces for the next. Gives a digest of all that followed: records, and changes of
   * diagnostics.
   */
  async apply(inputs: readonly Input[]): Promise<string> {
    this.#apply(inputs);
    await this.#engine.idle();
    const told = JSON.stringify(
      this.#engine.findings.map(({ object, reason }) => [object, reason]),
    );
    await this.#virtual.advance(graceMs);
    await this.#engine.idle();
    const records = this.#appended.splice(0).map(({ key, value }) => [key, contentOf(value)]);
    const outputs = records.filter(([, content]) => content !== 'watermark');
    const before = this.#told;
    this.#told = told;
    if (outputs.length === 0 && told === before) return Bed.nothing;
    return digestOf(JSON.stringify([outputs.sort(), told]));
  }

  /** All that is published and listed, without epochs. */
  content(): ReadonlyMap<string, string> {
    const entries = [...this.#held].filter(([key]) => !key.startsWith('w|'));
    return new Map(entries.map(([key, value]) => [key, contentOf(value)] as const));
  }

  /** Becomes the owner of a partition, where it holds what `from` published. */
  async gain(partition: number, from: Bed): Promise<void> {
    const held = [...from.#held].filter(([key]) => from.#placed.get(key) === partition);
    for (const [key, value] of held) {
      this.#held.set(key, value);
      this.#placed.set(key, partition);
    }
    this.#read(partition);
    await this.#engine.gain([{ partition, current: held }]);
    await this.apply([]);
  }

  /** Another bed is the owner now. */
  async lose(partition: number): Promise<void> {
    await this.#engine.lose(
      partition,
      this.#endpointsOf(partition).map(({ key }) => key),
    );
    for (const [key, at] of this.#placed) {
      if (at !== partition) continue;
      this.#held.delete(key);
      this.#placed.delete(key);
    }
    await this.apply([]);
  }

  /** The endpoints that it holds, as far as it may: how much of the state is its own. */
  get endpoints(): number {
    return [...this.#engine.inputs.endpoints.entries()].length;
  }

  /** What is published of one name, decoded no further than to its digests; '' if nothing is. */
  published(typeUrl: string, name: string): string {
    const key = [...this.#held.keys()].find((known) =>
      known.startsWith(xdsKeys.resource(typeUrl, name, '')),
    );
    return key === undefined ? '' : contentOf(this.#held.get(key));
  }

  /** What a scope has, as its manifest on the log says; `undefined`: it has none. */
  async manifest(scope: ScopeClass): Promise<ManifestContent | undefined> {
    const value = this.#held.get(xdsKeys.manifest(scopeId(scope)));
    const { record } = XdsRecord.decode(value ?? new Uint8Array(0));
    if (record?.$case !== 'manifest') return undefined;
    const [bytes] = await this.#blobs.get([digestText(record.value.content)]);
    return bytes && ManifestContent.decode(bytes);
  }

  /** Something keeps its last good output. */
  get failed(): boolean {
    return this.#engine.findings.some((finding) => finding.severity === 'error');
  }

  async close(): Promise<void> {
    await this.#engine.close();
  }

  #apply(inputs: readonly Input[]): void {
    for (const input of inputs) {
      if (input.topic === 'config') this.#tell(0, input);
      else {
        this.#endpoints.set(input.key, input);
        const partition = partitionOfEndpoints(input.key, this.#share.partitions);
        if (this.#engine.owned.has(partition)) this.#tell(partition, input);
      }
    }
  }

  #tell(partition: number, { topic, key, object }: Input): void {
    const value = object && Event.encode({ object }).finish();
    const record = { offset: this.#offset++, timestampMs: 0, headers: {} };
    this.#engine.apply(topic, partition, { changes: [{ key, value, record }], end: this.#offset });
  }

  #read(partition: number): void {
    for (const input of this.#endpointsOf(partition)) this.#tell(partition, input);
  }

  #endpointsOf(partition: number): readonly Input[] {
    const { partitions } = this.#share;
    return [...this.#endpoints.values()].filter(
      ({ key }) => partitionOfEndpoints(key, partitions) === partition,
    );
  }
}

function partitionOfEndpoints(key: string, partitions: number): number {
  return partitionOf(parseEndpointsKey(key).host, partitions);
}

function contentOf(value: Uint8Array | undefined): string {
  if (value === undefined) return 'gone';
  const { record } = XdsRecord.decode(value);
  if (record?.$case === 'watermark') return 'watermark';
  return digestOf(XdsRecord.encode({ record, epoch: 0 }).finish());
}
