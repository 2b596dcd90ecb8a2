/** The core in memory: texts of files in, what should be on the log and what is said of it out. */
import { Graph } from '@watershed/derive/graph.ts';
import { openEmbeddedLog, type EmbeddedLog } from '@watershed/log/embedded.ts';
import { topicSpecs } from '@watershed/log/topics.ts';
import { Event } from '@watershed/model/gen/model.ts';
import { systemTime } from '@watershed/runtime/clock.ts';
import { createSealing } from '@watershed/runtime/sealing.ts';
import { noCounters, type Counters, type Silence } from '../src/core/counters.ts';
import { describe, Diagnostics } from '../src/core/diagnostics.ts';
import type { HoldLimits } from '../src/core/holds.ts';
import { Ingest, type PublishedEvent, type Stored } from '../src/core/ingest.ts';
import { turnOf } from '../src/core/turns.ts';
import type { SourceSettings } from '../src/kind.ts';
import type { ParsedChunk } from '../src/parse/documents.ts';
import { parseFile } from '../src/parse/objects.ts';
import type { SourceBatch, UnitUpdate } from '../src/source.ts';
import { meshDefaults } from '../src/sources/configured.ts';
import { allKinds } from './kinds/all-kinds.ts';

export const settings: SourceSettings = {
  cluster: 'one',
  domain: 'cluster.local',
  rootNamespace: 'istio-system',
  ambient: false,
};

export const sealing = createSealing([new Uint8Array(32).fill(7)]);

/** With all of its topics, of which `endpoints` has so many partitions. */
export async function openLog(dir: string, endpoints: number): Promise<EmbeddedLog> {
  const log = await openEmbeddedLog({ dir, time: systemTime });
  await log.ensureTopics(topicSpecs({ shards: endpoints }));
  return log;
}

/** Files by path; `undefined` removes one. */
export type Edit = Readonly<Record<string, string | undefined>>;

export interface CoreOptions {
  readonly stored?: Stored;
  readonly holdLimits?: HoldLimits;
}

export class Core {
  readonly diagnostics: Diagnostics;
  readonly ingest: Ingest;
  /** All that was published, in order. */
  readonly published: PublishedEvent[] = [];
  readonly silences: Record<Silence, number> = { unit: 0, object: 0, event: 0, log: 0 };
  readonly #events = new Map<string, Stored['events'][number]>();
  readonly #objects = new Map<string, Stored['objects'][number]>();
  readonly #chunks = new Map<string, ReadonlyMap<string, ParsedChunk>>();
  /** How often something was published. */
  steps = 0;
  nowMs = 1_000;
  /** What the process appends before it crashes. */
  appendsLeft = Infinity;
  #isOpen = false;

  constructor(options: CoreOptions = {}) {
    this.diagnostics = new Diagnostics(() => this.nowMs);
    const counters: Counters = {
      ...noCounters,
      suppressed: (silence, _kind, count) => {
        this.silences[silence] += count;
      },
    };
    const { events = [], objects = [] } = options.stored ?? {};
    for (const event of events) this.#events.set(`${event.topic} ${event.key}`, event);
    for (const object of objects) this.#objects.set(object.key, object);
    this.ingest = new Ingest({
      graph: new Graph(),
      kinds: allKinds,
      settings,
      sealing,
      diagnostics: this.diagnostics,
      counters,
      now: () => this.nowMs,
      monotonicMs: () => this.nowMs,
      ...(options.holdLimits === undefined ? {} : { holdLimits: options.holdLimits }),
      publish: (events) => this.#publish(events),
    });
    this.ingest.apply(meshDefaults);
  }

  /** Applies an edit as one batch of the source `files`. */
  async write(edit: Edit, batch: Partial<SourceBatch> = {}): Promise<void> {
    const updates: UnitUpdate[] = [];
    for (const [unit, text] of Object.entries(edit)) {
      const known = this.#chunks.get(unit);
      const parsed = await parseFile(text ?? '', known === undefined ? {} : { known });
      this.#chunks.set(unit, parsed.chunks);
      const { objects, problems } = parsed;
      updates.push({ unit, version: `v${text?.length ?? 0}`, objects, problems });
    }
    this.ingest.apply({ source: 'files', updates, unchanged: 0, ...batch });
  }

  /** All files are listed: compares with the log. */
  open(): this {
    this.#isOpen = true;
    this.ingest.open(this.stored());
    return this;
  }

  /** Applies the first edit and opens. */
  static async of(edit: Edit, options: CoreOptions = {}): Promise<Core> {
    const core = new Core(options);
    await core.write(edit);
    return core.open();
  }

  /** What the log holds, as another process would find it. */
  stored(): Stored {
    return { events: [...this.#events.values()], objects: [...this.#objects.values()] };
  }

  /** Keys of what the log holds, without the mesh's, sorted. */
  keys(): readonly string[] {
    return [...this.#events.keys()].filter((key) => !key.includes('|mesh|')).sort();
  }

  /** One event of the log as JSON. */
  event(topicAndKey: string): unknown {
    const event = this.#events.get(topicAndKey);
    return event === undefined ? undefined : Event.toJSON(Event.decode(event.value));
  }

  /** `error Service shop/cart: …`, sorted. */
  problems(): readonly string[] {
    return this.diagnostics
      .list()
      .map((found) => `${found.severity} ${describe(found)}`)
      .sort();
  }

  /** What was published since the last call: `+ topic key`, `- topic key`. */
  news(): readonly string[] {
    const lines = this.published.map(
      ({ topic, key, value }) => `${value === undefined ? '-' : '+'} ${topic} ${key}`,
    );
    this.published.length = 0;
    return lines;
  }

  #publish(events: readonly PublishedEvent[]): void {
    if (!this.#isOpen) throw new Error('published before it was opened');
    this.steps++;
    for (const event of events.toSorted((a, b) => turnOf(a) - turnOf(b))) {
      if (this.appendsLeft-- <= 0) return;
      const { topic, key, value, owner } = event;
      if (topic === 'objects') {
        if (value === undefined) this.#objects.delete(key);
        else this.#objects.set(key, { topic, key, value });
        continue;
      }
      const id = `${topic} ${key}`;
      const before = this.#events.get(id)?.value;
      const isSame =
        value === undefined
          ? before === undefined
          : before !== undefined && Buffer.compare(before, value) === 0;
      if (!isSame) this.published.push(event);
      if (value === undefined) this.#events.delete(id);
      else this.#events.set(id, { topic, key, value, owner });
    }
  }
}

export function service(name: string, port = 80, more = ''): string {
  return [
    '---',
    'apiVersion: v1',
    'kind: Service',
    `metadata: { name: ${name}, namespace: shop${more === '' ? '' : `, ${more}`} }`,
    `spec: { ports: [{ name: http, port: ${port} }] }`,
    '',
  ].join('\n');
}

/** `service` for each of some numbers. */
export function services(from: number, to: number): string {
  return Array.from({ length: to - from }, (_, index) => service(`s${from + index}`)).join('');
}

export const serviceKey = (name: string): string => `config one|service|shop|${name}`;
