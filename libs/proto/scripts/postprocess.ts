/**
 * What ts-proto's output lacks, added as text: map entries are encoded in the order of their keys, so that
 * equal messages have equal bytes; and the type-only namespaces beside enums go (no code needs them).
 */

const mapEncode = /^(\s*)globalThis\.Object\.entries\((message\.\w+)\)\.forEach\(/gm;
const entryEncode = /Entry\.encode\(\s*\{ key: /g;
const enumNamespace = /^export namespace \w+ \{\n(?: {2}.*\n)*\}\n\n?/gm;
const versions = /^\/\/ versions:\n(?:\/\/ {3}.*\n)*/m;

const sortedEntries = `
/** The entries of a map, by the UTF-16 code units of their keys: equal maps have equal bytes. */
function sortedEntries<V>(map: { [key: string | number]: V }): [string, V][] {
  const entries = globalThis.Object.entries(map);
  return entries.length < 2 ? entries : entries.sort(([a], [b]) => (a < b ? -1 : 1));
}
`;

/** @throws Error when an encoding of a map is found that was not rewritten. */
export function postprocess(path: string, source: string): string {
  let maps = 0;
  const text = source
    .replace(versions, '')
    .replace(enumNamespace, '')
    .replace(mapEncode, (_all, indent: string, map: string) => {
      maps += 1;
      return `${indent}sortedEntries(${map}).forEach(`;
    });
  const expected = text.match(entryEncode)?.length ?? 0;
  if (maps !== expected) {
    throw new Error(`${path}: ${expected} maps are encoded, ${maps} of them sorted`);
  }
  return maps === 0 ? text : text + sortedEntries;
}
