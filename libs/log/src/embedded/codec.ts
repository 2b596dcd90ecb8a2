import { crc32 } from 'node:zlib';
import type { StatementSync, SQLOutputValue } from 'node:sqlite';
import type { LogRecord } from '../port.ts';

/**
 * One row, as `setReturnArrays(true)` gives it. The types of `node:sqlite` do not follow that
 * setting.
 */
export type Row = readonly SQLOutputValue[];

export function rows(statement: StatementSync, ...parameters: (number | string)[]): readonly Row[] {
  return statement.all(...parameters) as unknown as readonly Row[];
}

export function row(statement: StatementSync, ...parameters: (number | string)[]): Row | undefined {
  return statement.get(...parameters) as unknown as Row | undefined;
}

/** An integer column. Offsets, counts and times stay far below 2^53. */
export function int(value: SQLOutputValue | undefined): number {
  if (typeof value !== 'number') throw new TypeError(`not an integer: ${String(value)}`);
  return value;
}

export function text(value: SQLOutputValue | undefined): string {
  if (typeof value !== 'string') throw new TypeError(`not a text: ${String(value)}`);
  return value;
}

const noHeaders: Readonly<Record<string, string>> = Object.freeze({});

/** `null` for no headers: most records carry few, and equal, headers. */
export function encodeHeaders(
  headers: Readonly<Record<string, string>> | undefined,
): string | null {
  if (headers === undefined) return null;
  for (const _ in headers) return JSON.stringify(headers);
  return null;
}

/**
 * Neighbours mostly carry the same headers (one writer, one epoch), so the last ones are kept
 * decoded.
 */
export class HeaderDecoder {
  #text = '';
  #headers = noHeaders;

  decode(encoded: string | null): Readonly<Record<string, string>> {
    if (encoded === null) return noHeaders;
    if (encoded !== this.#text) {
      this.#headers = Object.freeze(JSON.parse(encoded) as Record<string, string>);
      this.#text = encoded;
    }
    return this.#headers;
  }
}

/** SQLite has no checksums of its own: a flipped bit in a value would be served as it is. */
export function checksum(
  offset: number,
  key: string,
  headers: string | null,
  value: Uint8Array | null,
): number {
  let sum = crc32(key, offset >>> 0);
  if (headers !== null) sum = crc32(headers, sum);
  return value === null ? sum : crc32(value, sum);
}

/**
 * Columns: offset, timestamp, checksum, key, headers, value. `undefined`: the checksum does not
 * match.
 */
export function decodeRecord(columns: Row, headers: HeaderDecoder): LogRecord | undefined {
  const [offset, timestampMs, sum, key, encodedHeaders, value] = columns;
  if (
    typeof offset !== 'number' ||
    typeof timestampMs !== 'number' ||
    typeof key !== 'string' ||
    !(typeof encodedHeaders === 'string' || encodedHeaders === null) ||
    !(value instanceof Uint8Array || value === null) ||
    checksum(offset, key, encodedHeaders, value) !== sum
  ) {
    return undefined;
  }
  return {
    key,
    value: value ?? undefined,
    headers: headers.decode(encodedHeaders),
    offset,
    timestampMs,
  };
}
