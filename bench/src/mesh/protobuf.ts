/**
 * As much of protobuf as a simulated client needs: it looks at names and sizes and decodes nothing
 * else.
 */

export interface Field {
  readonly number: number;
  /** Length-delimited fields only; others are skipped. */
  readonly bytes: Uint8Array;
}

export function* fieldsOf(buffer: Uint8Array): Generator<Field> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    let factor = 1;
    for (;;) {
      const byte = buffer[at++] ?? 0;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 128;
    }
  };
  while (at < buffer.length) {
    const tag = varint();
    switch (tag & 7) {
      case 0:
        varint();
        break;
      case 1:
        at += 8;
        break;
      case 2: {
        const length = varint();
        yield { number: Math.floor(tag / 8), bytes: buffer.subarray(at, at + length) };
        at += length;
        break;
      }
      default:
        at += 4;
    }
  }
}

const decoder = new TextDecoder();

export function textOf(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}
