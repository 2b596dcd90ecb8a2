/** The engine in memory: no log, no disk, and time that stands still. */
import { digestOf } from '@watershed/blob/digest.ts';
import { memoryBlobs } from '@watershed/blob/memory.ts';
import { scopeId } from '@watershed/blob/scope-id.ts';
import { Event } from '@watershed/model/gen/model.ts';
import { Feedback, XdsRecord } from '@watershed/model/gen/record.ts';
import type { ScopeClass } from '@watershed/model/gen/record.ts';
import { configKey } from '@watershed/model/keys.ts';
import { systemTime } from '@watershed/runtime/clock.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import { Metrics } from '@watershed/runtime/metrics.ts';
import { noTracing } from '@watershed/runtime/tracing.ts';
import { VirtualTime } from '@watershed/runtime/virtual-time.ts';
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

export class Bed {
  readonly #engine: Engine;
  readonly #virtual = new VirtualTime();
  readonly #appended: OutputRecord[] = [];
  /** What the log would hold. */
  readonly #held = new Map<string, Uint8Array>();
  readonly fatal: unknown[] = [];
  #offset = 0;
  #told = '';

  private constructor(plans: PlansOf, mutant: EngineOptions['mutant']) {
    const virtual = this.#virtual;
    this.#engine = new Engine({
      plans,
      partitions: 1,
      owned: new Set([0]),
      blobs: memoryBlobs(),
      clock: virtual,
      timers: { after: (ms, done) => virtual.after(ms, done), soon: systemTime.soon },
      logger,
      metrics: new Metrics(),
      tracing: noTracing,
      cacheEntries: 1_000_000,
      assertion: { every: 1, random: () => 1 },
      graceMs,
      retainMs: 0,
      onFatal: (error) => this.fatal.push(error),
      ...(mutant === undefined ? {} : { mutant }),
    });
  }

  /** Loads a corpus and translates it. */
  static async open(
    plans: PlansOf,
    corpus: Corpus,
    mutant?: EngineOptions['mutant'],
  ): Promise<Bed> {
    const bed = new Bed(plans, mutant);
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
    await bed.#engine.start({
      current: () => [],
      append: async (records) => {
        for (const record of records) {
          bed.#appended.push(record);
          if (record.value === undefined) bed.#held.delete(record.key);
          else bed.#held.set(record.key, record.value);
        }
      },
    });
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

  /** Something keeps its last good output. */
  get failed(): boolean {
    return this.#engine.findings.some((finding) => finding.severity === 'error');
  }

  async close(): Promise<void> {
    await this.#engine.close();
  }

  #apply(inputs: readonly Input[]): void {
    for (const { topic, key, object } of inputs) {
      const value = object && Event.encode({ object }).finish();
      const record = { offset: this.#offset++, timestampMs: 0, headers: {} };
      this.#engine.apply(topic, [{ key, value, record }], this.#offset);
    }
  }
}

function contentOf(value: Uint8Array | undefined): string {
  if (value === undefined) return 'gone';
  const { record } = XdsRecord.decode(value);
  if (record?.$case === 'watermark') return 'watermark';
  return digestOf(XdsRecord.encode({ record, epoch: 0 }).finish());
}
