/**
 * The canonical digest of an argument: equal exactly for structurally equal values, on any machine.
 *
 * What counts as equal: keys in any order; a field that is `undefined` is an absent one; bytes by
 * content. What differs: types (1, "1", 1n, true), 0 and -0 (they encode differently), `null` and
 * absent, an empty list and an absent one. NaN equals itself.
 *
 * An object that holds only primitives is written into its parent; any other is digested by itself
 * and remembered, so that an input that a thousand arguments share is walked once.
 */
import { digestOf } from '@watershed/blob/digest.ts';
import type { Digest } from '@watershed/blob/port.ts';

export interface CanonicalOptions {
  /**
   * For tests that must notice a forgotten field: return true and the field is left out of the
   * digest. `path` is that of the field in the argument, with `[]` for every element of a list:
   * `clusters[].tls.sni`.
   */
  readonly omit?: (generator: string, path: string) => boolean;
}

/** An argument deeper than this is a programmer's mistake (a circle, most likely). */
const maxDepth = 64;

export class Canonical {
  readonly #omit: CanonicalOptions['omit'];
  /** Objects that were walked, and so are frozen with all that they hold. */
  readonly #known = new WeakMap<object, Digest>();

  constructor(options: CanonicalOptions = {}) {
    this.#omit = options.omit;
  }

  /**
   * Freezes the argument and all that it holds, so that nobody can change it after its digest was
   * taken. Throws a TypeError on what has no canonical form: a function, a symbol, a Map, a Set, a
   * Date, an instance of a class, a circle.
   */
  digest(argument: object, generator: string): Digest {
    if (this.#omit === undefined) return this.#digestOf(argument, '', 0, undefined);
    return this.#digestOf(argument, '', 0, generator);
  }

  /** With a generator's name, fields may be left out, and nothing is remembered. */
  #digestOf(value: object, path: string, depth: number, generator: string | undefined): Digest {
    const known = generator === undefined ? this.#known.get(value) : undefined;
    if (known !== undefined) return known;
    const digest = digestOf(this.#compound(value, path, depth, generator));
    if (generator === undefined) this.#known.set(value, digest);
    return digest;
  }

  #compound(value: object, path: string, depth: number, generator: string | undefined): string {
    if (depth > maxDepth) throw new TypeError(`${path}: deeper than ${maxDepth}`);
    Object.freeze(value);
    if (Array.isArray(value)) {
      let text = `a${value.length}`;
      for (const element of value) {
        text += this.#text(element, `${path}[]`, depth + 1, generator);
      }
      return text;
    }
    let text = 'o';
    for (const [key, field] of sortedFields(value, path)) {
      const at = path === '' ? key : `${path}.${key}`;
      if (generator !== undefined && this.#omit?.(generator, at) === true) continue;
      text += textOfString(key) + this.#text(field, at, depth + 1, generator);
    }
    return `${text};`;
  }

  #text(value: unknown, path: string, depth: number, generator: string | undefined): string {
    if (typeof value !== 'object' || value === null) return textOfPrimitive(value, path);
    if (value instanceof Uint8Array) return `b${digestOf(value)}`;
    if (isFlat(value)) return this.#compound(value, path, depth, generator);
    return `h${this.#digestOf(value, path, depth, generator)}`;
  }
}

/** Decided by the structure alone, so that equal values are written alike. */
function isFlat(value: object): boolean {
  for (const field of Object.values(value)) {
    if (typeof field === 'object' && field !== null) return false;
  }
  return true;
}

function sortedFields(value: object, path: string): readonly [string, unknown][] {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    const name = value.constructor.name;
    throw new TypeError(`${path}: a ${name} has no canonical form`);
  }
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return fields.sort(([a], [b]) => (a < b ? -1 : 1));
}

function textOfPrimitive(value: unknown, path: string): string {
  switch (typeof value) {
    case 'string':
      return textOfString(value);
    case 'number':
      return Object.is(value, -0) ? 'd-0;' : `d${value};`;
    case 'boolean':
      return value ? 't' : 'f';
    case 'bigint':
      return `i${value};`;
    case 'undefined':
      return 'u';
    case 'object':
      return 'n';
    default:
      throw new TypeError(`${path}: a ${typeof value} has no canonical form`);
  }
}

/** Half a surrogate pair has no bytes of its own in UTF-8: such a string is escaped. */
function textOfString(value: string): string {
  if (value.isWellFormed()) return `s${value.length}:${value}`;
  return `w${JSON.stringify(value)}`;
}
