/**
 * This version beside the one before it (`previous/`): the rules of CONTRIBUTING.md for changes of
 * our own records.
 */
import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  createFileRegistry,
  fromBinary,
  fromJson,
  ScalarType,
  toBinary,
  toJson,
  type DescField,
  type DescMessage,
  type FileRegistry,
  type JsonObject,
  type JsonValue,
} from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Event, SecretMaterial } from '../src/gen/model.ts';
import { Feedback, ManifestContent, ScopeClass, XdsRecord } from '../src/gen/record.ts';
import { schemaVersion, unreadable } from '../src/schema.ts';

const present = join(import.meta.dirname, '../schema');
const previous = join(import.meta.dirname, '../previous');
const buf = join(import.meta.dirname, '../../../node_modules/.bin/buf');
const run = promisify(execFile);

/** What breaks readers of before, and what would let a number mean something else. */
const rules = {
  version: 'v2',
  breaking: {
    use: [
      'WIRE',
      'FIELD_SAME_TYPE',
      'FIELD_SAME_CARDINALITY',
      'FIELD_SAME_NAME',
      'FIELD_NO_DELETE_UNLESS_NAME_RESERVED',
      'ENUM_VALUE_SAME_NAME',
      'ENUM_VALUE_NO_DELETE_UNLESS_NAME_RESERVED',
    ],
  },
};

/** What the rules say of a folder of protos, compared with those of the previous version. */
async function broken(cwd: string): Promise<string> {
  const args = ['breaking', '.', '--against', previous, '--config', JSON.stringify(rules)];
  try {
    await run(buf, args, { cwd });
    return '';
  } catch (error) {
    if (error instanceof Error && 'stdout' in error) return String(error.stdout);
    throw error;
  }
}

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'watershed-schema-'));
});

afterAll(() => rm(folder, { recursive: true }));

async function registryOf(cwd: string, name: string): Promise<FileRegistry> {
  const file = join(folder, `${name}.binpb`);
  await run(buf, ['build', '.', '--as-file-descriptor-set', '-o', file], { cwd });
  return createFileRegistry(fromBinary(FileDescriptorSetSchema, await readFile(file)));
}

describe('the schema', () => {
  it('breaks no reader of the previous version, and takes no number for something else', async () => {
    expect(await broken(present)).toBe('');
  });

  it('may not change what is there: numbers, types, names, how many, choices, values', async () => {
    const changed = await changedBy(
      ['uint32 scopes = 3', 'string scopes = 3'],
      ['uint32 acked = 3', 'uint32 acked = 9'],
      ['uint32 streams = 2', 'uint32 proxies = 2'],
      ['string proxy_version = 7', 'repeated string proxy_version = 7'],
      ['bool locality = 2;', ''],
      ['    Pusher pusher = 20;', '    Nack pusher = 20;'],
      ['PROXY_TYPE_ROUTER = 1', 'PROXY_TYPE_EDGE = 1'],
    );
    const found = await broken(changed);
    for (const field of ['scopes', 'acked', 'streams', 'proxy_version', 'locality', 'pusher']) {
      expect(found).toContain(`"${field}"`);
    }
    expect(found).toContain('PROXY_TYPE_EDGE');
  });

  it('may lose a field whose number and name are reserved, and gain one', async () => {
    const reserved = 'reserved 2; reserved "streams"; string later = 1000;';
    expect(await broken(await changedBy(['uint32 streams = 2;', reserved]))).toBe('');
  });
});

/** A copy of the schema with changes in `record.proto`. */
async function changedBy(...changes: readonly (readonly [string, string])[]): Promise<string> {
  const changed = await mkdtemp(join(folder, 'changed-'));
  await cp(present, changed, { recursive: true });
  const file = join(changed, 'record.proto');
  let text = await readFile(file, 'utf8');
  for (const [before, after] of changes) {
    expect(text).toContain(before);
    text = text.replace(before, after);
  }
  await writeFile(file, text);
  return changed;
}

/** What this version reads and writes records with. */
const codecs: Readonly<Record<string, (bytes: Uint8Array) => Uint8Array>> = {
  Event: (bytes) => Event.encode(Event.decode(bytes)).finish(),
  SecretMaterial: (bytes) => SecretMaterial.encode(SecretMaterial.decode(bytes)).finish(),
  XdsRecord: (bytes) => XdsRecord.encode(XdsRecord.decode(bytes)).finish(),
  ManifestContent: (bytes) => ManifestContent.encode(ManifestContent.decode(bytes)).finish(),
  ScopeClass: (bytes) => ScopeClass.encode(ScopeClass.decode(bytes)).finish(),
  Feedback: (bytes) => Feedback.encode(Feedback.decode(bytes)).finish(),
};

describe('records', () => {
  let now: FileRegistry;
  let before: FileRegistry;

  beforeAll(async () => {
    [now, before] = await Promise.all([
      registryOf(present, 'present'),
      registryOf(previous, 'previous'),
    ]);
  });

  it.each(Object.keys(codecs))('of the previous version are read whole: %s', (name) => {
    const type = messageOf(before, name);
    fc.assert(
      fc.property(valueOf(type, 4), (json) => {
        const written = fromJson(type, json);
        const read = codecs[name]?.(toBinary(type, written)) ?? new Uint8Array();
        expect(toJson(type, fromBinary(type, read))).toEqual(toJson(type, written));
      }),
      { numRuns: 150 },
    );
  });

  it.each(Object.keys(codecs))('of this one are read there, but for what is new: %s', (name) => {
    const [type, old] = [messageOf(now, name), messageOf(before, name)];
    fc.assert(
      fc.property(valueOf(type, 4), (json) => {
        const written = codecs[name]?.(toBinary(type, fromJson(type, json))) ?? new Uint8Array();
        const known = withoutNew(toJson(type, fromBinary(type, written)), type, old);
        expect(toJson(old, fromBinary(old, written))).toEqual(known);
      }),
      { numRuns: 150 },
    );
  });

  it('with a field that this version does not know are read as if it were not there', () => {
    const value = { root: 'x' };
    const bytes = Event.encode({
      object: { $case: 'namespace', value: { labels: value } },
    }).finish();
    // Field 1000, a varint; at the end of the record and in its object.
    const later = Uint8Array.of(0xc0, 0x3e, 1);
    const inner = Uint8Array.of(...bytes.subarray(2), ...later);
    const more = Uint8Array.of(bytes[0] ?? 0, inner.length, ...inner, ...later);
    expect(Event.decode(more)).toEqual(Event.decode(bytes));
  });

  it('say which schema a reader must know, and without a word the first', () => {
    expect(unreadable(undefined)).toBeUndefined();
    expect(unreadable({})).toBeUndefined();
    expect(unreadable({ schema: '1' })).toBeUndefined();
    expect(unreadable({ schema: String(schemaVersion + 1) })).toMatch(/up to 1/u);
    expect(unreadable({ schema: 'nonsense' })).toBeDefined();
  });
});

function messageOf(registry: FileRegistry, name: string): DescMessage {
  const found = registry.getMessage(`watershed.model.v1.${name}`);
  if (found === undefined) throw new Error(`there is no message ${name}`);
  return found;
}

/** Of labels and headers. */
const names = fc.stringMatching(/^[a-z][a-z./]{0,8}$/u);

/** JSON of any message of a type; nested so deep at most. */
function valueOf(type: DescMessage, depth: number): fc.Arbitrary<JsonObject> {
  const alone = type.fields.filter(({ oneof }) => oneof === undefined);
  const fields = Object.fromEntries(
    alone.map((field) => [field.jsonName, fc.option(fieldOf(field, depth), { nil: undefined })]),
  );
  const choices = type.oneofs.map((oneof) =>
    fc.oneof(
      fc.constant<JsonObject>({}),
      ...oneof.fields
        .filter(({ message }) => message === undefined || depth > 0)
        .map((field) => fieldOf(field, depth).map((value) => ({ [field.jsonName]: value }))),
    ),
  );
  return fc
    .tuple(fc.record(fields), ...choices)
    .map((parts) => JSON.parse(JSON.stringify(Object.assign({}, ...parts))));
}

function fieldOf(field: DescField, depth: number): fc.Arbitrary<JsonValue> {
  const one = elementOf(field, depth);
  if (field.fieldKind === 'list') return fc.array(one, { maxLength: 2 });
  if (field.fieldKind !== 'map') return one;
  const key = field.mapKey === ScalarType.STRING ? names : fc.nat(1_000).map(String);
  return fc.dictionary(key, one, { maxKeys: 2 });
}

function elementOf(field: DescField, depth: number): fc.Arbitrary<JsonValue> {
  if (field.message !== undefined) {
    return depth > 0 ? valueOf(field.message, depth - 1) : fc.constant({});
  }
  if (field.enum !== undefined) {
    return fc.constantFrom(...field.enum.values.map(({ name }) => name));
  }
  switch (field.scalar) {
    case ScalarType.STRING:
      return fc.string();
    case ScalarType.BYTES:
      return fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes).toString('base64'));
    case ScalarType.BOOL:
      return fc.boolean();
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return fc.integer({ min: -1_000, max: 1_000 }).map((half) => half / 2);
    case ScalarType.INT32:
      return fc.integer();
    case ScalarType.INT64:
      return fc.maxSafeInteger().map(String);
    case ScalarType.UINT64:
      return fc.maxSafeNat().map(String);
    default:
      return fc.nat();
  }
}

/** JSON of a message without the fields that the older type lacks. */
function withoutNew(json: JsonValue, type: DescMessage, old: DescMessage): JsonValue {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return json;
  const kept: Record<string, JsonValue> = {};
  for (const [name, value] of Object.entries(json)) {
    const field = type.fields.find(({ jsonName }) => jsonName === name);
    const known = old.fields.find(({ jsonName }) => jsonName === name);
    if (field === undefined || known === undefined || value === undefined) continue;
    const { message } = field;
    const older = known.message;
    if (message === undefined || older === undefined) kept[name] = value;
    else if (Array.isArray(value)) {
      kept[name] = value.map((one: JsonValue) => withoutNew(one, message, older));
    } else if (field.fieldKind === 'map') {
      kept[name] = Object.fromEntries(
        Object.entries(value ?? {}).map(([key, one]) => [key, withoutNew(one, message, older)]),
      );
    } else kept[name] = withoutNew(value, message, older);
  }
  return kept;
}
