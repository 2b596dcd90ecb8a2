import { connect } from 'node:http2';
import { Duplex } from 'node:stream';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { FirstBlocks, HpackDecoder } from '../../../src/server/h2/hpack-decoder.ts';
import { decodeHuffman } from '../../../src/server/h2/huffman.ts';
import { headerBlock } from '../../../src/server/h2/header-block.ts';
import { until } from '../../support/world.ts';

const enough = 1_000_000;

function decoder(): HpackDecoder {
  return new HpackDecoder(new FirstBlocks());
}

function pairs(fields: readonly string[]): [string, string][] {
  return fields.flatMap((name, at): [string, string][] =>
    at % 2 === 0 ? [[name, fields[at + 1] ?? '']] : [],
  );
}

/** The header blocks that nghttp2 makes of requests, one after the other on one connection. */
async function blocksOf(requests: readonly Record<string, string>[]): Promise<Buffer[]> {
  const chunks: Buffer[] = [];
  const wire = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => {
      chunks.push(chunk);
      done();
    },
  });
  const session = connect('http://test', { createConnection: () => wire });
  session.on('error', () => undefined);
  const blocks = (): Buffer[] => {
    const all = Buffer.concat(chunks).subarray(24);
    const found: Buffer[] = [];
    for (let at = 0; at + 9 <= all.length;) {
      const length = all.readUIntBE(at, 3);
      if (all[at + 3] === 1) found.push(all.subarray(at + 9, at + 9 + length));
      at += 9 + length;
    }
    return found;
  };
  for (const headers of requests) session.request(headers).on('error', () => undefined);
  await until('all blocks', () => blocks().length === requests.length);
  session.destroy();
  return blocks();
}

it('what nghttp2 encodes, with Huffman codes and its table, is decoded', async () => {
  const value = fc.string({
    unit: fc.integer({ min: 0x21, max: 0xff }).map((code) => String.fromCharCode(code)),
    minLength: 1,
    maxLength: 60,
  });
  const name = fc.stringMatching(/^x-[a-z0-9]{1,12}$/u);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.dictionary(name, value, { maxKeys: 8 }), { minLength: 1, maxLength: 6 }),
      async (all) => {
        const requests = all.map((one) => ({ ':path': '/a.B/C', ':method': 'POST', ...one }));
        const decoding = decoder();
        for (const [at, block] of (await blocksOf(requests)).entries()) {
          const { fields } = decoding.decode(block, enough);
          expect(pairs(fields)).toEqual(expect.arrayContaining(Object.entries(requests[at] ?? {})));
        }
      },
    ),
    { numRuns: 20 },
  );
});

it('every byte has a Huffman code, as nghttp2 has it', async () => {
  const text = Array.from({ length: 0x100 - 0xa1 }, (_, i) => String.fromCharCode(0xa1 + i)).join(
    '',
  );
  const ascii = Array.from({ length: 0x5e }, (_, i) => String.fromCharCode(0x21 + i)).join('');
  const headers = {
    ':path': '/',
    'x-ascii': ascii,
    'x-digits': '0123456789'.repeat(3),
    'x-high': text,
  };
  const [block = Buffer.alloc(0)] = await blocksOf([headers]);
  const { fields } = decoder().decode(block, enough);
  expect(Object.fromEntries(pairs(fields))).toMatchObject(headers);
});

it('a Huffman code is refused where its padding is not', () => {
  const into = Buffer.alloc(16);
  // `0` is 00000: and then ones.
  expect(decodeHuffman(Buffer.from([0b0000_0111]), 0, 1, into)).toBe(1);
  expect(decodeHuffman(Buffer.from([0b0000_0110]), 0, 1, into)).toBe(-1);
  expect(decodeHuffman(Buffer.from([0b0000_0111, 0xff]), 0, 2, into)).toBe(-1);
  expect(decodeHuffman(Buffer.from([0xff, 0xff, 0xff, 0xff]), 0, 4, into)).toBe(-1);
});

it('what we encode is decoded, on any connection', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.stringMatching(/^[a-z-]{1,200}$/u), fc.string({ maxLength: 300 }))),
      (fields) => {
        const latin = fields.map(([name, value]): [string, string] => [
          name,
          Buffer.from(value).toString('latin1'),
        ]);
        expect(pairs(decoder().decode(headerBlock(latin), enough).fields)).toEqual(latin);
      },
    ),
  );
});

it('any bytes are decoded or refused, and the table stays within its bounds', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 400 }), { maxLength: 5 }), (blocks) => {
      const decoding = decoder();
      for (const block of blocks) {
        try {
          const { fields, bytes } = decoding.decode(Buffer.from(block), 500);
          expect(fields.join('').length).toBeLessThanOrEqual(Math.min(bytes, 500));
        } catch (error) {
          expect(error).toMatchObject({ code: 9 });
          return;
        }
      }
    }),
    { numRuns: 2_000 },
  );
});

it('like first blocks are decoded once, and leave the same table on each connection', async () => {
  const one = { ':path': '/a.B/C', 'x-a': 'one', 'x-b': 'two' };
  const other = { ...one, 'x-b': 'three' };
  const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = await blocksOf([one, other]);
  const shared = new FirstBlocks();
  const connections = [1, 2, 3].map(() => new HpackDecoder(shared));
  const all = connections.map((decoding) => decoding.decode(first, enough).fields);
  expect(all[1]).toBe(all[0]);
  expect(all[2]).toBe(all[0]);
  for (const decoding of connections) {
    expect(Object.fromEntries(pairs(decoding.decode(second, enough).fields))).toMatchObject(other);
    // It is in that connection's table now, and in no other's.
    expect(Object.fromEntries(pairs(decoding.decode(Buffer.from([0xbe]), enough).fields))).toEqual({
      'x-b': 'three',
    });
  }
});

it('a field over the limit is counted and not kept', () => {
  const block = headerBlock([
    ['a', 'x'.repeat(100)],
    ['b', 'y'.repeat(1_000)],
  ]);
  expect(decoder().decode(block, 500)).toEqual({
    fields: ['a', 'x'.repeat(100)],
    bytes: 32 + 101 + 32 + 1_001,
  });
});
