/**
 * Protobuf's JSON, read strictly. The generated `fromJSON` takes anything: it drops unknown fields
 * and makes `NaN` of text. This finds all that is wrong in a document first, with the path of each,
 * and hands on a form that `fromJSON` reads without loss. It accepts what Istio accepts: camel case
 * and the names of the .proto files, quoted numbers, numbers of enums, null for "not set", Go's
 * durations.
 */
import { ScalarType, type DescField, type DescMessage } from '@bufbuild/protobuf';
import { isWrapperDesc } from '@bufbuild/protobuf/wkt';
import { istioRegistry } from './istio-descriptors.ts';
import {
  duration,
  enumValue,
  kindOf,
  mapKey,
  scalar,
  timestamp,
  type Outcome,
} from './strict-scalars.ts';

export interface Problem {
  /** As the user wrote it: `spec.http[0].route[1].weight`. */
  readonly path: string;
  /** The value as JSON, at most 100 characters. */
  readonly value: string;
  readonly reason: string;
  /**
   * `unknown`: a field that does not exist, so the rest can be used. `invalid`: the document is
   * wrong.
   */
  readonly kind: 'unknown' | 'invalid';
}

export interface Limits {
  /** Of nested messages and structures. */
  readonly depth: number;
  /** Values visited, so that a document with aliases cannot grow without bound. */
  readonly values: number;
  /** Problems listed; more are counted as one. */
  readonly problems: number;
}

export interface StrictOptions {
  /** Where the document is in the user's object; default `spec`. */
  readonly path?: string;
  readonly limits?: Partial<Limits>;
}

export interface Strict {
  /** For the generated `fromJSON`; without the unknown fields. Absent when anything is invalid. */
  readonly message?: unknown;
  /**
   * In its place: the same without what is invalid (in a list or map, something blank stands for
   * it), so that more can be found wrong in one look. Absent when a limit ended the reading.
   */
  readonly rest?: unknown;
  readonly problems: readonly Problem[];
}

const defaultLimits: Limits = { depth: 64, values: 500_000, problems: 100 };

/**
 * @param typeName such as `istio.networking.v1alpha3.VirtualService`
 * @param json what JSON.parse or a YAML reader gave
 * @throws RangeError when the type is not a root of Istio's descriptors (a mistake of the caller)
 */
export function decodeStrict(typeName: string, json: unknown, options: StrictOptions = {}): Strict {
  const desc = istioRegistry.getMessage(typeName);
  if (desc === undefined) throw new RangeError(`no message ${typeName}`);
  const walker = new Walker({ ...defaultLimits, ...options.limits });
  const message = walker.message(desc, json, options.path ?? 'spec', 0);
  const { problems } = walker;
  if (!walker.invalid) return { message, problems };
  return walker.isCut || message === undefined ? { problems } : { rest: message, problems };
}

type Json = Readonly<Record<string, unknown>>;

/** One document. A method returns undefined where it found something wrong, after noting it. */
class Walker {
  readonly problems: Problem[] = [];
  invalid = false;
  /** A limit was passed: not all of it was read. */
  isCut = false;
  readonly #limits: Limits;
  #values = 0;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  message(desc: DescMessage, value: unknown, path: string, depth: number): unknown {
    if (!this.#visit(path, depth)) return undefined;
    const known = wellKnown(desc, value);
    if (known !== undefined) return this.#take(known, value, path);
    if (desc.typeName === 'google.protobuf.Value') return this.#plain(value, path, depth);
    const object = this.#object(value, path);
    if (object === undefined) return undefined;
    const free = desc.typeName === 'google.protobuf.Struct';
    return free ? this.#plain(object, path, depth) : this.#fields(desc, object, path, depth);
  }

  #fields(desc: DescMessage, object: Json, path: string, depth: number): Json {
    const result: Record<string, unknown> = {};
    const oneofs = new Map<string, string>();
    for (const [key, value] of Object.entries(object)) {
      const at = join(path, key);
      const field = fieldNamed(desc, key);
      if (field === undefined) {
        this.#note(at, value, unknownReason(desc, key), 'unknown');
      } else if (value !== null || acceptsNull(field)) {
        const clash = claim(field, key, result, oneofs);
        const read = this.#field(field, value, at, depth);
        if (clash === undefined) result[field.jsonName] = read;
        else this.#wrong(at, value, clash);
      }
    }
    return result;
  }

  #field(field: DescField, value: unknown, path: string, depth: number): unknown {
    switch (field.fieldKind) {
      case 'list':
        return this.#list(field, value, path, depth);
      case 'map':
        return this.#map(field, value, path, depth);
      default:
        return this.#single(field, value, path, depth);
    }
  }

  #list(field: DescField, value: unknown, path: string, depth: number): unknown {
    if (!Array.isArray(value)) {
      return this.#wrong(path, value, `expected a list, got ${kindOf(value)}`);
    }
    const elements: readonly unknown[] = value;
    return elements.map((element, i) => this.#element(field, element, `${path}[${i}]`, depth));
  }

  #map(
    field: DescField & { fieldKind: 'map' },
    value: unknown,
    path: string,
    depth: number,
  ): unknown {
    const object = this.#object(value, path);
    if (object === undefined) return undefined;
    const entries = Object.entries(object).map(([key, inner]) => {
      const at = join(path, key);
      this.#take(mapKey(field.mapKey, key), key, at);
      return [key, this.#element(field, inner, at, depth)] as const;
    });
    return Object.fromEntries(entries);
  }

  #element(field: DescField, value: unknown, path: string, depth: number): unknown {
    const read = this.#single(field, value, path, depth);
    return read === undefined ? blank(field) : read;
  }

  /** A value, or an element of a list or map. */
  #single(field: DescField, value: unknown, path: string, depth: number): unknown {
    if (field.message !== undefined) return this.message(field.message, value, path, depth + 1);
    if (!this.#visit(path, depth)) return undefined;
    if (field.enum !== undefined) return this.#take(enumValue(field.enum, value), value, path);
    return this.#take(scalar(field.scalar, value), value, path);
  }

  #object(value: unknown, path: string): Json | undefined {
    if (isObject(value)) return value;
    return this.#wrong(path, value, `expected an object, got ${kindOf(value)}`);
  }

  /** What a google.protobuf.Value holds: JSON of any form. */
  #plain(value: unknown, path: string, depth: number): unknown {
    if (!this.#visit(path, depth)) return undefined;
    if (Array.isArray(value)) {
      const elements: readonly unknown[] = value;
      return elements.map((element, i) => this.#plain(element, `${path}[${i}]`, depth + 1));
    }
    if (isObject(value)) {
      const entries = Object.entries(value);
      return Object.fromEntries(
        entries.map(([key, inner]) => [key, this.#plain(inner, join(path, key), depth + 1)]),
      );
    }
    const usable =
      value === null ||
      typeof value === 'boolean' ||
      (typeof value === 'number' && Number.isFinite(value)) ||
      (typeof value === 'string' && value.isWellFormed());
    return usable ? value : this.#wrong(path, value, `${kindOf(value)} that JSON cannot hold`);
  }

  #take(outcome: Outcome, value: unknown, path: string): unknown {
    return outcome.ok ? outcome.json : this.#wrong(path, value, outcome.reason);
  }

  /** False when a limit is passed: the rest is not looked at. */
  #visit(path: string, depth: number): boolean {
    this.#values += 1;
    const { values, depth: maxDepth } = this.#limits;
    const isWithin = depth <= maxDepth && this.#values <= values;
    if (!isWithin) this.isCut = true;
    if (depth > maxDepth) {
      this.#wrong(path, '…', `nested deeper than ${maxDepth} levels`);
    } else if (this.#values === values + 1) {
      this.#wrong(path, '…', `the document has more than ${values} values`);
    }
    return isWithin;
  }

  #wrong(path: string, value: unknown, reason: string): undefined {
    this.invalid = true;
    this.#note(path, value, reason, 'invalid');
  }

  #note(path: string, value: unknown, reason: string, kind: Problem['kind']): void {
    const { problems } = this.#limits;
    if (this.problems.length < problems) {
      this.problems.push({ path, value: shown(value), reason, kind });
    } else if (this.problems.length === problems) {
      this.problems.push({ path, value: '', reason: 'and more that is not listed', kind });
    }
  }
}

/** Messages that have a JSON form of their own. */
function wellKnown(desc: DescMessage, value: unknown): Outcome | undefined {
  if (desc.typeName === 'google.protobuf.Duration') return duration(value);
  if (desc.typeName === 'google.protobuf.Timestamp') return timestamp(value);
  if (isWrapperDesc(desc)) return scalar(desc.fields[0].scalar, value);
  if (desc.typeName !== 'google.protobuf.Any') return undefined;
  return { ok: false, reason: 'a message of any type cannot be given here' };
}

/** In the place of an element that is wrong: others keep their places, and `fromJSON` can read it. */
function blank({ message, scalar: type }: DescField): unknown {
  if (message !== undefined) return {};
  if (type === ScalarType.STRING || type === ScalarType.BYTES) return '';
  return type === ScalarType.BOOL ? false : 0;
}

function fieldNamed(desc: DescMessage, key: string): DescField | undefined {
  return desc.fields.find(({ jsonName, name }) => jsonName === key || name === key);
}

function acceptsNull(field: DescField): boolean {
  return field.fieldKind === 'message' && field.message.typeName === 'google.protobuf.Value';
}

/** Why `field` must not be set, given what was set before it. */
function claim(
  field: DescField,
  key: string,
  result: Json,
  oneofs: Map<string, string>,
): string | undefined {
  if (Object.hasOwn(result, field.jsonName)) return `${field.jsonName} is set twice`;
  if (field.oneof === undefined) return undefined;
  const first = oneofs.get(field.oneof.name);
  oneofs.set(field.oneof.name, key);
  if (first === undefined) return undefined;
  return `only one of ${first} and ${key} can be set`;
}

function unknownReason(desc: DescMessage, key: string): string {
  const removed = desc.proto.reservedName.includes(key);
  return removed ? 'a field that was removed from the API' : `no such field in ${desc.name}`;
}

function join(path: string, key: string): string {
  const word = key.length <= 100 && /^[A-Za-z_][\w-]*$/.test(key);
  if (!word) return `${path}[${JSON.stringify(key.slice(0, 100))}]`;
  return path === '' ? key : `${path}.${key}`;
}

/** Bounded before it is made text: the value may be a whole document. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return `[${value.length} element${value.length === 1 ? '' : 's'}]`;
  if (isObject(value)) return `{${Object.keys(value).slice(0, 5).join(', ')}}`.slice(0, 100);
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 98));
  return String(value).slice(0, 100);
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
