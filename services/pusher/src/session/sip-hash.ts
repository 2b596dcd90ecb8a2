/**
 * SipHash-1-3 (Aumasson and Bernstein; the variant for hash tables) of what stands in a message, as
 * a module of WebAssembly that is put together here: JavaScript's fast integers have 32 bits, with
 * which a hash of 64 takes twice as long. Numbers are those of WebAssembly's specification (5).
 */

interface SipHash {
  /** Holds what is hashed, and behind it at least `slackBytes`. Grows in pages of 64 KiB. */
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  /** Of the bytes from `start` on. */
  hash(start: number, length: number, k0: bigint, k1: bigint): bigint;
  /**
   * Walks fields from `at` on, while they have that tag, of one byte (below 128), and are whole
   * before `end`; gives where it stopped. Adds the hashes of their contents to `sum` and counts
   * them.
   */
  run(at: number, end: number, tag: number, k0: bigint, k1: bigint): number;
  readonly sum: { value: bigint };
  readonly count: { value: number };
}

/** Not in TypeScript's library without that of browsers. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: SipHash };
};

/** Words are read whole, and what is behind the end is masked. */
export const slackBytes = 8;

type Code = readonly number[];

const [i32, i64, noResult] = [0x7f, 0x7e, 0x40];
const [block, loop, when, end, branch, branchIf, call] = [2, 3, 4, 0x0b, 0x0c, 0x0d, 0x10];
const equal: Code = [0x46];
const unequal: Code = [0x47];
const above: Code = [0x4b];
const atLeast: Code = [0x4f];
const plus: Code = [0x6a];
const and: Code = [0x71];
const or: Code = [0x72];
const shift: Code = [0x74];
const plus64: Code = [0x7c];
const minus64: Code = [0x7d];
const and64: Code = [0x83];
const or64: Code = [0x84];
const xor64: Code = [0x85];
const shift64: Code = [0x86];
const rotate64: Code = [0x89];
const widened: Code = [0xad];
const word: Code = [0x29, 0, 0];

function byte(offset: number): Code {
  return [0x2d, 0, offset];
}

/** LEB128. */
function unsigned(value: number): Code {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}

function signed(value: bigint): Code {
  const low = Number(value & 0x7fn);
  const rest = value >> 7n;
  const isLast = rest === ((low & 0x40) === 0 ? 0n : -1n);
  return isLast ? [low] : [low | 0x80, ...signed(rest)];
}

function int(value: number): Code {
  return [0x41, ...signed(BigInt(value))];
}

function long(value: bigint): Code {
  return [0x42, ...signed(BigInt.asIntN(64, value))];
}

function local(index: number): Code {
  return [0x20, index];
}

function set(index: number, ...value: readonly Code[]): Code {
  return [...value.flat(), 0x21, index];
}

const hashBody = ((): Code => {
  const [at, length, k0, k1, v0, v1, v2, v3, m, stop] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
  const begin = (v: number, k: number, constant: bigint): Code =>
    set(v, local(k), long(constant), xor64);
  const add = (v: number, other: number, by: bigint): Code => [
    ...set(v, local(v), local(other), plus64),
    ...set(other, local(other), long(by), rotate64, local(v), xor64),
  ];
  const turn = (v: number): Code => set(v, local(v), long(32n), rotate64);
  const round = [
    ...[add(v0, v1, 13n), turn(v0), add(v2, v3, 16n)],
    ...[add(v0, v3, 21n), add(v2, v1, 17n), turn(v2)],
  ].flat();
  const absorb = (value: readonly Code[]): Code => [
    ...set(m, ...value),
    ...set(v3, local(v3), local(m), xor64),
    ...round,
    ...set(v0, local(v0), local(m), xor64),
  ];
  const restBits = [...local(length), ...int(7), ...and, ...int(3), ...shift, ...widened];
  const mask = [...long(1n), ...restBits, ...shift64, ...long(1n), ...minus64];
  const lengthByte = [...local(length), ...widened, ...long(56n), ...shift64];
  return [
    begin(v0, k0, 0x736f6d6570736575n),
    begin(v1, k1, 0x646f72616e646f6dn),
    begin(v2, k0, 0x6c7967656e657261n),
    begin(v3, k1, 0x7465646279746573n),
    set(stop, local(at), local(length), int(-8), and, plus),
    [block, noResult, loop, noResult],
    [...local(at), ...local(stop), ...equal, branchIf, 1],
    absorb([local(at), word]),
    [...set(at, local(at), int(8), plus), branch, 0, end, end],
    absorb([local(at), word, mask, and64, lengthByte, or64]),
    [...set(v2, local(v2), long(0xffn), xor64), ...round, ...round, ...round],
    [...local(v0), ...local(v1), ...xor64, ...local(v2), ...xor64, ...local(v3), ...xor64],
  ].flat();
})();

const runBody = ((): Code => {
  const [at, until, tag, k0, k1, length, start] = [0, 1, 2, 3, 4, 5, 6];
  const [sum, count] = [0, 1];
  const next = [...local(start), ...local(length), ...plus];
  const second = [...local(at), ...byte(2)];
  const addTo = (global: number, value: Code): Code => [0x23, global, ...value, 0x24, global];
  return [
    [block, noResult, loop, noResult],
    // A tag and a length of two bytes at the most; what is longer is for others to read.
    [...local(at), ...int(3), ...plus, ...local(until), ...above, branchIf, 1],
    [...local(at), ...byte(0), ...local(tag), ...unequal, branchIf, 1],
    set(start, local(at), int(2), plus),
    set(length, local(at), byte(1)),
    [...local(length), ...int(0x80), ...atLeast, when, noResult],
    [...second, ...int(0x80), ...atLeast, branchIf, 2],
    set(length, local(length), int(0x7f), and, second, int(7), shift, or),
    [...set(start, local(start), int(1), plus), end],
    [...next, ...local(until), ...above, branchIf, 1],
    addTo(sum, [...local(start), ...local(length), ...local(k0), ...local(k1), call, 0, ...plus64]),
    addTo(count, [...int(1), ...plus]),
    [...set(at, next), branch, 0, end, end, ...local(at)],
  ].flat();
})();

function list(items: readonly Code[]): Code {
  return [...unsigned(items.length), ...items.flat()];
}

function sized(content: Code): Code {
  return [...unsigned(content.length), ...content];
}

function section(id: number, ...items: readonly Code[]): Code {
  return [id, ...sized(list(items))];
}

/** `kind`: a function 0, memory 2, a global 3. */
function exported(name: string, kind: number, index: number): Code {
  return [...sized([...Buffer.from(name)]), kind, index];
}

function code(locals: readonly Code[], body: Code): Code {
  return sized([...list(locals), ...body, end]);
}

/** One for the process: what is in its memory is used during a call only. */
export const sipHash: SipHash = new WebAssembly.Instance(
  new WebAssembly.Module(
    Uint8Array.from([
      ...[0, ...Buffer.from('asm'), 1, 0, 0, 0],
      ...section(
        1,
        [0x60, 4, i32, i32, i64, i64, 1, i64],
        [0x60, 5, i32, i32, i32, i64, i64, 1, i32],
      ),
      ...section(3, [0], [1]),
      ...section(5, [0, 1]),
      ...section(6, [i64, 1, ...long(0n), end], [i32, 1, ...int(0), end]),
      ...section(
        7,
        ...[exported('hash', 0, 0), exported('run', 0, 1), exported('memory', 2, 0)],
        ...[exported('sum', 3, 0), exported('count', 3, 1)],
      ),
      ...section(
        10,
        code(
          [
            [5, i64],
            [1, i32],
          ],
          hashBody,
        ),
        code([[2, i32]], runBody),
      ),
    ]),
  ),
).exports;
