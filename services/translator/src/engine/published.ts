/**
 * What the log holds of this shard's outputs: read back at start, and what was appended since. A
 * record is appended only where its content differs. Its epoch is no part of that, so a process
 * that computes everything anew appends nothing.
 */
import { XdsRecord } from '@watershed/model/gen/record.ts';
import { bytesEqual } from '../bytes.ts';

/** One record of the topic `xds`. */
export interface OutputRecord {
  readonly partition: number;
  readonly key: string;
  /** `undefined`: a tombstone. */
  readonly value: Uint8Array | undefined;
}

/** What the log holds of one partition when the shard becomes its owner; no tombstones. */
export type Current = Iterable<readonly [key: string, value: Uint8Array]>;

/** A partition that becomes the shard's, with what the log holds of its outputs. */
export interface Gained {
  readonly partition: number;
  readonly current: Current;
}

/** The partitions of `xds` that this shard owns. */
export interface Outputs {
  /**
   * Appends in the order given within each partition; resolves when all are durable. What is of a
   * partition that the shard has lost meanwhile is dropped: the new owner's word counts. Rejects
   * only for good: what may succeed later is tried again inside.
   */
  append(
    records: readonly OutputRecord[],
    headers: Readonly<Record<string, string>>,
  ): Promise<void>;
}

export type Content = NonNullable<XdsRecord['record']>;

interface Held {
  readonly partition: number;
  /** The record's encoding with epoch 0, and with nothing inlined: that changes no resource. */
  readonly content: Uint8Array;
  readonly epoch: number;
}

/** Of one append: bounds what is in flight, and what is appended again after an error. */
const maxChunk = 1_000;

/** Brokers refuse records from 1 MiB on, headers included. A route table of 50,000 hosts fits. */
const maxRecordBytes = 960 * 1024;

export class OversizeError extends Error {
  constructor(bytes: number) {
    super(`its record has ${bytes} bytes; the log takes ${maxRecordBytes}`);
    this.name = 'OversizeError';
  }
}

export class Published {
  readonly #outputs: Outputs;
  readonly #held = new Map<string, Held>();
  #staged: OutputRecord[] = [];
  /** No record that is held carries a later epoch. */
  #newest = 0;

  constructor(outputs: Outputs) {
    this.#outputs = outputs;
  }

  gain(partition: number, current: Current): void {
    for (const [key, value] of current) {
      const held = { partition, ...split(value) };
      this.#held.set(key, held);
      this.#newest = Math.max(this.#newest, held.epoch);
    }
  }

  lose(partition: number): void {
    for (const key of this.keysOf(partition)) this.#held.delete(key);
    this.#staged = this.#staged.filter((record) => record.partition !== partition);
  }

  *keysOf(partition: number): IterableIterator<string> {
    for (const [key, held] of this.#held) if (held.partition === partition) yield key;
  }

  has(key: string): boolean {
    return this.#held.has(key);
  }

  get(key: string): Content | undefined {
    const held = this.#held.get(key);
    return held === undefined ? undefined : XdsRecord.decode(held.content).record;
  }

  /**
   * Stages a record if its content is new; the order of the calls is that of the appends. Throws an
   * OversizeError: then the log's record stays.
   */
  put(partition: number, key: string, record: Content, epoch: number): boolean {
    const content = contentOf(record);
    const held = this.#held.get(key);
    if (held !== undefined && bytesEqual(held.content, content)) return false;
    if (content.length > maxRecordBytes) throw new OversizeError(content.length);
    this.#stage(key, { partition, content, epoch }, record);
    return true;
  }

  #stage(key: string, held: Held, record: Content): void {
    const { partition, epoch } = held;
    this.#held.set(key, held);
    this.#newest = Math.max(this.#newest, epoch);
    const value = XdsRecord.encode({ record, epoch }).finish();
    this.#staged.push({ partition, key, value });
  }

  /**
   * Where `config` was put back to an older copy, what says that it is of a later epoch would wait
   * for what may never come: it is staged once more, as of this one. Watermarks are told anyway.
   */
  bringTo(epoch: number): void {
    if (this.#newest <= epoch) return;
    this.#newest = epoch;
    for (const [key, held] of this.#held) {
      const record = held.epoch > epoch ? this.get(key) : undefined;
      if (record === undefined || record.$case === 'watermark') continue;
      this.#stage(key, { ...held, epoch }, record);
    }
  }

  /** Stages a tombstone if the log holds the key. */
  remove(key: string): boolean {
    const held = this.#held.get(key);
    if (held === undefined) return false;
    this.#held.delete(key);
    this.#staged.push({ partition: held.partition, key, value: undefined });
    return true;
  }

  /**
   * Appends what is staged; gives how many records that were. A rejection leaves the shard
   * unusable.
   */
  async flush(headers: Readonly<Record<string, string>>): Promise<number> {
    const staged = this.#staged;
    this.#staged = [];
    for (let at = 0; at < staged.length; at += maxChunk) {
      await this.#outputs.append(staged.slice(at, at + maxChunk), headers);
    }
    return staged.length;
  }
}

function split(value: Uint8Array): { content: Uint8Array; epoch: number } {
  const { record, epoch } = XdsRecord.decode(value);
  return { content: contentOf(record), epoch };
}

function contentOf(record: Content | undefined): Uint8Array {
  const bare =
    record?.$case === 'resource' && record.value.inlined.length > 0
      ? { ...record, value: { ...record.value, inlined: [] } }
      : record;
  return XdsRecord.encode({ record: bare, epoch: 0 }).finish();
}
