/** Reading of protobuf's wire format where the generated codecs would decode more than is needed. */

export class WireError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'WireError';
  }
}

/** A message has more of something than may be. */
export class LimitError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'LimitError';
  }
}

/**
 * Walks the fields of one message, in the order in which they are encoded. It may be set to another
 * message of the same bytes: one that is within a field.
 */
export class FieldReader {
  readonly bytes: Uint8Array;
  /** Where the next field begins. */
  at: number;
  /** Where the message ends. */
  until: number;
  /** Of the present field. */
  field = 0;
  wireType = 0;
  /** The present field's content, if it is length-delimited. */
  start = 0;
  end = 0;
  /** The present field's value, if it is a varint. */
  value = 0;

  constructor(bytes: Uint8Array, at = 0) {
    this.bytes = bytes;
    this.at = at;
    this.until = bytes.length;
  }

  /** Steps to the next field; `false` at the end. Throws a WireError for bytes that are no message. */
  next(): boolean {
    if (this.at >= this.until) return false;
    const tag = this.#varint();
    this.field = tag >>> 3;
    this.wireType = tag & 7;
    if (this.field === 0) throw new WireError('a field with number 0');
    switch (this.wireType) {
      case 0:
        this.value = this.#varint();
        break;
      case 1:
        this.at += 8;
        break;
      case 2: {
        const length = this.#varint();
        this.start = this.at;
        this.end = this.at + length;
        this.at = this.end;
        break;
      }
      case 5:
        this.at += 4;
        break;
      default:
        throw new WireError(`wire type ${this.wireType}`);
    }
    if (this.at > this.until) throw new WireError('a field that ends behind the message');
    return true;
  }

  content(): Uint8Array {
    return this.bytes.subarray(this.start, this.end);
  }

  /** A reader of the message that the present field is. */
  within(): FieldReader {
    const fields = new FieldReader(this.bytes, this.start);
    fields.until = this.end;
    return fields;
  }

  /** The content of a string field. */
  text(): string {
    return textOf(this.bytes, this.start, this.end);
  }

  #varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 10; i++) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) throw new WireError('a varint that ends behind the message');
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
    throw new WireError('a varint of more than ten bytes');
  }
}

/** UTF-8 between two offsets. */
export function textOf(bytes: Uint8Array, start: number, end: number): string {
  return bufferOf(bytes).toString('utf8', start, end);
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/**
 * A version as clients have it. They tell all of them when they come back, by the hundred thousand:
 * a third less than in hex.
 */
export function versionText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64url');
}

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}

/** Field 1, a string: the name, in most resources. */
export function nameField(name: string): Uint8Array {
  const text = Buffer.from(name);
  const length: number[] = [];
  let rest = text.length;
  for (; rest >= 0x80; rest >>>= 7) length.push((rest & 0x7f) | 0x80);
  return Buffer.concat([Buffer.of(0x0a, ...length, rest), text]);
}
