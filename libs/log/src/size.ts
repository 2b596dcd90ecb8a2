import { LogError } from './port.ts';
import type { Append } from './port.ts';

/**
 * A record's size for every limit: key, headers and value; of texts the UTF-16 code units. Fails if
 * it is more than `most`.
 */
export function checkedBytes(append: Append, most: number): number {
  let size = append.key.length + (append.value?.byteLength ?? 0);
  const headers = append.headers ?? {};
  for (const name in headers) size += name.length + (headers[name]?.length ?? 0);
  if (size <= most) return size;
  const key = JSON.stringify(append.key.slice(0, 200));
  throw new LogError(
    'record-too-large',
    `the record ${key} for topic ${append.topic} has ${size} bytes; ${most} are allowed`,
    { retriable: false },
  );
}
