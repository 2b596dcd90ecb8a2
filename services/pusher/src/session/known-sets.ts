import { binaryOf, textOf } from '../wire.ts';

/** Where texts stand in a message: start and end of each. */
export type Spans = readonly number[];

export interface Members {
  /** Names. */
  readonly names: Spans;
  /** What goes with each name; empty: nothing does. */
  readonly values: Spans;
}

export interface KnownSetsOptions {
  /** Fewer names are cheaper to find by a key of all of them. Default 16. */
  readonly few?: number;
  /** Names in all sets together; those not used for longest go. Default 50,000. */
  readonly maxMembers?: number;
}

interface Known<T> {
  readonly kind: string;
  readonly made: T;
  /** By the bytes of a name, as a string of one character each. */
  readonly places: ReadonlyMap<string, number>;
  readonly values: readonly string[];
  /** In which check a place was last met: a name that is written twice is met twice. */
  readonly met: Uint32Array;
}

/**
 * Finds what was made of equal sets of names before, whatever their order: a thousand proxies that
 * subscribe to the same thousand resources each name them in an order of their own (Envoy's lists
 * come from hash tables), and must yet share all that is computed from them.
 */
export class KnownSets<T extends object> {
  readonly #few: number;
  readonly #maxMembers: number;
  readonly #small = new Map<string, WeakRef<T>>();
  #sweepAt = 1_024;
  /** The last used ones first. */
  #large: Known<T>[] = [];
  #members = 0;
  #check = 0;

  constructor(options: KnownSetsOptions = {}) {
    this.#few = options.few ?? 16;
    this.#maxMembers = options.maxMembers ?? 50_000;
  }

  /** `kind`: sets of different kinds are different. `make`: called for a set that is not known. */
  get(kind: string, bytes: Uint8Array, members: Members, make: () => T): T {
    const count = members.names.length / 2;
    if (count < this.#few) return this.#getSmall(kind, bytes, members, make);
    const text = binaryOf(bytes, 0, bytes.length);
    const at = this.#large.findIndex(
      (known) => known.kind === kind && this.#is(known, text, members),
    );
    const found = this.#large[at];
    if (found === undefined) return this.#add(kind, bytes, members, make());
    if (at > 0) this.#large = [found, ...this.#large.toSpliced(at, 1)];
    return found.made;
  }

  #is(known: Known<T>, text: string, { names, values }: Members): boolean {
    const { places, met } = known;
    if (places.size !== names.length / 2) return false;
    const check = (this.#check = (this.#check + 1) >>> 0);
    for (let at = 0; at < names.length; at += 2) {
      const place = places.get(text.slice(names[at], names[at + 1]));
      if (place === undefined || met[place] === check) return false;
      met[place] = check;
      if (values.length === 0) continue;
      if (known.values[place] !== text.slice(values[at], values[at + 1])) return false;
    }
    return true;
  }

  #add(kind: string, bytes: Uint8Array, { names, values }: Members, made: T): T {
    const places = new Map<string, number>();
    const texts: string[] = [];
    for (let at = 0; at < names.length; at += 2) {
      places.set(binaryOf(bytes, names[at] ?? 0, names[at + 1] ?? 0), at / 2);
      if (values.length > 0) texts.push(binaryOf(bytes, values[at] ?? 0, values[at + 1] ?? 0));
    }
    const { size } = places;
    // One with a name twice would never be found again.
    if (size < names.length / 2 || size > this.#maxMembers) return made;
    this.#large.unshift({ kind, made, places, values: texts, met: new Uint32Array(size) });
    this.#members += size;
    while (this.#members > this.#maxMembers) this.#members -= this.#large.pop()?.places.size ?? 0;
    return made;
  }

  #getSmall(kind: string, bytes: Uint8Array, { names, values }: Members, make: () => T): T {
    const parts: string[] = [];
    for (let at = 0; at < names.length; at += 2) {
      const pair = [names, values].map((all) => textOf(bytes, all[at] ?? 0, all[at + 1] ?? 0));
      parts.push(JSON.stringify(pair));
    }
    const key = `${kind}\n${parts.sort().join('\n')}`;
    const known = this.#small.get(key)?.deref();
    if (known !== undefined) return known;
    if (this.#small.size >= this.#sweepAt) this.#sweep();
    const made = make();
    this.#small.set(key, new WeakRef(made));
    return made;
  }

  #sweep(): void {
    for (const [key, ref] of this.#small) if (ref.deref() === undefined) this.#small.delete(key);
    this.#sweepAt = Math.max(1_024, 2 * this.#small.size);
  }
}
