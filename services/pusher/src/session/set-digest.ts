/**
 * Digests of sets, made while a message is read: one pass over its bytes, nothing allocated, and
 * the same whatever the order.
 */
import type { FieldReader } from '../wire.ts';
import { sipHash, slackBytes } from './sip-hash.ts';

/** Secret, and random: who does not know it cannot make two sets of one digest. 64 bits each. */
export type DigestKey = readonly [bigint, bigint];

export function randomKey(): DigestKey {
  const [first = 0n, second = 0n] = crypto.getRandomValues(new BigUint64Array(2));
  return [first, second];
}

const pageBytes = 64 * 1024;
/** What stands in the hash's memory, which has room for the largest message yet and never shrinks. */
let loaded: Uint8Array | undefined;
let memory = new Uint8Array(sipHash.memory.buffer);

function load(bytes: Uint8Array): void {
  const missing = bytes.length + slackBytes - memory.length;
  if (missing > 0) {
    sipHash.memory.grow(Math.ceil(missing / pageBytes));
    memory = new Uint8Array(sipHash.memory.buffer);
  }
  memory.set(bytes);
  loaded = bytes;
}

/**
 * The digest of a multiset is the sum of its members' hashes, so order does not matter. A hash is
 * SipHash-1-3: a keyed function with 64 bits. Clients never see a hash, so they cannot look for
 * members whose sums are equal.
 */
export class SetDigest {
  readonly #k0: bigint;
  readonly #k1: bigint;
  #bytes: Uint8Array = new Uint8Array(0);
  #sum = 0n;
  #count = 0;

  constructor(key: DigestKey) {
    [this.#k0, this.#k1] = key;
  }

  /** Begins an empty set, whose members will be parts of `bytes`. */
  begin(bytes: Uint8Array): void {
    this.#bytes = bytes;
    this.#sum = 0n;
    this.#count = 0;
    // The same object may hold other bytes by now.
    loaded = undefined;
  }

  /** How many members were added; one that was added twice counts twice. */
  get count(): number {
    return this.#count;
  }

  /** Equal exactly where the members are equal, but for one in 2^64 that nobody can aim at. */
  get text(): string {
    return `${this.#count}:${this.#sum}`;
  }

  add(start: number, end: number): void {
    if (loaded !== this.#bytes) load(this.#bytes);
    this.#take(sipHash.hash(start, end - start, this.#k0, this.#k1), 1);
  }

  /**
   * The content of the present field, which begins at `from`, and of those behind it as far as they
   * are of one number: the reader steps over them.
   */
  addFields(fields: FieldReader, from: number): void {
    if (loaded !== this.#bytes) load(this.#bytes);
    const { sum, count } = sipHash;
    sum.value = 0n;
    count.value = 0;
    const tag = (fields.field << 3) | 2;
    const isByte = tag < 0x80;
    const end = isByte ? sipHash.run(from, this.#bytes.length, tag, this.#k0, this.#k1) : from;
    if (end === from) return this.add(fields.start, fields.end);
    fields.at = end;
    return this.#take(sum.value, count.value);
  }

  #take(sum: bigint, count: number): void {
    this.#sum = BigInt.asUintN(64, this.#sum + sum);
    this.#count += count;
  }
}
