import { LogError } from '../port.ts';
import type { Position, ReadBatch, Reset } from '../port.ts';
import { turn } from '../time.ts';
import type { LogTime } from '../time.ts';
import type { StoredPartition, StoredTopic } from './store.ts';

/** Readers that wait for more; told of each commit. */
export class Wakeups {
  readonly #waiting = new Map<StoredPartition, Set<() => void>>();

  wake(partition: StoredPartition): void {
    const waiting = this.#waiting.get(partition);
    this.#waiting.delete(partition);
    if (waiting !== undefined) for (const resolve of waiting) resolve();
  }

  wakeAll(): void {
    for (const partition of [...this.#waiting.keys()]) this.wake(partition);
  }

  /** Resolves at the next commit to the partition, or when the signal aborts. */
  wait(partition: StoredPartition, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(partition) ?? new Set();
      this.#waiting.set(partition, waiting);
      const done = (): void => {
        signal.removeEventListener('abort', done);
        waiting.delete(done);
        resolve();
      };
      waiting.add(done);
      signal.addEventListener('abort', done, { once: true });
    });
  }
}

export interface ReadContext {
  readonly time: LogTime;
  readonly wakeups: Wakeups;
  readonly maxRecords: number;
  readonly maxBytes: number;
  readonly isClosed: () => boolean;
  /** Runs a read of the file; its errors are the log's. */
  readonly guard: <T>(what: string, read: () => T) => T;
}

/** Where a reader stands within one call of `read`. */
class Cursor {
  offset: number;
  /** To be told with the next batch. */
  reset: Reset | undefined;
  /** When it began with nothing; `undefined` while it goes on from a position. */
  #scratchMs: number | undefined;
  readonly #topic: StoredTopic;
  readonly #partition: StoredPartition;

  constructor(
    topic: StoredTopic,
    partition: StoredPartition,
    from: Position | undefined,
    nowMs: number,
  ) {
    this.#topic = topic;
    this.#partition = partition;
    this.offset = from?.offset ?? 0;
    if (from === undefined) this.#startOver('no-position', nowMs);
    else if (from.topicId !== topic.id) this.#startOver('other-topic', nowMs);
    else if (from.offset > partition.next) this.#startOver('beyond-end', nowMs);
    else if (from.offset < partition.floor) this.#startOver('older-than-tombstones', nowMs);
  }

  /** A slow reader can be overtaken by compaction. */
  check(nowMs: number): void {
    if (this.offset >= this.#partition.floor) return;
    if (this.#scratchMs !== undefined) {
      const { retention } = this.#topic;
      if (retention.kind === 'time') return;
      // What it read was superseded after it began, so those tombstones stay that long.
      if (nowMs - this.#scratchMs < retention.tombstoneMs) return;
    }
    this.#startOver('older-than-tombstones', nowMs);
  }

  advance(next: number): void {
    this.offset = next;
    if (next === this.#partition.next) this.#scratchMs = undefined;
  }

  #startOver(reset: Reset, nowMs: number): void {
    this.reset = reset;
    this.offset = 0;
    this.#scratchMs = nowMs;
  }
}

export async function* readPartition(
  context: ReadContext,
  topic: StoredTopic,
  partition: StoredPartition,
  from: Position | undefined,
  signal: AbortSignal,
): AsyncGenerator<ReadBatch, void, void> {
  const { time } = context;
  const cursor = new Cursor(topic, partition, from, time.now());
  let first = true;
  while (!signal.aborted) {
    if (context.isClosed()) throw new LogError('closed', 'the log is closed', { retriable: false });
    cursor.check(time.now());
    const { records, next } = context.guard(`read ${partition.label}`, () =>
      partition.read(cursor.offset, context.maxRecords, context.maxBytes),
    );
    cursor.advance(next);
    const caughtUp = next === partition.next;
    if (first || records.length > 0 || cursor.reset !== undefined) {
      const position = { topicId: topic.id, offset: next };
      const reset = cursor.reset;
      cursor.reset = undefined;
      first = false;
      yield { ...(reset === undefined ? {} : { reset }), records, position, caughtUp };
    }
    // The consumer may have taken long: what is there now decides whether to wait.
    if (next < partition.next) await turn(time);
    else if (!context.isClosed()) await context.wakeups.wait(partition, signal);
  }
}
