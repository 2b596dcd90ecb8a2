/**
 * The log on Apache Kafka (3.1 or later), on the protocol's calls themselves.
 *
 * Not on a client's producer and consumer, because a reader has to see what those hide: the batches
 * of an answer (what compaction emptied still moves the position, and "caught up" is told from it)
 * and topic ids (a topic that was created again is another one). Readers belong to no group: each
 * fetches its partition from its leader. Appends are idempotent, one batch in flight per
 * partition.
 *
 * Kafka does not tell which tombstones it removed. It keeps each for `delete.retention.ms` after
 * its key was compacted first, so a reader that had everything at some time, or began with nothing
 * then, has that long to read on. Positions carry that time (`atMs`); beyond it a reader starts
 * over.
 */
import type { ConnectionOptions } from '@platformatic/kafka';
import { ackTimeoutMs, PartitionAppender } from './kafka/append.ts';
import { KafkaClient } from './kafka/client.ts';
import { failure } from './kafka/failure.ts';
import { Ends } from './kafka/ends.ts';
import { PartitionReader } from './kafka/reader.ts';
import { ensureTopic, retentionOf } from './kafka/topics.ts';
import { LogError } from './port.ts';
import type {
  Append,
  Log,
  Position,
  ReadBatch,
  ReadOptions,
  Retention,
  TopicSpec,
} from './port.ts';
import { checkedBytes } from './size.ts';
import { abortable, within, type LogTime } from './time.ts';

/** So often a reader that has read all hears that the log is there. */
export const readWaitMs = 2_000;

/**
 * A broker that has not answered by then says nothing any more, and others are asked: later than a
 * leader without its followers would answer, and before whoever calls gives up.
 */
const requestTimeoutMs = ackTimeoutMs + 2_000;

/** Whoever has not heard of an append by then has waited for it as long as there was time. */
const closeWaitMs = 500;

export interface KafkaLogOptions {
  /** `host:port` of some brokers of the cluster. */
  readonly brokers: readonly string[];
  readonly time: LogTime;
  /** In the brokers' logs and quotas. Default `watershed`. */
  readonly clientId?: string;
  readonly tls?: NonNullable<ConnectionOptions['tls']>;
  readonly sasl?: NonNullable<ConnectionOptions['sasl']>;
  /** Of batches that are appended; readers take all. Default none. */
  readonly compression?: 'none' | 'gzip' | 'zstd';
  /** Of topics that are created. Default: the cluster's (`default.replication.factor`). */
  readonly replicationFactor?: number;
  /** More configuration of topics that are created, such as `segment.ms`. */
  readonly topicConfig?: Readonly<Record<string, string>>;
  /** Of key, headers and value together. Default 1 MiB; topics are created to take it. */
  readonly maxRecordBytes?: number;
  /** Of one batch that a reader gets. Default 1,000. */
  readonly maxBatchRecords?: number;
  /** Of one batch, unless a single one of the broker's is bigger. Default 1 MiB. */
  readonly maxBatchBytes?: number;
  /** Of appends that wait for their answer; beyond it appends fail at once. Default 64 MiB. */
  readonly maxPendingBytes?: number;
  /** How long an append is tried. Default 30 s. */
  readonly appendTimeoutMs?: number;
  /** How long other calls are tried. Default 15 s. */
  readonly callTimeoutMs?: number;
  /** How long a broker may keep the request of a reader that is at the end. Default 2 s. */
  readonly readWaitMs?: number;
  /** Told when a call fails and is made again. Default: ignored. */
  readonly onRetry?: (error: LogError) => void;
}

/** Connects; fails with `unavailable` when no broker answers. */
export async function openKafkaLog(options: KafkaLogOptions): Promise<Log> {
  const client = new KafkaClient({
    brokers: options.brokers,
    clientId: options.clientId ?? 'watershed',
    time: options.time,
    tls: options.tls,
    sasl: options.sasl,
    connectTimeoutMs: 5_000,
    requestTimeoutMs,
    onRetry: options.onRetry ?? (() => undefined),
  });
  try {
    await client.any();
  } catch (cause) {
    client.close();
    throw failure('connect', cause);
  }
  return new KafkaLog(client, options);
}

class KafkaLog implements Log {
  readonly #client: KafkaClient;
  readonly #options: KafkaLogOptions;
  readonly #appenders = new Map<string, PartitionAppender>();
  readonly #retentions = new Map<string, Promise<Retention | undefined>>();
  readonly #readers = new Set<PartitionReader>();
  readonly #ends: Ends;
  #pendingBytes = 0;
  /** Calls of `append` that are still looking up their topics: appends keep the order of calls. */
  #lookUp: Promise<unknown> = Promise.resolve();
  #closing = false;
  #closed = false;

  constructor(client: KafkaClient, options: KafkaLogOptions) {
    this.#client = client;
    this.#options = options;
    const maxBytes = this.#maxBatchBytes;
    this.#ends = new Ends({ client, time: options.time, maxBytes });
  }

  async ensureTopics(specs: readonly TopicSpec[]): Promise<void> {
    this.#checkOpen();
    for (const spec of specs) {
      await ensureTopic(this.#client, spec, {
        replicationFactor: this.#options.replicationFactor ?? -1,
        maxRecordBytes: this.#maxRecordBytes,
        config: this.#options.topicConfig ?? {},
        timeoutMs: this.#callTimeoutMs,
      });
    }
  }

  async append(records: readonly Append[]): Promise<readonly number[]> {
    this.#checkOpen();
    if (records.length === 0) return [];
    let bytes = 0;
    const sizes = records.map((record) => {
      const size = checkedBytes(record, this.#maxRecordBytes);
      bytes += size;
      return size;
    });
    const most = this.#options.maxPendingBytes ?? 64 * 1024 * 1024;
    if (this.#pendingBytes > 0 && this.#pendingBytes + bytes > most) {
      throw new LogError('unavailable', `more than ${most} bytes wait to be appended`, {
        retriable: true,
      });
    }
    this.#pendingBytes += bytes;
    try {
      return await this.#enqueue(records, sizes);
    } finally {
      this.#pendingBytes -= bytes;
    }
  }

  /** Checks the partitions, then hands the records to them, in the order of the calls. */
  async #enqueue(records: readonly Append[], sizes: readonly number[]): Promise<readonly number[]> {
    const check = this.#checkPartitions(records);
    check.catch(() => undefined);
    const pushed = this.#lookUp.then(async () => {
      await check;
      return { offsets: this.#push(records, sizes) };
    });
    this.#lookUp = pushed.catch(() => undefined);
    return (await pushed).offsets;
  }

  async #push(records: readonly Append[], sizes: readonly number[]): Promise<readonly number[]> {
    const byPartition = new Map<PartitionAppender, number[]>();
    for (const [index, { topic, partition }] of records.entries()) {
      const appender = this.#appender(topic, partition);
      const indices = byPartition.get(appender);
      if (indices === undefined) byPartition.set(appender, [index]);
      else indices.push(index);
    }
    const offsets: number[] = [];
    const calls = [...byPartition].map(async ([appender, indices]) => {
      const appended = await new Promise<readonly number[]>((resolve, reject) => {
        appender.push({
          records: indices.flatMap((index) => records[index] ?? []),
          sizes: indices.map((index) => sizes[index] ?? 0),
          resolve,
          reject,
        });
      });
      for (const [i, index] of indices.entries()) offsets[index] = appended[i] ?? -1;
    });
    await Promise.all(calls);
    return offsets;
  }

  async #checkPartitions(records: readonly Append[]): Promise<void> {
    const checked = new Set<string>();
    for (const { topic, partition } of records) {
      const key = `${topic}/${partition}`;
      if (checked.has(key)) continue;
      checked.add(key);
      await this.#checkPartition(topic, partition);
    }
  }

  async #checkPartition(name: string, partition: number): Promise<void> {
    const topic = await this.#client.retry(`find topic ${name}`, name, this.#callTimeoutMs, () =>
      this.#client.topic(name),
    );
    if (topic.leaders[partition] === undefined) {
      throw new LogError('unknown-topic', `there is no partition ${partition} of topic ${name}`, {
        retriable: false,
      });
    }
  }

  #appender(topic: string, partition: number): PartitionAppender {
    const key = `${topic}/${partition}`;
    let appender = this.#appenders.get(key);
    if (appender === undefined) {
      const timeoutMs = this.#options.appendTimeoutMs ?? 30_000;
      appender = new PartitionAppender(
        this.#client,
        this.#options.time,
        topic,
        partition,
        timeoutMs,
        this.#options.compression ?? 'none',
      );
      this.#appenders.set(key, appender);
    }
    return appender;
  }

  async *read(
    topic: string,
    partition: number,
    from: Position | undefined,
    signal: AbortSignal,
    { lagMs = () => 0 }: ReadOptions = {},
  ): AsyncGenerator<ReadBatch, void, void> {
    this.#checkOpen();
    try {
      await abortable(this.#checkPartition(topic, partition), signal);
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
    const reader = new PartitionReader(
      {
        client: this.#client,
        ends: this.#ends,
        time: this.#options.time,
        maxBytes: this.#maxBatchBytes,
        maxRecords: this.#options.maxBatchRecords ?? 1_000,
        maxWaitMs: this.#options.readWaitMs ?? readWaitMs,
        lagMs,
        retention: (name) => this.#retention(name),
        isClosed: () => this.#closing,
      },
      topic,
      partition,
      signal,
    );
    this.#readers.add(reader);
    try {
      yield* reader.read(from);
    } finally {
      this.#readers.delete(reader);
    }
  }

  #retention(topic: string): Promise<Retention | undefined> {
    const known = this.#retentions.get(topic) ?? retentionOf(this.#client, topic);
    this.#retentions.set(topic, known);
    known.catch(() => this.#retentions.delete(topic));
    return known;
  }

  async end(topic: string, partition: number): Promise<Position> {
    this.#checkOpen();
    await this.#checkPartition(topic, partition);
    return this.#client.retry(`find the end of ${topic}`, topic, this.#callTimeoutMs, async () => {
      const atMs = this.#options.time.now();
      const offset = await this.#client.offset(topic, partition, -1n);
      await this.#client.refresh(topic);
      return { topicId: (await this.#client.topic(topic)).id, offset, atMs };
    });
  }

  /** Waits for appends to be answered, not for long, then ends readers and connections. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closing = true;
    for (const reader of this.#readers) reader.end();
    await within(this.#options.time, closeWaitMs, this.#drained());
    this.#closed = true;
    this.#client.close();
  }

  async #drained(): Promise<void> {
    await this.#lookUp;
    await Promise.resolve();
    await Promise.all([...this.#appenders.values()].map((appender) => appender.drained()));
  }

  get #maxBatchBytes(): number {
    return this.#options.maxBatchBytes ?? 1024 * 1024;
  }

  get #maxRecordBytes(): number {
    return this.#options.maxRecordBytes ?? 1024 * 1024;
  }

  get #callTimeoutMs(): number {
    return this.#options.callTimeoutMs ?? 15_000;
  }

  #checkOpen(): void {
    if (this.#closing) throw new LogError('closed', 'the log is closed', { retriable: false });
  }
}
