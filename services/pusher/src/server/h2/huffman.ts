/**
 * HPACK's Huffman code (RFC 7541, appendix B). It is canonical: the lengths of the codes say all,
 * for codes of one length are in the order of their symbols.
 */

/** In bits, of the symbols 0 to 255. That of the end of a string (30 bits) never is decoded. */
const lengths: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
  28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5,
  6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6,
  7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23,
  23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22,
  22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22,
  23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27,
  27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25,
  24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/**
 * The tree as pairs: `tree[2 * node + bit]` is another node, or, below zero, a symbol (-1 -
 * symbol); 0: no such code, for nothing leads to the root.
 */
const tree = build();

function build(): Int16Array {
  const nodes = [0, 0];
  const symbols = lengths.map((_, symbol) => symbol);
  symbols.sort((a, b) => (lengths[a] ?? 0) - (lengths[b] ?? 0) || a - b);
  let code = 0;
  let bits = 0;
  for (const symbol of symbols) {
    const length = lengths[symbol] ?? 0;
    code *= 2 ** (length - bits);
    bits = length;
    let node = 0;
    for (let bit = bits - 1; bit > 0; bit--) {
      const at = 2 * node + ((code >>> bit) & 1);
      node = nodes[at] || (nodes[at] = nodes.push(0, 0) / 2 - 1);
    }
    nodes[2 * node + (code & 1)] = -1 - symbol;
    code++;
  }
  return Int16Array.from(nodes);
}

/** Of a code of 5 bits at the least. */
export function mostBytes(encodedBytes: number): number {
  return Math.floor((8 * encodedBytes) / 5);
}

/** Writes what `bytes[from, to)` means; gives how many bytes, or -1: it is no such code. */
export function decodeHuffman(bytes: Uint8Array, from: number, to: number, into: Buffer): number {
  let node = 0;
  let out = 0;
  // Bits since the last symbol, and whether all were ones, as in padding.
  let bits = 0;
  let ones = true;
  for (let at = from; at < to; at++) {
    const byte = bytes[at] ?? 0;
    for (let shift = 7; shift >= 0; shift--) {
      const bit = (byte >>> shift) & 1;
      node = tree[2 * node + bit] ?? 0;
      if (node === 0) return -1;
      bits++;
      ones &&= bit === 1;
      if (node > 0) continue;
      into[out++] = -1 - node;
      node = 0;
      bits = 0;
      ones = true;
    }
  }
  return bits < 8 && ones ? out : -1;
}
