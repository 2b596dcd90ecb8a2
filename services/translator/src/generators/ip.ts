/** IP addresses as bytes, and as the one text that Go and Rust write of them (RFC 5952). */

/** The address alone: without the length of a CIDR block. */
export function ipBytes(text: string): Uint8Array {
  const [address = ''] = text.split('/');
  return address.includes(':') ? v6(address) : v4(address);
}

/** The length of a CIDR block; `undefined`: a single address. */
export function prefixLength(text: string): number | undefined {
  const at = text.indexOf('/');
  return at < 0 ? undefined : Number(text.slice(at + 1));
}

export function ipText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const groups = Array.from({ length: 8 }, (_, at) =>
    (((bytes[2 * at] ?? 0) << 8) | (bytes[2 * at + 1] ?? 0)).toString(16),
  );
  const run = longestZeros(groups);
  if (run.length < 2) return groups.join(':');
  const head = groups.slice(0, run.at).join(':');
  return `${head}::${groups.slice(run.at + run.length).join(':')}`;
}

/** The first of the longest runs. */
function longestZeros(groups: readonly string[]): { readonly at: number; readonly length: number } {
  let best = { at: 0, length: 0 };
  let length = 0;
  for (const [at, group] of groups.entries()) {
    length = group === '0' ? length + 1 : 0;
    if (length > best.length) best = { at: at - length + 1, length };
  }
  return best;
}

function v4(text: string): Uint8Array {
  return Uint8Array.from(text.split('.').map(Number));
}

function v6(text: string): Uint8Array {
  const [head = '', tail] = text.split('::');
  const before = v6Part(head);
  const after = tail === undefined ? [] : v6Part(tail);
  const zeros = Array.from({ length: Math.max(0, 16 - before.length - after.length) }, () => 0);
  return Uint8Array.from([...before, ...zeros, ...after]);
}

/** Groups of 16 bits; the last may be an IPv4 address. */
function v6Part(text: string): readonly number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (group.includes('.')) return [...v4(group)];
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 255];
  });
}
