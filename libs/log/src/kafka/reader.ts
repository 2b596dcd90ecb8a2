import type { Connection } from '@platformatic/kafka';
import { LogError } from '../port.ts';
import type { LogRecord, Position, ReadBatch, Reset, Retention } from '../port.ts';
import { abortable, turn } from '../time.ts';
import type { LogTime } from '../time.ts';
import { Backoff } from './client.ts';
import type { KafkaClient } from './client.ts';
import { decodeBatch } from './codec.ts';
import { answerOf, type Answer, type Ends } from './ends.ts';
import { code, failure, refusal } from './failure.ts';
import { fetchOne, keyOf, type Standing } from './session.ts';

export interface ReadContext {
  readonly client: KafkaClient;
  readonly ends: Ends;
  readonly time: LogTime;
  readonly maxBytes: number;
  readonly maxRecords: number;
  /** How long a broker keeps a reader's request when there is nothing new. */
  readonly maxWaitMs: number;
  /** How late it may hear of what comes while it waits at the end. */
  readonly lagMs: () => number;
  readonly retention: (topic: string) => Promise<Retention | undefined>;
  readonly isClosed: () => boolean;
}

interface Fetched {
  readonly records: readonly LogRecord[];
  readonly leaderEpoch: number;
  readonly next: number;
  readonly end: number;
  /** Before the request was sent. */
  readonly askedMs: number;
}

type FetchResult =
  | { readonly kind: 'data'; readonly fetched: Fetched }
  | { readonly kind: 'reset'; readonly reset: Reset };

/**
 * One reader of one partition: fetches from its leader, with no group and no commits. A call that
 * fails is made again, for ever, unless it can never work.
 *
 * The end is told by the broker's high watermark against the fetch position, which goes by batches:
 * records that compaction removed, and the broker's own records, move it like others.
 */
export class PartitionReader {
  readonly #context: ReadContext;
  readonly #topic: string;
  readonly #partition: number;
  readonly #signal: AbortSignal;
  readonly #stop = new AbortController();
  #at: Standing;
  /** When it last had all there was, or began with nothing. */
  #atMs: number;
  #tombstoneMs: number | undefined;
  #connection: Connection | undefined;
  /** The high watermark at which a fetch below it came back empty. */
  #emptyBelow = -1;

  constructor(context: ReadContext, topic: string, partition: number, signal: AbortSignal) {
    this.#context = context;
    this.#topic = topic;
    this.#partition = partition;
    this.#signal = signal;
    this.#at = { topic, topicId: '', partition, key: '', offset: 0, leaderEpoch: -1 };
    this.#atMs = context.time.now();
  }

  async *read(from: Position | undefined): AsyncGenerator<ReadBatch, void, void> {
    if (this.#signal.aborted) return;
    const abort = (): void => this.end();
    this.#signal.addEventListener('abort', abort, { once: true });
    try {
      yield* this.#batches(from);
    } finally {
      this.#signal.removeEventListener('abort', abort);
      this.end();
    }
  }

  /** Ends what it waits for. */
  end(): void {
    this.#stop.abort();
    this.#drop();
  }

  async *#batches(from: Position | undefined): AsyncGenerator<ReadBatch, void, void> {
    let reset = await this.#persist('read', () => this.#begin(from));
    let waitMs = 0;
    let first = true;
    let ahead: Promise<FetchResult | undefined> | undefined;
    while (!this.#over()) {
      const result = await (ahead ?? this.#fetchPersistently(waitMs));
      ahead = undefined;
      if (result === undefined) break;
      if (result.kind === 'reset') {
        reset = result.reset;
        await this.#persist('read', () => this.#startOver());
        waitMs = 0;
        continue;
      }
      const { records, leaderEpoch, next, end, askedMs } = result.fetched;
      const caughtUp = next >= end;
      this.#stand(next, leaderEpoch);
      if (caughtUp) this.#atMs = askedMs;
      waitMs = caughtUp ? this.#context.maxWaitMs : 0;
      // At the end an empty one says that the log is there, once per `maxWaitMs`.
      if (records.length === 0 && !first && reset === undefined && !caughtUp) continue;
      // One batch ahead: the broker works while the reader does.
      if (!caughtUp) {
        ahead = this.#fetchPersistently(waitMs);
        ahead.catch(() => undefined);
      }
      yield* this.#portions(records, reset, caughtUp);
      // What came is worked on before more is asked for: there is nothing more yet.
      if (caughtUp && records.length > 0) await turn(this.#context.time);
      first = false;
      reset = undefined;
    }
    if (this.#context.isClosed() && !this.#signal.aborted) throw closed();
  }

  /** Cut to the bound of records; a batch of the broker may have more. */
  *#portions(
    records: readonly LogRecord[],
    reset: Reset | undefined,
    caughtUp: boolean,
  ): Generator<ReadBatch, void, void> {
    const most = this.#context.maxRecords;
    for (let from = 0; from === 0 || from < records.length; from += most) {
      const portion = records.slice(from, from + most);
      const isLast = from + most >= records.length;
      const offset = isLast ? this.#at.offset : (portion.at(-1)?.offset ?? 0) + 1;
      yield {
        ...(from > 0 || reset === undefined ? {} : { reset }),
        records: portion,
        position: this.#positionAt(offset),
        caughtUp: caughtUp && isLast,
      };
    }
  }

  #positionAt(offset: number): Position {
    const { topicId, leaderEpoch } = this.#at;
    const position = { topicId, offset, atMs: this.#atMs };
    return leaderEpoch < 0 ? position : { ...position, leaderEpoch };
  }

  /** Where to start, and why there. */
  async #begin(from: Position | undefined): Promise<Reset | undefined> {
    const { client, time, retention } = this.#context;
    // As it is now: it may have been created again since somebody asked last.
    await client.refresh(this.#topic);
    const { id } = await client.topic(this.#topic);
    const kept = await retention(this.#topic);
    this.#tombstoneMs = kept?.kind === 'compact' ? kept.tombstoneMs : undefined;
    this.#at = { ...this.#at, topicId: id, key: keyOf(id, this.#partition) };
    const nowMs = time.now();
    const beginning = await client.offset(this.#topic, this.#partition, -2n);
    const end = await client.offset(this.#topic, this.#partition, -1n);
    const reset = this.#judge(from, beginning, end, nowMs);
    if (reset === undefined) this.#stand(from?.offset ?? 0, from?.leaderEpoch ?? -1);
    else this.#stand(beginning, -1);
    // What compaction treats from now on keeps its tombstones long enough for who begins now.
    this.#atMs = reset === undefined ? (from?.atMs ?? nowMs) : nowMs;
    return reset;
  }

  #judge(
    from: Position | undefined,
    beginning: number,
    end: number,
    nowMs: number,
  ): Reset | undefined {
    if (from === undefined) return 'no-position';
    if (from.topicId !== this.#at.topicId) return 'other-topic';
    if (from.offset > end) return 'beyond-end';
    if (from.offset < beginning) return 'older-than-tombstones';
    const isOld =
      this.#tombstoneMs !== undefined &&
      (from.atMs === undefined || nowMs - from.atMs >= this.#tombstoneMs);
    // Behind the end there is nothing to have missed.
    return isOld && from.offset < end ? 'older-than-tombstones' : undefined;
  }

  async #startOver(): Promise<void> {
    await this.#begin(undefined);
  }

  async #fetchPersistently(waitMs: number): Promise<FetchResult | undefined> {
    return this.#persist('read', () => this.#fetch(waitMs));
  }

  /** Again and again, until it works or the reader is over (`undefined`). Throws what is final. */
  async #persist<T>(what: string, attempt: () => Promise<T>): Promise<T | undefined> {
    const backoff = new Backoff(this.#context.time);
    const label = `${what} ${this.#topic}/${this.#partition}`;
    for (;;) {
      try {
        return await abortable(attempt(), this.#stop.signal);
      } catch (cause) {
        if (this.#over()) return undefined;
        const error = failure(label, cause);
        // A topic that was there may be about to be created again.
        if (!error.retriable && error.code !== 'unknown-topic') throw error;
        this.#drop();
        this.#context.client.tellRetry(error);
      }
      await backoff.wait(this.#stop.signal);
      const refreshed = this.#context.client.refresh(this.#topic);
      await abortable(refreshed, this.#stop.signal).catch(() => undefined);
      if (this.#over()) return undefined;
    }
  }

  async #fetch(waitMs: number): Promise<FetchResult> {
    let asked = waitMs > 0 ? await this.#wait(waitMs) : undefined;
    // Where there is more and nothing came, only an answer about this partition alone says why.
    if (asked === undefined || this.#isLeftOut(asked)) asked = await this.#ask();
    const { errorCode, batches, end, diverges, throttled, askedMs } = asked;
    if (errorCode !== code.none) return this.#refused(errorCode);
    // The leader's log ends, under that leader, before what was read.
    if (diverges) return { kind: 'reset', reset: 'beyond-end' };
    const { offset } = this.#at;
    let next = offset;
    let { leaderEpoch } = this.#at;
    const records: LogRecord[] = [];
    for (const batch of batches) {
      const decoded = decodeBatch(batch, offset);
      for (const record of decoded.records) records.push(record);
      next = Math.max(next, decoded.next);
      leaderEpoch = Math.max(leaderEpoch, batch.partitionLeaderEpoch);
    }
    // All below the end is compacted away (or the broker throttles: it answers at once, empty).
    if (next === offset && next < end && !throttled) {
      if (this.#emptyBelow >= 0) next = this.#emptyBelow;
      this.#emptyBelow = end;
    } else this.#emptyBelow = -1;
    const isLate = this.#tombstoneMs !== undefined && askedMs - this.#atMs >= this.#tombstoneMs;
    if (isLate && offset < end) return { kind: 'reset', reset: 'older-than-tombstones' };
    return { kind: 'data', fetched: { records, leaderEpoch, next, end, askedMs } };
  }

  /** At the end: with the other readers of the process. */
  #wait(waitMs: number): Promise<Answer> {
    const patience = { waitMs, lagMs: this.#context.lagMs() };
    return this.#context.ends.wait(this.#at, patience, this.#stop.signal);
  }

  #isLeftOut({ errorCode, batches, end }: Answer): boolean {
    return errorCode === code.none && batches.length === 0 && end > this.#at.offset;
  }

  /** Behind the end: over a connection of its own. */
  async #ask(): Promise<Answer> {
    const { client, time, maxBytes } = this.#context;
    // Brokers close what is idle for long.
    if (this.#connection?.isConnected() === false) this.#drop();
    this.#connection ??= await client.ownLeader(this.#topic, this.#partition);
    if (this.#over()) this.#drop();
    const askedMs = time.now();
    const response = await fetchOne(this.#need(), this.#at, maxBytes);
    const result = response.responses[0]?.partitions[0];
    if (result !== undefined) return answerOf(result, response, askedMs);
    throw refusal(response.errorCode, `read ${this.#topic}/${this.#partition}`, { needs: 'READ' });
  }

  #stand(offset: number, leaderEpoch: number): void {
    const at = this.#at;
    if (offset === at.offset && leaderEpoch === at.leaderEpoch) return;
    this.#at = { ...at, offset, leaderEpoch };
  }

  async #refused(errorCode: number): Promise<FetchResult> {
    const { client } = this.#context;
    switch (errorCode) {
      case code.offsetOutOfRange: {
        const beginning = await client.offset(this.#topic, this.#partition, -2n);
        const reset = this.#at.offset < beginning ? 'older-than-tombstones' : 'beyond-end';
        return { kind: 'reset', reset };
      }
      case code.unknownTopicId:
      case code.inconsistentTopicId:
      case code.unknownTopicOrPartition: {
        const topic = await client.refresh(this.#topic);
        if (topic !== undefined && topic.id !== this.#at.topicId) {
          return { kind: 'reset', reset: 'other-topic' };
        }
        break;
      }
      default:
    }
    throw refusal(errorCode, `read ${this.#topic}/${this.#partition}`, { needs: 'READ' });
  }

  #need(): Connection {
    if (this.#connection === undefined) throw closed();
    return this.#connection;
  }

  #over(): boolean {
    return this.#stop.signal.aborted || this.#context.isClosed();
  }

  #drop(): void {
    if (this.#connection !== undefined) this.#context.client.release(this.#connection);
    this.#connection = undefined;
  }
}

function closed(): LogError {
  return new LogError('closed', 'the log is closed', { retriable: false });
}
