import { ConnectionError, defaultTableBytes, errorCodes } from './frames.ts';
import { decodeHuffman, mostBytes } from './huffman.ts';
import { staticTable } from './static-table.ts';

type Field = readonly [name: string, value: string];

/** What the size of a table or list counts for each field beside its bytes (RFC 7541, 4.1). */
const fieldBytes = 32;
/** Our SETTINGS do not say otherwise. */
const mostTableBytes = defaultTableBytes;

/** The fields of a block, name and value in turn, and their bytes as RFC 9113 counts them (6.5.2). */
export interface Decoded {
  readonly fields: readonly string[];
  readonly bytes: number;
}

/** What a decoder's table has. It may be another's too. */
interface Table {
  /** The newest first. */
  readonly entries: Field[];
  readonly bytes: number;
  readonly limit: number;
}

/**
 * The first blocks of connections: those of like clients are equal, and so is what they leave in
 * the table. It is decoded, and kept, once.
 */
export class FirstBlocks {
  readonly #seen: { readonly block: Buffer; readonly decoded: Decoded; readonly table: Table }[] =
    [];
  #next = 0;

  find(block: Buffer): { readonly decoded: Decoded; readonly table: Table } | undefined {
    for (const one of this.#seen) if (one.block.equals(block)) return one;
    return undefined;
  }

  add(block: Buffer, decoded: Decoded, table: Table): void {
    if (block.length > mostFirstBytes) return;
    this.#seen[this.#next] = { block: Buffer.from(block), decoded, table };
    this.#next = (this.#next + 1) % mostFirst;
  }
}

const mostFirst = 8;
const mostFirstBytes = 1_024;

/** Decodes the header blocks of one connection (RFC 7541). */
export class HpackDecoder {
  readonly #firstBlocks: FirstBlocks;
  #first = true;
  /** The newest first. */
  #table: Field[] = [];
  /** Others have it: it is copied before it changes. */
  #tableShared = false;
  #tableBytes = 0;
  /** What the peer said it uses. */
  #tableLimit = mostTableBytes;

  #block: Buffer = empty;
  #at = 0;

  constructor(firstBlocks: FirstBlocks) {
    this.#firstBlocks = firstBlocks;
  }

  /** Beyond `mostListBytes` no fields are kept, but the table is what it must be. */
  decode(block: Buffer, mostListBytes: number): Decoded {
    const first = this.#first;
    this.#first = false;
    if (!first) return this.#decode(block, mostListBytes);
    const known = this.#firstBlocks.find(block);
    if (known !== undefined && known.decoded.bytes <= mostListBytes) {
      this.#share(known.table);
      return known.decoded;
    }
    const decoded = this.#decode(block, mostListBytes);
    const table = {
      entries: this.#table,
      bytes: this.#tableBytes,
      limit: this.#tableLimit,
    };
    this.#tableShared = true;
    if (decoded.bytes <= mostListBytes) this.#firstBlocks.add(block, decoded, table);
    return decoded;
  }

  #decode(block: Buffer, mostListBytes: number): Decoded {
    this.#block = block;
    this.#at = 0;
    const fields: string[] = [];
    let bytes = 0;
    let begun = false;
    while (this.#at < block.length) {
      const byte = block[this.#at] ?? 0;
      if ((byte & 0xe0) === 0x20) {
        const size = this.#integer(5);
        if (begun || size > mostTableBytes) throw damaged('a wrong size of the table');
        this.#own();
        this.#tableLimit = size;
        this.#evict(size);
        continue;
      }
      begun = true;
      const [name, value] = byte >= 0x80 ? this.#known(this.#integer(7)) : this.#literal(byte);
      bytes += fieldBytes + name.length + value.length;
      if (bytes <= mostListBytes) fields.push(name, value);
    }
    this.#block = empty;
    return { fields, bytes };
  }

  #literal(byte: number): Field {
    const indexed = (byte & 0x40) !== 0;
    const index = this.#integer(indexed ? 6 : 4);
    const name = index === 0 ? this.#string() : this.#known(index)[0];
    const field: Field = [name, this.#string()];
    if (indexed) this.#add(field);
    return field;
  }

  #known(index: number): Field {
    const field =
      index <= staticTable.length
        ? staticTable[index - 1]
        : this.#table[index - staticTable.length - 1];
    if (field === undefined) throw damaged('a field that is in no table');
    return field;
  }

  #add(field: Field): void {
    const bytes = sizeOf(field);
    this.#own();
    this.#evict(this.#tableLimit - bytes);
    if (bytes > this.#tableLimit) return;
    this.#table.unshift(field);
    this.#tableBytes += bytes;
  }

  #share({ entries, bytes, limit }: Table): void {
    this.#table = entries;
    this.#tableShared = true;
    this.#tableBytes = bytes;
    this.#tableLimit = limit;
  }

  #own(): void {
    if (!this.#tableShared) return;
    this.#tableShared = false;
    this.#table = [...this.#table];
  }

  #evict(toBytes: number): void {
    while (this.#tableBytes > toBytes) {
      const oldest = this.#table.pop();
      if (oldest === undefined) return;
      this.#tableBytes -= sizeOf(oldest);
    }
  }

  /** With a prefix of so many bits (RFC 7541, 5.1). */
  #integer(prefixBits: number): number {
    const most = (1 << prefixBits) - 1;
    let value = this.#byte() & most;
    if (value < most) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      const byte = this.#byte();
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw damaged('a number that is too large');
  }

  #string(): string {
    const huffman = ((this.#block[this.#at] ?? 0) & 0x80) !== 0;
    const length = this.#integer(7);
    const from = this.#at;
    const to = from + length;
    if (to > this.#block.length) throw damaged('a string that goes on behind its block');
    this.#at = to;
    if (!huffman) return this.#block.toString('latin1', from, to);
    const most = mostBytes(length);
    if (scratch.length < most) scratch = Buffer.allocUnsafeSlow(2 * most);
    const bytes = decodeHuffman(this.#block, from, to, scratch);
    if (bytes === -1) throw damaged('a string that is no Huffman code');
    return scratch.toString('latin1', 0, bytes);
  }

  #byte(): number {
    const byte = this.#block[this.#at++];
    if (byte === undefined) throw damaged('a block that is cut');
    return byte;
  }
}

const empty = Buffer.alloc(0);
/** For one string at a time, of all connections. As large as the largest block makes it. */
let scratch = Buffer.allocUnsafeSlow(4_096);

function sizeOf([name, value]: Field): number {
  return fieldBytes + name.length + value.length;
}

function damaged(what: string): ConnectionError {
  return new ConnectionError(errorCodes.compression, what);
}
