import { NumericMap, ResponseError } from '@platformatic/kafka';
import type { MessageRecord, RecordsBatch } from '@platformatic/kafka';
import type { Append, LogRecord } from '../port.ts';

/** Bit of a batch's attributes: its records are the broker's own (ends of transactions). */
const controlBatch = 0x20;
/**
 * Bit of a batch's attributes: its records have the time of the broker, which is the batch's last
 * one.
 */
const brokerTime = 0x08;

/**
 * The answer of a call. Errors of single topics and partitions are in it; the client would throw
 * them all as one.
 */
export async function answer<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof ResponseError && error['response'] !== undefined) {
      return error['response'] as T;
    }
    throw error;
  }
}

export function encodeRecord({ topic, partition, key, value, headers }: Append): MessageRecord {
  return {
    topic,
    partition,
    key: Buffer.from(key),
    // `null` is a tombstone on the wire; the client's type does not know it.
    value: (value === undefined ? null : asBuffer(value)) as Buffer,
    headers: new Map(
      Object.entries(headers ?? {}).map(([name, text]) => [Buffer.from(name), Buffer.from(text)]),
    ),
  };
}

export function sequences(topic: string, partition: number, first: number): NumericMap {
  return new NumericMap([[`${topic}:${partition}`, first]]);
}

/**
 * The records of a fetched batch from `offset` on, and where the next batch begins. That is told by
 * the batch, whose end stays where it was when compaction has removed its last records, or all.
 */
export function decodeBatch(
  batch: RecordsBatch,
  offset: number,
): { readonly records: readonly LogRecord[]; readonly next: number } {
  const first = Number(batch.firstOffset);
  const next = first + batch.lastOffsetDelta + 1;
  if ((batch.attributes & controlBatch) !== 0) return { records: [], next };
  const records: LogRecord[] = [];
  for (const { offsetDelta, timestampDelta, key, value, headers } of batch.records) {
    if (first + offsetDelta < offset) continue;
    const timestamp =
      (batch.attributes & brokerTime) === 0
        ? batch.firstTimestamp + timestampDelta
        : batch.maxTimestamp;
    records.push({
      key: key === null ? '' : key.toString(),
      // A copy: a slice would keep the whole answer of the broker in memory as long as the value.
      value: value === null ? undefined : new Uint8Array(value),
      headers: decodeHeaders(headers),
      offset: first + offsetDelta,
      timestampMs: Number(timestamp),
    });
  }
  return { records, next };
}

const noHeaders: Readonly<Record<string, string>> = Object.freeze({});

function decodeHeaders(
  headers: readonly (readonly [Buffer | null, Buffer | null])[],
): Readonly<Record<string, string>> {
  if (headers.length === 0) return noHeaders;
  const decoded: Record<string, string> = {};
  for (const [name, value] of headers) {
    if (name !== null) decoded[name.toString()] = value?.toString() ?? '';
  }
  return decoded;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
