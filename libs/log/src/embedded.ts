/**
 * The embedded log: one SQLite file in one directory, held by one process. The default, with
 * nothing to install.
 *
 * Appends of one turn of the event loop become one transaction, so a burst costs one fsync (0.3 ms
 * on an NVMe disk, which the event loop waits for: the price of one thread and of a file that any
 * SQLite tool reads). Readers are woken by commits and never poll. Compaction runs in slices of a
 * few milliseconds.
 */
import { randomUUID } from 'node:crypto';
import { Compactor } from './embedded/compaction.ts';
import { failure } from './embedded/failure.ts';
import { Wakeups, readPartition } from './embedded/reader.ts';
import { Store } from './embedded/store.ts';
import type { StoredPartition, StoredTopic } from './embedded/store.ts';
import { LogError } from './port.ts';
import type { Append, Log, Position, ReadBatch, Retention, TopicSpec } from './port.ts';
import { checkedBytes } from './size.ts';
import { turn } from './time.ts';
import type { LogTime } from './time.ts';

export interface EmbeddedLogOptions {
  /**
   * Created if absent. Holds `log.db`, `log.db-wal` and `holder` (the pid of the process that uses
   * it).
   */
  readonly dir: string;
  readonly time: LogTime;
  /** A new topic's id; random and unique. Default: a version 4 UUID. */
  readonly newTopicId?: () => string;
  /** Of key, headers and value together. Default 1 MiB. */
  readonly maxRecordBytes?: number;
  /** Of all topics together. Default 1,024: each is three tables in the file. */
  readonly maxPartitions?: number;
  /** Of one batch that a reader gets. Default 1,000. */
  readonly maxBatchRecords?: number;
  /** Of one batch, unless its only record is bigger. Default 1 MiB. */
  readonly maxBatchBytes?: number;
  /** Of appends that wait for their commit; beyond it appends fail at once. Default 64 MiB. */
  readonly maxPendingBytes?: number;
  /** Of the file; beyond it appends fail as on a full disk. Default: unlimited. */
  readonly maxFileBytes?: number;
  /** Between two rounds of background compaction. Default 10 s. */
  readonly compactEveryMs?: number;
  /** A partition is compacted in the background from this many new records on. Default 1,000. */
  readonly compactAfterRecords?: number;
  /** Told when a background round fails (it is tried again at the next one). Default: ignored. */
  readonly onBackgroundError?: (error: unknown) => void;
}

export interface EmbeddedLog extends Log {
  /**
   * Compacts and expires all that can be now; resolves when done. The event loop gets turns in
   * between.
   */
  compact(): Promise<void>;
}

/**
 * Opens the log, or creates it. Fails with `locked` while another process holds the directory, and
 * with `corrupt` when the file is damaged.
 */
export async function openEmbeddedLog(options: EmbeddedLogOptions): Promise<EmbeddedLog> {
  return new SqliteLog(options);
}

/** Of one transaction: bounds the time that the event loop waits for. */
const maxCommitBytes = 4 * 1024 * 1024;
const maxCommitRecords = 5_000;

interface PendingAppend {
  readonly records: readonly Append[];
  readonly partitions: readonly StoredPartition[];
  readonly bytes: number;
  readonly resolve: (offsets: readonly number[]) => void;
  readonly reject: (error: unknown) => void;
}

class SqliteLog implements EmbeddedLog {
  readonly #options: EmbeddedLogOptions;
  readonly #time: LogTime;
  readonly #store: Store;
  readonly #compactor: Compactor;
  readonly #wakeups = new Wakeups();
  readonly #pending: PendingAppend[] = [];
  #pendingBytes = 0;
  #commitScheduled = false;
  #closed = false;
  #background: { cancel(): void };
  #compacting: Promise<void> | undefined;

  constructor(options: EmbeddedLogOptions) {
    this.#options = options;
    this.#time = options.time;
    this.#store = new Store(options.dir, options.maxFileBytes);
    this.#compactor = new Compactor(this.#store);
    this.#background = this.#scheduleRound();
  }

  async ensureTopics(specs: readonly TopicSpec[]): Promise<void> {
    this.#checkOpen();
    for (const spec of specs) {
      const topic = this.#store.topics.get(spec.name);
      if (topic === undefined) this.#createTopic(spec);
      else if (topic.partitions.length !== spec.partitions) {
        throw mismatch(
          `topic ${spec.name} has ${topic.partitions.length} partitions, not ${spec.partitions}: ` +
            'the number is fixed, another one needs another topic',
        );
      } else if (!sameRetention(topic.retention, spec.retention)) {
        this.#store.setRetention(topic, spec.retention);
      }
    }
  }

  #createTopic(spec: TopicSpec): void {
    let partitions = spec.partitions;
    if (!Number.isInteger(partitions) || partitions < 1) {
      throw mismatch(`topic ${spec.name} cannot have ${partitions} partitions`);
    }
    for (const topic of this.#store.topics.values()) partitions += topic.partitions.length;
    const most = this.#options.maxPartitions ?? 1_024;
    if (partitions > most) {
      throw mismatch(
        `topic ${spec.name} would make ${partitions} partitions; this log has at most ${most}`,
      );
    }
    this.#store.createTopic(spec, (this.#options.newTopicId ?? randomUUID)());
  }

  append(records: readonly Append[]): Promise<readonly number[]> {
    return new Promise((resolve, reject) => {
      this.#checkOpen();
      let bytes = 0;
      const partitions = records.map((record) => {
        const partition = this.#partition(record.topic, record.partition)[1];
        bytes += checkedBytes(record, this.#options.maxRecordBytes ?? 1024 * 1024);
        return partition;
      });
      if (records.length === 0) {
        resolve([]);
        return;
      }
      const most = this.#options.maxPendingBytes ?? 64 * 1024 * 1024;
      if (this.#pendingBytes + bytes > most && this.#pending.length > 0) {
        throw new LogError('unavailable', `more than ${most} bytes wait to be written`, {
          retriable: true,
        });
      }
      this.#pending.push({ records, partitions, bytes, resolve, reject });
      this.#pendingBytes += bytes;
      this.#scheduleCommit();
    });
  }

  #scheduleCommit(): void {
    if (this.#commitScheduled) return;
    this.#commitScheduled = true;
    this.#time.soon(() => {
      this.#commitScheduled = false;
      if (this.#closed) return;
      this.#commit();
      if (this.#pending.length > 0) this.#scheduleCommit();
    });
  }

  /** Writes the oldest pending appends, as many as fit one transaction. */
  #commit(): void {
    const group: PendingAppend[] = [];
    let bytes = 0;
    let count = 0;
    for (const append of this.#pending) {
      bytes += append.bytes;
      count += append.records.length;
      if (group.length > 0 && (bytes > maxCommitBytes || count > maxCommitRecords)) break;
      group.push(append);
      this.#pendingBytes -= append.bytes;
    }
    this.#pending.splice(0, group.length);
    const nowMs = this.#time.now();
    const next = new Map<StoredPartition, number>();
    let offsets: readonly (readonly number[])[] = [];
    try {
      this.#store.transaction('append', () => {
        offsets = group.map((append) => insertAll(append, next, nowMs));
      });
    } catch (error) {
      for (const append of group) append.reject(error);
      return;
    }
    for (const [partition, offset] of next) {
      partition.next = offset;
      partition.lastTimestampMs = Math.max(partition.lastTimestampMs, nowMs);
    }
    for (const [index, append] of group.entries()) append.resolve(offsets[index] ?? []);
    for (const partition of next.keys()) this.#wakeups.wake(partition);
  }

  async *read(
    topic: string,
    partition: number,
    from: Position | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<ReadBatch, void, void> {
    this.#checkOpen();
    const [storedTopic, storedPartition] = this.#partition(topic, partition);
    yield* readPartition(
      {
        time: this.#time,
        wakeups: this.#wakeups,
        maxRecords: this.#options.maxBatchRecords ?? 1_000,
        maxBytes: this.#options.maxBatchBytes ?? 1024 * 1024,
        isClosed: () => this.#closed,
        guard: (what, read) => {
          try {
            return read();
          } catch (cause) {
            throw failure(this.#store.file, what, cause);
          }
        },
      },
      storedTopic,
      storedPartition,
      from,
      signal,
    );
  }

  async end(topic: string, partition: number): Promise<Position> {
    this.#checkOpen();
    const [storedTopic, storedPartition] = this.#partition(topic, partition);
    return { topicId: storedTopic.id, offset: storedPartition.next };
  }

  async compact(): Promise<void> {
    this.#checkOpen();
    await this.#compacting?.catch(() => undefined);
    await this.#compactFrom(1);
  }

  /**
   * One round over all partitions with at least `records` new ones. Tombstones and old records
   * always.
   */
  #compactFrom(records: number): Promise<void> {
    const round = async (): Promise<void> => {
      for (const topic of this.#store.topics.values()) {
        for (const partition of topic.partitions) {
          const backlog = this.#compactor.backlog(topic, partition);
          if (backlog > 0 && backlog < records) continue;
          const below = partition.next;
          while (this.#slice(topic, partition, below)) await turn(this.#time);
        }
      }
      while (!this.#closed && this.#compactor.shrink()) await turn(this.#time);
    };
    this.#compacting = round().finally(() => {
      this.#compacting = undefined;
    });
    return this.#compacting;
  }

  #slice(topic: StoredTopic, partition: StoredPartition, below: number): boolean {
    return !this.#closed && this.#compactor.slice(topic, partition, below, this.#time.now());
  }

  #scheduleRound(): { cancel(): void } {
    return this.#time.after(this.#options.compactEveryMs ?? 10_000, () => {
      this.#compactInBackground()
        .catch((error: unknown) => this.#options.onBackgroundError?.(error))
        .finally(() => {
          if (!this.#closed) this.#background = this.#scheduleRound();
        });
    });
  }

  async #compactInBackground(): Promise<void> {
    await this.#compacting?.catch(() => undefined);
    if (!this.#closed) await this.#compactFrom(this.#options.compactAfterRecords ?? 1_000);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    while (this.#pending.length > 0) this.#commit();
    this.#closed = true;
    this.#background.cancel();
    this.#wakeups.wakeAll();
    await this.#compacting?.catch(() => undefined);
    this.#store.close();
  }

  #checkOpen(): void {
    if (this.#closed) throw new LogError('closed', 'the log is closed', { retriable: false });
  }

  #partition(name: string, partition: number): readonly [StoredTopic, StoredPartition] {
    const topic = this.#store.topics.get(name);
    const found = topic?.partitions[partition];
    if (topic === undefined || found === undefined) {
      const what =
        topic === undefined ? `topic ${name}` : `partition ${partition} of topic ${name}`;
      throw new LogError('unknown-topic', `there is no ${what}`, { retriable: false });
    }
    return [topic, found];
  }
}

function insertAll(
  { records, partitions }: PendingAppend,
  next: Map<StoredPartition, number>,
  nowMs: number,
): readonly number[] {
  return partitions.map((partition, index) => {
    const offset = next.get(partition) ?? partition.next;
    next.set(partition, offset + 1);
    const record = records[index];
    if (record !== undefined) {
      partition.insert(offset, Math.max(nowMs, partition.lastTimestampMs), record);
    }
    return offset;
  });
}

function sameRetention(a: Retention, b: Retention): boolean {
  return a.kind === 'compact'
    ? b.kind === 'compact' && a.tombstoneMs === b.tombstoneMs
    : b.kind === 'time' && a.ms === b.ms;
}

function mismatch(message: string): LogError {
  return new LogError('partition-mismatch', message, { retriable: false });
}
