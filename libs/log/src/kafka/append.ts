import { initProducerIdV4, produceV9 } from '@platformatic/kafka';
import { LogError, type Append } from '../port.ts';
import type { LogTime } from '../time.ts';
import { Backoff } from './client.ts';
import type { KafkaClient } from './client.ts';
import { answer, encodeRecord, sequences } from './codec.ts';
import { code, failure, isWorthWaiting, refusal } from './failure.ts';

/**
 * Of one request, unless its only record is bigger; below the brokers' default of
 * `max.message.bytes`.
 */
const maxBatchBytes = 900 * 1024;
const maxBatchRecords = 10_000;
/** How long the leader may wait for its followers before it answers. */
export const ackTimeoutMs = 10_000;
/** Sequence numbers are 32 bits; well before they end a new producer id is taken. */
const maxSequence = 2 ** 31 - 2 * maxBatchRecords;

type Compression = 'none' | 'gzip' | 'zstd';

/** One call's records for one partition. */
export interface PartitionAppend {
  readonly records: readonly Append[];
  readonly sizes: readonly number[];
  readonly resolve: (offsets: readonly number[]) => void;
  readonly reject: (error: LogError) => void;
}

interface Queued extends PartitionAppend {
  readonly deadlineMs: number;
  readonly offsets: number[];
}

interface Batch {
  /** The calls whose records it has; the last one may go on in the next batch. */
  readonly calls: readonly Queued[];
  readonly records: readonly Append[];
  readonly counts: readonly number[];
  readonly bytes: number;
}

interface Producer {
  readonly id: bigint;
  readonly epoch: number;
  sequence: number;
}

/**
 * Appends to one partition, one batch in flight at a time: the order is that of the calls, whatever
 * fails. Each partition has a producer id of its own, so a batch that is sent again (a leader that
 * died, an answer that was lost) is appended once, and giving up on one concerns no other
 * partition.
 */
export class PartitionAppender {
  readonly #client: KafkaClient;
  readonly #time: LogTime;
  readonly #topic: string;
  readonly #partition: number;
  readonly #timeoutMs: number;
  readonly #compression: Compression;
  readonly #queue: Queued[] = [];
  #producer: Producer | undefined;
  /** Half of the last batch that the broker refused for its size, be it the topic's own bound. */
  #maxBytes = maxBatchBytes;
  #running: Promise<void> | undefined;

  constructor(
    client: KafkaClient,
    time: LogTime,
    topic: string,
    partition: number,
    timeoutMs: number,
    compression: Compression,
  ) {
    this.#client = client;
    this.#time = time;
    this.#topic = topic;
    this.#partition = partition;
    this.#timeoutMs = timeoutMs;
    this.#compression = compression;
  }

  push(append: PartitionAppend): void {
    const deadlineMs = this.#time.now() + this.#timeoutMs;
    this.#queue.push({ ...append, deadlineMs, offsets: [] });
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** Resolves when all that was pushed is appended or has failed. */
  async drained(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  async #run(): Promise<void> {
    // Lets the calls of this turn join one batch.
    await Promise.resolve();
    for (let batch = this.#next(); batch !== undefined; batch = this.#next()) {
      try {
        const base = await this.#produce(batch);
        this.#acknowledge(batch, base);
      } catch (error) {
        if (this.#canSplit(batch, error)) continue;
        // It may still arrive; under this producer id it could only come before what follows now.
        this.#producer = undefined;
        const known = failure(`append to ${this.#topic}/${this.#partition}`, error);
        for (const call of batch.calls) {
          this.#queue.splice(this.#queue.indexOf(call), 1);
          call.reject(known);
        }
      }
    }
  }

  /** So that of records which are together too large for the topic each is taken. */
  #canSplit({ records, bytes }: Batch, error: unknown): boolean {
    const isTooLarge = error instanceof LogError && error.code === 'record-too-large';
    if (!isTooLarge || records.length === 1) return false;
    this.#maxBytes = bytes / 2;
    return true;
  }

  /** From the front of the queue, as many records as fit. */
  #next(): Batch | undefined {
    const records: Append[] = [];
    const calls: Queued[] = [];
    const counts: number[] = [];
    let bytes = 0;
    for (const call of this.#queue) {
      const from = call.offsets.length;
      let to = from;
      for (; to < call.records.length && records.length < maxBatchRecords; to++) {
        const record = call.records[to];
        const size = call.sizes[to] ?? 0;
        const isFull = bytes + size > this.#maxBytes && records.length > 0;
        if (record === undefined || isFull) break;
        records.push(record);
        bytes += size;
      }
      if (to === from) break;
      calls.push(call);
      counts.push(to - from);
      if (to < call.records.length) break;
    }
    return calls.length === 0 ? undefined : { calls, records, counts, bytes };
  }

  #acknowledge({ calls, counts }: Batch, base: number): void {
    let offset = base;
    for (const [index, call] of calls.entries()) {
      for (let i = 0; i < (counts[index] ?? 0); i++) call.offsets.push(offset++);
      if (call.offsets.length < call.records.length) break;
      this.#queue.shift();
      call.resolve(call.offsets);
    }
  }

  /** The offset of the batch's first record. */
  async #produce({ calls, records }: Batch): Promise<number> {
    const deadlineMs = Math.min(...calls.map((call) => call.deadlineMs));
    const backoff = new Backoff(this.#time);
    /** An earlier try may have been appended, though its answer did not come. */
    let unsure = false;
    for (;;) {
      let error: LogError;
      try {
        const result = await this.#send(records);
        if (result.errorCode === code.none) {
          if (this.#producer !== undefined) this.#producer.sequence += records.length;
          return Number(result.baseOffset);
        }
        error = refusal(result.errorCode, this.#what, {
          needs: 'WRITE',
          detail: result.errorMessage,
        });
        if (isSequenceError(result.errorCode)) {
          this.#producer = undefined;
          if (unsure) throw error;
          // The leader is there, and takes it under a new id: nothing is gained by waiting.
          backoff.reset();
        }
      } catch (cause) {
        error = failure(this.#what, cause);
        unsure = true;
      }
      if (!isWorthWaiting(error) || this.#time.now() >= deadlineMs) throw error;
      this.#client.tellRetry(error);
      await backoff.wait();
      await this.#refresh();
    }
  }

  async #send(records: readonly Append[]): Promise<{
    readonly errorCode: number;
    readonly baseOffset: bigint;
    readonly errorMessage: string | null;
  }> {
    const connection = await this.#client.leader(this.#topic, this.#partition);
    const producer = await this.#ensureProducer();
    const answered = await answer(
      produceV9.api.async(connection, -1, ackTimeoutMs, records.map(encodeRecord), {
        compression: this.#compression,
        producerId: producer.id,
        producerEpoch: producer.epoch,
        sequences: sequences(this.#topic, this.#partition, producer.sequence),
      }),
    );
    const result =
      typeof answered === 'boolean' ? undefined : answered.responses[0]?.partitionResponses[0];
    if (result === undefined) throw new TypeError('the broker answered for another partition');
    return {
      errorCode: result.errorCode,
      baseOffset: result.baseOffset,
      errorMessage: result.errorMessage ?? result.recordErrors[0]?.batchIndexErrorMessage ?? null,
    };
  }

  async #ensureProducer(): Promise<Producer> {
    const current = this.#producer;
    if (current !== undefined && current.sequence < maxSequence) return current;
    const connection = await this.#client.any();
    const { errorCode, producerId, producerEpoch } = await answer(
      initProducerIdV4.api.async(connection, null, 0, -1n, -1),
    );
    if (errorCode !== code.none) throw refusal(errorCode, this.#what, { needs: 'WRITE' });
    this.#producer = { id: producerId, epoch: producerEpoch, sequence: 0 };
    return this.#producer;
  }

  /** A leader may have moved; a topic that is gone for sure is told at once. */
  async #refresh(): Promise<void> {
    await this.#client.refresh(this.#topic).catch(() => undefined);
  }

  get #what(): string {
    return `append to ${this.#topic}/${this.#partition}`;
  }
}

function isSequenceError(errorCode: number): boolean {
  return (
    errorCode === code.outOfOrderSequenceNumber ||
    errorCode === code.duplicateSequenceNumber ||
    errorCode === code.invalidProducerEpoch ||
    errorCode === code.unknownProducerId
  );
}
