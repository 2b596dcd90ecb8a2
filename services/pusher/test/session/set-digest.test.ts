import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SetDigest, type DigestKey } from '../../src/session/set-digest.ts';
import { sipHash } from '../../src/session/sip-hash.ts';
import { FieldReader } from '../../src/wire.ts';

const key: DigestKey = [0x0706050403020100n, 0x0f0e0d0c0b0a0908n];

/** As its authors describe it, with any number of rounds. */
function reference(bytes: Uint8Array, compression: number, finalization: number): bigint {
  const wrap = (value: bigint): bigint => BigInt.asUintN(64, value);
  const turn = (value: bigint, by: bigint): bigint => wrap((value << by) | (value >> (64n - by)));
  let v0 = key[0] ^ 0x736f6d6570736575n;
  let v1 = key[1] ^ 0x646f72616e646f6dn;
  let v2 = key[0] ^ 0x6c7967656e657261n;
  let v3 = key[1] ^ 0x7465646279746573n;
  const rounds = (count: number): void => {
    for (let i = 0; i < count; i++) {
      v0 = wrap(v0 + v1);
      v1 = turn(v1, 13n) ^ v0;
      v0 = turn(v0, 32n);
      v2 = wrap(v2 + v3);
      v3 = turn(v3, 16n) ^ v2;
      v0 = wrap(v0 + v3);
      v3 = turn(v3, 21n) ^ v0;
      v2 = wrap(v2 + v1);
      v1 = turn(v1, 17n) ^ v2;
      v2 = turn(v2, 32n);
    }
  };
  const padded = Buffer.alloc((bytes.length & ~7) + 8);
  padded.set(bytes);
  padded[padded.length - 1] = bytes.length & 0xff;
  for (let at = 0; at < padded.length; at += 8) {
    const word = padded.readBigUInt64LE(at);
    v3 ^= word;
    rounds(compression);
    v0 ^= word;
  }
  v2 ^= 0xffn;
  rounds(finalization);
  return v0 ^ v1 ^ v2 ^ v3;
}

function hashOf(bytes: Uint8Array, at = 0): bigint {
  const memory = new Uint8Array(sipHash.memory.buffer);
  // What is around it must not matter.
  memory.fill(0xa5, 0, at + bytes.length + 16);
  memory.set(bytes, at);
  return BigInt.asUintN(64, sipHash.hash(at, bytes.length, ...key));
}

describe('the hash of a member', () => {
  it('is SipHash-1-3, whatever stands around it', () => {
    // Of the paper, appendix A: SipHash-2-4 of 00 01 … 0e.
    const paper = reference(
      Uint8Array.from({ length: 15 }, (_, i) => i),
      2,
      4,
    );
    expect(paper).toBe(0xa129ca6149be45e5n);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(9), (bytes, at) => {
        expect(hashOf(bytes, at)).toBe(reference(bytes, 1, 3));
      }),
    );
  });
});

/** A field of that number; `wide`: with a tag, or a length, of more bytes than are needed. */
interface Field {
  readonly number: number;
  readonly content: Uint8Array;
  readonly wide: readonly [tag: boolean, length: boolean];
}

function varint(value: number, wide: boolean): number[] {
  const more = value >= 0x80 || wide;
  return more ? [(value & 0x7f) | 0x80, ...varint(value >>> 7, false)] : [value];
}

function encoded({ number, content, wide: [tag, length] }: Field): number[] {
  return [...varint((number << 3) | 2, tag), ...varint(content.length, length), ...content];
}

const field: fc.Arbitrary<Field> = fc.record({
  number: fc.constantFrom(3, 5, 21),
  content: fc.oneof(
    { weight: 20, arbitrary: fc.uint8Array({ maxLength: 200 }) },
    fc.nat(40_000).map((length) => new Uint8Array(length).fill(length)),
  ),
  wide: fc.tuple(
    fc.constantFrom(false, false, false, false, true),
    fc.constantFrom(false, false, false, false, true),
  ),
});

describe('the digest of fields', () => {
  const digestOf = (bytes: Uint8Array, number: number): SetDigest => {
    const set = new SetDigest(key);
    set.begin(bytes);
    const fields = new FieldReader(bytes);
    for (let from = 0; fields.next(); from = fields.at) {
      if (fields.field === number) set.addFields(fields, from);
    }
    return set;
  };

  it('is that of their contents, however long they are and their tags and lengths written', () => {
    fc.assert(
      fc.property(fc.array(field, { maxLength: 30 }), (fields) => {
        const bytes = Uint8Array.from(fields.flatMap(encoded));
        for (const number of [3, 5, 21]) {
          const members = fields.filter((one) => one.number === number);
          const hashes = members.map(({ content }) => reference(content, 1, 3));
          const sum = BigInt.asUintN(
            64,
            hashes.reduce((all, hash) => all + hash, 0n),
          );
          expect(BigInt.asUintN(64, BigInt(digestOf(bytes, number).text.split(':')[1] ?? ''))).toBe(
            sum,
          );
          expect(digestOf(bytes, number).count).toBe(members.length);
        }
      }),
    );
  });

  it('leaves what ends behind the message to its reader, which refuses it', () => {
    const whole = [0x2a, 1, 0x61];
    for (const cut of [[0x2a], [0x2a, 2, 0x61], [0x2a, 0x81], [0x2a, 0xff, 0xff, 0x03]]) {
      const bytes = Uint8Array.from([...whole, ...cut]);
      // What an earlier message left must not be taken for its end.
      digestOf(Uint8Array.from([...whole, ...whole, ...whole, ...whole]), 5);
      expect(() => digestOf(bytes, 5)).toThrow('behind the message');
    }
  });
});
