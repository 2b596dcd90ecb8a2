import { staticTable } from './static-table.ts';

const statuses = new Map(
  staticTable.flatMap(([name, value], at) => (name === ':status' ? [[value, at + 1]] : [])),
);
const names = new Map(staticTable.map(([name], at) => [name, at + 1] as const).toReversed());

/**
 * A table of no bytes (RFC 7541, 6.3). A peer that made its table smaller is owed this word in
 * front of the next block, for it cannot know that we use none.
 */
export const emptyTable = Buffer.from([0x20]);

/**
 * A header block without Huffman codes and without the dynamic table (RFC 7541, 6.2.2): the same
 * for every connection, so it is made once where the fields are the same.
 */
export function headerBlock(fields: readonly (readonly [name: string, value: string])[]): Buffer {
  return Buffer.concat(fields.map(([name, value]) => field(name, value)));
}

function field(name: string, value: string): Buffer {
  const whole = name === ':status' ? statuses.get(value) : undefined;
  if (whole !== undefined) return Buffer.from([0x80 | whole]);
  const known = names.get(name);
  return Buffer.concat(
    known === undefined
      ? [Buffer.from([0]), text(name), text(value)]
      : [integer(known, 4), text(value)],
  );
}

function text(of: string): Buffer {
  const bytes = Buffer.from(of, 'latin1');
  return Buffer.concat([integer(bytes.length, 7), bytes]);
}

/** RFC 7541, 5.1; the bits before the prefix are zero. */
function integer(value: number, prefixBits: number): Buffer {
  const most = (1 << prefixBits) - 1;
  if (value < most) return Buffer.from([value]);
  const bytes = [most];
  let rest = value - most;
  for (; rest >= 128; rest >>>= 7) bytes.push((rest & 127) | 128);
  return Buffer.from([...bytes, rest]);
}
