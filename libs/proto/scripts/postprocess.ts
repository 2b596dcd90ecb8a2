/**
 * What ts-proto's output lacks, added as text:
 *
 * - map entries are encoded in the order of their keys, so that equal messages have equal bytes;
 * - Duration and Any have the JSON of the protobuf specification ("1.5s", "@type");
 * - the type-only namespaces beside enums go: no code needs them.
 */

const mapEncode = /^(\s*)globalThis\.Object\.entries\(\s*(message\.\w+),?\s*\)\s*\.forEach\(/gm;
const entryEncode = /Entry\s*\.encode\(\s*\{\s*key: key as any/g;
const enumNamespace = /^export namespace \w+ \{\n(?: {2}.*\n)*\}\n\n?/gm;
const header = /^(.*\n)\/\/ versions:\n(?:\/\/ {3}.*\n)*/;

const sortedEntries = `
/** The entries of a map, by the UTF-16 code units of their keys: equal maps have equal bytes. */
function sortedEntries<V>(map: { [key: string | number]: V }): [string, V][] {
  const entries = globalThis.Object.entries(map);
  return entries.length < 2 ? entries : entries.sort(([a], [b]) => (a < b ? -1 : 1));
}
`;

const durationFromJson = `  fromJSON(object: any): Duration {
    if (typeof object !== "string") {
      return {
        seconds: isSet(object.seconds) ? Number(object.seconds) : 0,
        nanos: isSet(object.nanos) ? Number(object.nanos) : 0,
      };
    }
    const match = /^(-?)(\\d+)(?:\\.(\\d{1,9}))?s$/.exec(object);
    if (match === null) {
      throw new globalThis.RangeError(\`not a duration: \${globalThis.JSON.stringify(object)}\`);
    }
    const sign = match[1] === "-" ? -1 : 1;
    // + 0: no negative zero.
    return {
      seconds: sign * Number(match[2]) + 0,
      nanos: sign * Number((match[3] ?? "").padEnd(9, "0")) + 0,
    };
  },
`;

const durationToJson = `  toJSON(message: Duration): unknown {
    const sign = message.seconds < 0 || message.nanos < 0 ? "-" : "";
    const nanos = globalThis.String(Math.abs(message.nanos)).padStart(9, "0");
    const digits = nanos.replace(/(?:000){1,3}$/, "");
    return \`\${sign}\${Math.abs(message.seconds)}\${digits === "" ? "" : "."}\${digits}s\`;
  },
`;

const anyFromJson = `  fromJSON(object: any): Any {
    return {
      typeUrl: globalThis.String(object["@type"] ?? object.typeUrl ?? object.type_url ?? ""),
      value: isSet(object.value) ? bytesFromBase64(object.value) : new Uint8Array(0),
    };
  },
`;

const anyToJson = `  toJSON(message: Any): unknown {
    const obj: any = {};
    if (message.typeUrl !== "") {
      obj["@type"] = message.typeUrl;
    }
    if (message.value.length !== 0) {
      obj.value = base64FromBytes(message.value);
    }
    return obj;
  },
`;

const methods = (name: string): RegExp =>
  new RegExp(`^  ${name}\\(.*\\n(?: {4}.*\\n|\\n)* {2}\\},\\n`, 'm');

const json: Readonly<Record<string, readonly [string, string]>> = {
  'google/protobuf/duration.ts': [durationFromJson, durationToJson],
  'google/protobuf/any.ts': [anyFromJson, anyToJson],
};

/**
 * @param path of the generated file, below the folder of its pass
 * @throws Error when an encoding of a map, or a method to replace, is not where it is expected
 */
export function postprocess(path: string, source: string): string {
  const [fromJson, toJson] = json[path] ?? [];
  let text = source.replace(header, '$1').replace(enumNamespace, '');
  if (fromJson !== undefined) text = replaceOnce(path, text, methods('fromJSON'), fromJson);
  if (toJson !== undefined) text = replaceOnce(path, text, methods('toJSON'), toJson);

  const expected = text.match(entryEncode)?.length ?? 0;
  const maps = text.match(mapEncode)?.length ?? 0;
  if (maps !== expected) {
    throw new Error(`${path}: ${expected} maps are encoded, ${maps} of them could be sorted`);
  }
  if (maps === 0) return text;
  return text.replace(mapEncode, '$1sortedEntries($2).forEach(') + sortedEntries;
}

function replaceOnce(path: string, text: string, pattern: RegExp, replacement: string): string {
  if (!pattern.test(text)) throw new Error(`${path}: no match for ${pattern.source}`);
  return text.replace(pattern, () => replacement);
}
