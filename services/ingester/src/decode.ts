/**
 * Strict decoding of what users wrote: small decoders that compose, every refusal with the full
 * path of its field. A decoder goes on after a refusal, so that one look shows all that is wrong
 * with an object.
 *
 *     const port = object({ number: required(int(1, 65_535)), name: optional(text({ max: 63 })) });
 *     const { spec, problems } = decode(port, raw['spec'], { path: 'spec' });
 */
import { nearest } from '@watershed/runtime/nearest.ts';
import type { Decoded, Problem } from './kind.ts';

/** What a decoder gives instead of a value, after it has said why. */
export const invalid: unique symbol = Symbol('invalid');
export type Invalid = typeof invalid;

export type Decoder<T> = (value: unknown, at: At) => T | Invalid;

/**
 * A field of an object: how to read it, and what it is when it is absent (or null, which is the
 * same).
 */
export interface Field<T> {
  readonly decode: Decoder<T>;
  readonly absent: (at: At) => T | Invalid;
}

/** Longest value that a problem shows, in characters. */
const maxShown = 120;
/** Most problems of one object; a file that is wrong everywhere is as clear after these. */
const maxProblems = 32;

interface Sink {
  readonly problems: Problem[];
  readonly unknownFields: 'error' | 'warning';
}

/** Where in an object a decoder is, and where it says what is wrong there. */
export class At {
  readonly #sink: Sink;
  readonly #parent: At | undefined;
  readonly #segment: string | number;

  /** Use `decode`, `field` and `item`. */
  constructor(sink: Sink, parent: At | undefined, segment: string | number) {
    this.#sink = sink;
    this.#parent = parent;
    this.#segment = segment;
  }

  /**
   * `spec.http[0].match`; names with other characters than a field's are quoted: `data["tls.crt"]`.
   */
  get path(): string {
    if (this.#parent === undefined) return String(this.#segment);
    const before = this.#parent.path;
    if (typeof this.#segment === 'number') return `${before}[${this.#segment}]`;
    if (!/^[\w$]+$/u.test(this.#segment)) return `${before}[${JSON.stringify(this.#segment)}]`;
    return before === '' ? this.#segment : `${before}.${this.#segment}`;
  }

  field(name: string): At {
    return new At(this.#sink, this, name);
  }

  item(index: number): At {
    return new At(this.#sink, this, index);
  }

  /** The object is refused: its last good value stays. */
  error(value: unknown, reason: string): Invalid {
    this.#add('error', value, reason);
    return invalid;
  }

  /** The object is taken, without what the reason says. */
  warn(value: unknown, reason: string): void {
    this.#add('warning', value, reason);
  }

  unknown(value: unknown, reason: string): void {
    this.#add(this.#sink.unknownFields, value, reason);
  }

  #add(severity: Problem['severity'], value: unknown, reason: string): void {
    const { problems } = this.#sink;
    // An error is never lost to the bound: it decides whether the object is taken.
    if (problems.length >= maxProblems && severity === 'warning') return;
    if (problems.length >= 2 * maxProblems) return;
    problems.push({ severity, field: this.path, value: show(value), reason });
  }
}

/** A value as a problem shows it: JSON, cut; absent is empty. */
export function show(value: unknown): string {
  if (value === undefined) return '';
  const text = typeof value === 'object' ? outline(value) : JSON.stringify(value);
  if (text === undefined) return typeof value;
  return text.length <= maxShown ? text : `${text.slice(0, maxShown)}…`;
}

/** Objects are shown by shape: what they hold may be long, or not for everybody's eyes. */
function outline(value: object | null): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return `a list of ${value.length}`;
  const { length } = Object.keys(value);
  return `an object of ${length} field${length === 1 ? '' : 's'}`;
}

export interface DecodeOptions {
  /** The path of the value in its object, `spec`. */
  readonly path: string;
  /**
   * Default `error`, as kubectl's own strict validation: in a file, an unknown field is a typing
   * error. An API server drops what it does not know, so there it is a field newer than this
   * program: `warning`.
   */
  readonly unknownFields?: 'error' | 'warning';
}

/** Runs a decoder over a value. The spec is absent if any problem is an error. */
export function decode<T>(decoder: Decoder<T>, value: unknown, options: DecodeOptions): Decoded<T> {
  const problems: Problem[] = [];
  const at = new At(
    { problems, unknownFields: options.unknownFields ?? 'error' },
    undefined,
    options.path,
  );
  const spec = decoder(value ?? undefined, at);
  const refused = spec === invalid || problems.some((problem) => problem.severity === 'error');
  return refused ? { problems } : { spec, problems };
}

// ---------------------------------------------------------------- fields

export function required<T>(decoder: Decoder<T>): Field<T> {
  return { decode: decoder, absent: (at) => at.error(undefined, 'is required') };
}

export function optional<T>(decoder: Decoder<T>): Field<T | undefined> {
  return { decode: decoder, absent: () => undefined };
}

export function defaulted<T>(decoder: Decoder<T>, value: T): Field<T> {
  return { decode: decoder, absent: () => value };
}

// ---------------------------------------------------------------- values

export interface TextOptions {
  /** Characters. */
  readonly min?: number;
  readonly max?: number;
  readonly pattern?: RegExp;
  /** Said when the pattern does not match: `must be …`. */
  readonly reason?: string;
}

/** A string. */
export function text(options: TextOptions = {}): Decoder<string> {
  const { min = 0, max = 262_144, pattern, reason } = options;
  return (value, at) => {
    if (typeof value !== 'string') {
      return at.error(value, `must be a string, not ${typeName(value)}`);
    }
    if (value.length < min) {
      return at.error(
        value,
        min === 1 ? 'must not be empty' : `must have at least ${min} characters`,
      );
    }
    if (value.length > max) return at.error(value, `must have at most ${max} characters`);
    if (pattern !== undefined && !pattern.test(value)) {
      return at.error(value, reason ?? `must match ${pattern.source}`);
    }
    return value;
  };
}

/** A whole number from `min` to `max`, both allowed. */
export function int(min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER): Decoder<number> {
  return (value, at) => {
    if (typeof value !== 'number' || !Number.isInteger(value)) {
      return at.error(value, `must be a whole number, not ${typeName(value)}`);
    }
    if (value < min || value > max) return at.error(value, `must be from ${min} to ${max}`);
    return value;
  };
}

export const bool: Decoder<boolean> = (value, at) =>
  typeof value === 'boolean'
    ? value
    : at.error(value, `must be true or false, not ${typeName(value)}`);

/** One of some strings. */
export function oneOf<const T extends string>(...values: readonly T[]): Decoder<T> {
  return (value, at) => {
    const found = values.find((candidate) => candidate === value);
    return found ?? at.error(value, `must be one of ${values.join(', ')}`);
  };
}

/** Anything, as it is: for what a later step looks at. */
export const anything: Decoder<unknown> = (value) => value;

// ---------------------------------------------------------------- containers

/** Lists are bounded even where the API states no bound: every buffer has one. */
const maxItems = 65_536;

export interface SizeOptions {
  readonly min?: number;
  readonly max?: number;
}

export function list<T>(decoder: Decoder<T>, options: SizeOptions = {}): Decoder<readonly T[]> {
  const { min = 0, max = maxItems } = options;
  return (value, at) => {
    if (!Array.isArray(value)) return at.error(value, `must be a list, not ${typeName(value)}`);
    if (value.length < min) return at.error(value, `must have at least ${min} items`);
    if (value.length > max) return at.error(value, `must have at most ${max} items`);
    const items: T[] = [];
    let failed = false;
    for (const [index, item] of value.entries()) {
      const decoded = decoder(item, at.item(index));
      if (decoded === invalid) failed = true;
      else items.push(decoded);
    }
    return failed ? invalid : items;
  };
}

/** An object with keys of the user's choice. */
export function map<T>(
  decoder: Decoder<T>,
  options: SizeOptions & { readonly key?: Decoder<string> } = {},
): Decoder<Readonly<Record<string, T>>> {
  const { min = 0, max = maxItems, key: keyDecoder } = options;
  return (value, at) => {
    if (!isObject(value)) return at.error(value, `must be an object, not ${typeName(value)}`);
    const entries = Object.entries(value);
    if (entries.length < min) return at.error(value, `must have at least ${min} entries`);
    if (entries.length > max) return at.error(value, `must have at most ${max} entries`);
    const decoded: [string, T][] = [];
    let failed = false;
    for (const [key, entry] of entries) {
      const inner = at.field(key);
      if (keyDecoder !== undefined && keyDecoder(key, inner) === invalid) failed = true;
      const item = decoder(entry, inner);
      if (item === invalid) failed = true;
      else decoded.push([key, item]);
    }
    return failed ? invalid : Object.fromEntries(decoded);
  };
}

export type FieldsOf<F> = {
  readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never;
};

/**
 * An object with known fields; `dropped` are known fields that nothing reads. `*`: whatever else
 * there is, for large objects that others check (Pods), and of which little is read.
 */
export function object<F extends Readonly<Record<string, Field<unknown>>>>(
  fields: F,
  dropped: readonly string[] | '*' = [],
): Decoder<FieldsOf<F>> {
  const specs = Object.entries(fields);
  const known = new Set([...Object.keys(fields), ...(dropped === '*' ? [] : dropped)]);
  return (value, at) => {
    if (!isObject(value)) return at.error(value, `must be an object, not ${typeName(value)}`);
    for (const name of dropped === '*' ? [] : Object.keys(value)) {
      if (!known.has(name)) at.field(name).unknown(value[name], unknownReason(name, known));
    }
    const decoded: [string, unknown][] = [];
    let failed = false;
    for (const [name, spec] of specs) {
      const given = Object.hasOwn(value, name) ? value[name] : undefined;
      const inner = at.field(name);
      const field =
        given === undefined || given === null ? spec.absent(inner) : spec.decode(given, inner);
      if (field === invalid) failed = true;
      else decoded.push([name, field]);
    }
    return failed ? invalid : fieldsFromEntries<F>(decoded);
  };
}

/**
 * The type of a record is what its field decoders returned; TypeScript cannot see it through
 * entries.
 */
function fieldsFromEntries<F>(entries: readonly (readonly [string, unknown])[]): FieldsOf<F> {
  const record: unknown = Object.fromEntries(entries);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the codec's one cast
  return record as FieldsOf<F>;
}

function unknownReason(name: string, known: ReadonlySet<string>): string {
  const folded = name.toLowerCase().replaceAll(/[-_]/gu, '');
  const spelled = [...known].find((candidate) => {
    const other = candidate.toLowerCase();
    return other === folded || other === `${folded}s` || `${other}s` === folded;
  });
  const meant = spelled ?? nearest(name, known);
  return meant === undefined ? 'unknown field' : `unknown field; did you mean ${meant}?`;
}

// ---------------------------------------------------------------- composition

/** Goes on with a decoded value: checks it, or makes another of it. */
export function refine<T, U>(
  decoder: Decoder<T>,
  next: (value: T, at: At) => U | Invalid,
): Decoder<U> {
  return (value, at) => {
    const decoded = decoder(value, at);
    return decoded === invalid ? invalid : next(decoded, at);
  };
}

/** A whole number, or a string (Kubernetes' IntOrString). */
export const intOrText: Decoder<number | string> = (value, at) => {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' && Number.isInteger(value)) return value;
  return at.error(value, `must be a whole number or a string, not ${typeName(value)}`);
};

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function typeName(value: unknown): string {
  if (value === null || value === undefined) return 'empty';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'an object';
  if (typeof value === 'number') return Number.isFinite(value) ? 'a number' : 'not a number';
  return `a ${typeof value}`;
}

/** Whether an API server has accepted the object: it gave it a uid. */
export function isServed(raw: { readonly metadata: Readonly<Record<string, unknown>> }): boolean {
  return typeof raw.metadata['uid'] === 'string';
}
