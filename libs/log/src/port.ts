/**
 * The log: the only door between tiers. Two adapters stand behind this port, an embedded one and
 * Kafka; one conformance suite runs over both.
 *
 * A topic has a fixed number of partitions, each an ordered sequence of keyed records. Offsets grow
 * by one or more from record to record (compaction leaves gaps). Compaction keeps the last _append_
 * of a key, so what is applied is decided by writer epochs, never by arrival (see `fold.ts` and
 * `owned.ts`).
 */

/** How long a topic's records are kept. */
export type Retention =
  /** The last record of each key; tombstones at least `tombstoneMs`. */
  | { readonly kind: 'compact'; readonly tombstoneMs: number }
  /** Everything, for `ms`. */
  | { readonly kind: 'time'; readonly ms: number };

export interface TopicSpec {
  readonly name: string;
  readonly partitions: number;
  readonly retention: Retention;
}

/**
 * Where a reader stands: the next offset that it wants, in one incarnation of a topic. A position
 * outlives its process; `topicId` tells a deleted and recreated (or restored) topic from the one
 * that it was taken in. Keep it whole: an adapter that cannot see which tombstones are gone (Kafka)
 * judges by `atMs`.
 */
export interface Position {
  readonly topicId: string;
  readonly offset: number;
  /**
   * When its reader last had all there was, or began with nothing; milliseconds since the Unix
   * epoch.
   */
  readonly atMs?: number;
  /**
   * Of the last record that was read, where the log counts its leaders (Kafka): tells a log that
   * was put back to an older copy and has grown beyond `offset` since.
   */
  readonly leaderEpoch?: number;
}

export interface LogRecord {
  readonly key: string;
  /** `undefined`: a tombstone. */
  readonly value: Uint8Array | undefined;
  /** `traceparent`, `schema`, `epoch` and the like; never part of the value's equality. */
  readonly headers: Readonly<Record<string, string>>;
  readonly offset: number;
  /** Milliseconds since the Unix epoch, as the log saw the append. */
  readonly timestampMs: number;
}

export interface Append {
  readonly topic: string;
  readonly partition: number;
  readonly key: string;
  readonly value: Uint8Array | undefined;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * Why a reader starts at the beginning instead of where it stood. It must then read all, up to the
 * first batch that is `caughtUp`, and drop every key that it holds and did not see (`Fold` does).
 */
export type Reset =
  /** No position was given. */
  | 'no-position'
  /** The topic was recreated or restored. */
  | 'other-topic'
  /** Tombstones (of a topic kept by time: records) after the position may be gone already. */
  | 'older-than-tombstones'
  /** The log ends before the position: it lost its tail, or was restored from an old copy. */
  | 'beyond-end';

export interface ReadBatch {
  /**
   * Present on the batch with which the reader starts over: the first one, or a later one when it
   * fell so far behind that tombstones after its position are gone, or when the topic was recreated
   * under it.
   */
  readonly reset?: Reset;
  /** In offset order; may be empty. */
  readonly records: readonly LogRecord[];
  /** Where to go on after this batch. */
  readonly position: Position;
  /**
   * The partition's end, as known when the batch was fetched, is reached (told from the fetch
   * position).
   */
  readonly caughtUp: boolean;
}

export interface ReadOptions {
  /**
   * How late a reader that has read all may hear of more, in ms; asked each time that it begins to
   * wait. Who is in no hurry costs the log and itself less. Default 0: at once.
   */
  readonly lagMs?: () => number;
}

export interface Log {
  /** Creates what is absent. A topic whose partition count differs from its spec is an error. */
  ensureTopics(specs: readonly TopicSpec[]): Promise<void>;

  /**
   * Appends in the order given within each partition, behind all earlier calls of this process, and
   * resolves with one offset per record when all are durable. An invalid record (too large, of no
   * topic) fails the call before anything is appended. On another error a prefix per partition may
   * have been appended, or may still be (a request that timed out), but nothing of one call twice
   * (see `ownership.ts`, Limits): appending again is safe, because readers fold by key and epoch.
   */
  append(records: readonly Append[]): Promise<readonly number[]>;

  /**
   * Reads one partition for ever, from `from` (or the beginning), until `signal` aborts. Yields at
   * least one batch (possibly empty and caught up) at once, then whenever there is more; where the
   * log can be away, an empty one every few seconds as well, so that silence says that it is. The
   * reader sets the pace: nothing is fetched while a batch is being worked on, beyond one bounded
   * prefetch.
   */
  read(
    topic: string,
    partition: number,
    from: Position | undefined,
    signal: AbortSignal,
    options?: ReadOptions,
  ): AsyncIterable<ReadBatch>;

  /** The position behind the last record. */
  end(topic: string, partition: number): Promise<Position>;

  close(): Promise<void>;
}

/** What a log call fails with. `retriable` says whether the same call may succeed later. */
export class LogError extends Error {
  readonly code: LogErrorCode;
  readonly retriable: boolean;
  constructor(
    code: LogErrorCode,
    message: string,
    options: { retriable: boolean; cause?: unknown },
  ) {
    super(message, { cause: options.cause });
    this.name = 'LogError';
    this.code = code;
    this.retriable = options.retriable;
  }
}

/** Whether the same may succeed later. */
export function isRetriable(error: unknown): boolean {
  return error instanceof LogError && error.retriable;
}

export type LogErrorCode =
  | 'unknown-topic'
  | 'partition-mismatch'
  | 'record-too-large'
  /** This process may not, or nobody knows it; whoever rules the log can change that meanwhile. */
  | 'not-allowed'
  /** Somebody else is the owner now. */
  | 'fenced'
  /** It is not what was read and appended: put back to an older copy, or made anew. */
  | 'other-log'
  | 'unavailable'
  | 'corrupt'
  | 'closed'
  | 'locked';
