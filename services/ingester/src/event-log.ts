/**
 * The log as the ingester uses it: it owns the records of its cluster in `config`, `endpoints` and
 * `objects`, beside the ingesters of other clusters, reads back what an earlier process left there,
 * and appends every event to `history` as well.
 */
import type { OwnedWrite } from '@watershed/log/owned-options.ts';
import { OwnedPartition } from '@watershed/log/owned.ts';
import type { Append, Log, LogRecord } from '@watershed/log/port.ts';
import { parseEndpointsKey, partitionOf, topics } from '@watershed/model/keys.ts';
import { schemaHeader, schemaVersion } from '@watershed/model/schema.ts';
import type { Time } from '@watershed/runtime/clock.ts';
import { traced, type Tracing } from '@watershed/runtime/tracing.ts';
import type { PublishedEvent, Stored } from './core/ingest.ts';
import type { StoredEvent } from './core/outbox.ts';
import type { EventWrite, EventWriter } from './core/publisher.ts';
import { turnOf } from './core/turns.ts';

export interface EventLogOptions {
  readonly log: Log;
  /** Whose records they are. */
  readonly cluster: string;
  /** How many the topics have; `config` and `objects` have one. */
  readonly partitions: { readonly endpoints: number; readonly history: number };
  /** Who writes, for people who read the log. */
  readonly writer: string;
  /** Unique for ever; see `OwnedPartitionOptions`. */
  readonly newClaimId?: () => string;
  readonly time: Time;
  readonly tracing: Tracing;
}

/** Headers of every record; none of them is part of the value. */
const headerNames = {
  /** The object that it comes from, `group/kind/namespace/name`. */
  object: 'object',
  /** The file (or API object), and its version. */
  unit: 'unit',
  version: 'source-version',
  /** In `history`: where else the record is. */
  topic: 'topic',
} as const;

type Topic = PublishedEvent['topic'];

/** Which part of a key is its cluster: ingesters of several clusters share all partitions. */
const clusterParts: Readonly<Record<Topic, number>> = {
  config: 0,
  endpoints: 1,
  objects: 0,
};

/** Where a topic's partitions begin among those that are owned. */
const firstOf: Readonly<Record<Topic, number>> = { config: 0, objects: 1, endpoints: 2 };

interface Owned {
  readonly topic: Topic;
  readonly partition: OwnedPartition;
  /** By key, what each record that was there comes from. */
  readonly sources: Map<string, string>;
}

export class EventLog implements EventWriter {
  readonly #options: EventLogOptions;
  readonly #owned: readonly Owned[];
  readonly #lost = new AbortController();

  private constructor(options: EventLogOptions, owned: readonly Owned[]) {
    this.#options = options;
    this.#owned = owned;
    // Not `AbortSignal.any`: while somebody listens to one, it is kept, with all that is behind it.
    for (const { partition } of owned) {
      const tell = (): void => this.#lost.abort(partition.lost.reason);
      partition.lost.addEventListener('abort', tell, { once: true });
      if (partition.lost.aborted) tell();
    }
  }

  /** Aborts when another process has taken the records over, or the log is gone for good. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Takes the records of the cluster over from whoever had them. Throws the log's errors. */
  static async open(options: EventLogOptions): Promise<EventLog> {
    const { partitions, cluster } = options;
    const open = async (topic: Topic, index: number): Promise<Owned> => {
      const domain = { part: clusterParts[topic], value: cluster };
      const sources = new Map<string, string>();
      const takenOver = ({ key, value, headers }: LogRecord): void => {
        const source = value && headers[headerNames.object];
        if (source === undefined) sources.delete(key);
        else sources.set(key, source);
      };
      const place = { topic, partition: index, domain };
      const partition = await OwnedPartition.open({ ...options, ...place, takenOver });
      return { topic, partition, sources };
    };
    const endpoints = Array.from({ length: partitions.endpoints }, (_, at) => at);
    const opened = await Promise.allSettled([
      open(topics.config, 0),
      open(topics.objects, 0),
      ...endpoints.map((at) => open(topics.endpoints, at)),
    ]);
    const owned = opened.flatMap((result) => (result.status === 'fulfilled' ? result.value : []));
    for (const result of opened) {
      if (result.status === 'fulfilled') continue;
      await Promise.all(owned.map(({ partition }) => partition.close()));
      throw result.reason;
    }
    return new EventLog(options, owned);
  }

  /** What the log holds for the cluster; before anything is written, and once. */
  stored(): Stored {
    const events = this.#owned.flatMap(({ topic, partition, sources }) =>
      topic === topics.objects ? [] : eventsIn(topic, partition, sources),
    );
    for (const { sources } of this.#owned) sources.clear();
    return { objects: this.objects(), events };
  }

  /** The part of `stored` that is known at once. */
  objects(): Stored['objects'] {
    return this.#owned.flatMap(({ topic, partition }) =>
      topic === topics.objects
        ? Array.from(partition.entries(), ([key, value]) => ({ topic, key, value }))
        : [],
    );
  }

  /**
   * Resolves when all are durable, in `history` too; they go in the order of `turnOf`. Writing the
   * same again is safe.
   */
  write(batch: readonly EventWrite[]): Promise<void> {
    const traces = new Set(batch.flatMap(({ traceparent }) => traceparent ?? []));
    const [parent, ...links] = traces;
    const attributes = { 'watershed.records': batch.length };
    return traced(this.#options.tracing, 'append', { parent, links, attributes }, () =>
      this.#append(batch),
    );
  }

  async #append(batch: readonly EventWrite[]): Promise<void> {
    // Endpoints wait for no object's record: after a crash between the two it is a version behind,
    // which shows only if the object has become bad before the next process reads it.
    const steps = Map.groupBy(batch, stepOf);
    for (const [, events] of [...steps].sort(([a], [b]) => a - b)) await this.#writeOwned(events);
    const events = batch.filter(({ topic }) => topic !== topics.objects);
    if (events.length > 0) {
      await this.#options.log.append(events.map((event) => this.#historyOf(event)));
    }
  }

  async #writeOwned(batch: readonly EventWrite[]): Promise<void> {
    const writes = new Map<OwnedPartition, OwnedWrite[]>();
    for (const event of batch) {
      const { topic, key, value } = event;
      const owned = this.#ownerOf(topic, key);
      const write = { key, value, headers: headersOf(event) };
      const list = writes.get(owned);
      if (list === undefined) writes.set(owned, [write]);
      else list.push(write);
    }
    const calls = [...writes].map(([owned, changes]) => owned.write(changes));
    // All have ended before one is tried again; the first error tells what to do.
    for (const result of await Promise.allSettled(calls)) {
      if (result.status === 'rejected') throw result.reason;
    }
  }

  #historyOf(event: EventWrite): Append {
    const { topic, key, value } = event;
    const headers = { ...headersOf(event), [headerNames.topic]: topic };
    const partition = this.#historyPartition(topic, key);
    return { topic: topics.history, partition, key, value, headers };
  }

  /**
   * The source has been listed, and all of it is written: what is left on the log of keys of which
   * nobody knows the value is deleted.
   */
  async complete(): Promise<void> {
    await Promise.all(this.#owned.map(({ partition }) => partition.complete()));
  }

  async close(): Promise<void> {
    await Promise.all(this.#owned.map(({ partition }) => partition.close()));
  }

  #ownerOf(topic: Topic, key: string): OwnedPartition {
    const index =
      topic === topics.endpoints
        ? partitionOf(parseEndpointsKey(key).host, this.#options.partitions.endpoints)
        : 0;
    const owned = this.#owned[firstOf[topic] + index];
    if (owned === undefined) throw new RangeError(`no partition for ${topic} ${key}`);
    return owned.partition;
  }

  #historyPartition(topic: Topic, key: string): number {
    if (topic === topics.config) return 0;
    return partitionOf(parseEndpointsKey(key).host, this.#options.partitions.history);
  }
}

/** One append each, in their order; that of configuration keeps the order that it is given in. */
function stepOf(event: EventWrite): number {
  return event.topic === topics.config ? 2 : Math.max(1, turnOf(event));
}

function eventsIn(
  topic: StoredEvent['topic'],
  partition: OwnedPartition,
  sources: ReadonlyMap<string, string>,
): readonly StoredEvent[] {
  return Array.from(partition.entries(), ([key, value]) => {
    const owner = sources.get(key) ?? `/unknown//${key.replaceAll('|', ' ')}`;
    return { topic, key, value, owner };
  });
}

function headersOf({ owner, unit, version, traceparent }: EventWrite): Record<string, string> {
  return {
    [schemaHeader]: String(schemaVersion),
    [headerNames.object]: owner,
    [headerNames.unit]: unit,
    [headerNames.version]: version,
    ...(traceparent === undefined ? {} : { traceparent }),
  };
}
