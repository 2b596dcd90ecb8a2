import type { Digest } from '@watershed/blob/port.ts';
import type { SharedResource } from '@watershed/model/gen/record.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import { canonicalName } from '../resource-name.ts';
import { hexOf, versionText } from '../wire.ts';
import { Inlined, inlinedVersion, type Versioned } from './inlined.ts';
import { hashName } from './trie.ts';
import type { DerivedEntry, Entry } from './type-view.ts';

const none: readonly string[] = [];

/** What an entry is found by. */
interface Called {
  /** The record's key; two variants of one name differ in it. */
  readonly key: string;
  readonly typeUrl: string;
  readonly name: string;
  readonly hash: number;
}

interface Content {
  readonly size: number;
  readonly refs: readonly string[];
  readonly digests: readonly Digest[];
  readonly aliases?: readonly string[];
  readonly groups?: readonly string[];
}

/** All of an entry but the bytes that are in the blob store. */
export interface StoredEntry extends Omit<Called, 'hash'>, Content {
  readonly version: string;
  /** Its bytes, where the store may have none of them. */
  readonly inlined?: readonly Uint8Array[];
}

/**
 * A resource as its record tells it; its bytes are in the record if they are few, else they come
 * from the blob store when a scope in use lists it.
 */
export class SharedEntry implements Entry {
  readonly key: string;
  readonly typeUrl: string;
  readonly name: string;
  readonly hash: number;
  readonly version: string;
  /** An assignment of no endpoints: all that there is of it is its head. */
  readonly isEmpty: boolean;
  derived: DerivedEntry | undefined = undefined;
  /** A record: what is in it is read when somebody asks. */
  #content: Content | Uint8Array;
  #fragments: readonly Uint8Array[] | undefined;
  /** The bytes are in the record: the store may have none of them. */
  readonly #inlined: boolean;

  private constructor(
    { key, typeUrl, name, hash }: Called,
    { version, parts }: Versioned,
    content: Content | Uint8Array,
    inlined?: readonly Uint8Array[],
  ) {
    this.key = key;
    this.typeUrl = typeUrl;
    this.name = name;
    this.hash = hash;
    this.version = version;
    this.isEmpty = typeUrl === resourceTypes.endpoint && parts === 1;
    this.#content = content;
    this.#fragments = inlined;
    this.#inlined = inlined !== undefined || content instanceof Uint8Array;
  }

  /** `key`: empty for what is of one scope alone, and so not under a key of its own. */
  static of(record: SharedResource, key: string): SharedEntry {
    const { typeUrl, size, refs, aliases, groups, inlined } = record;
    const name = canonicalName(record.name);
    const digests = record.fragments.map(hexOf);
    const isInlined = digests.length > 0 && inlined.length === digests.length;
    return new SharedEntry(
      { key, typeUrl, name, hash: hashName(name) },
      // What an assignment's clusters add to its version is added per view (see `Assignments`).
      { version: versionText(record.version), parts: digests.length },
      { size, refs, digests, aliases, groups },
      isInlined ? inlined : undefined,
    );
  }

  /**
   * What comes after it under its key, by the encoded record. `undefined`: that is no other version
   * of the same and nothing more, and is to be decoded.
   */
  next(record: Uint8Array): SharedEntry | undefined {
    const versioned = inlinedVersion(record);
    return versioned === undefined ? undefined : new SharedEntry(this, versioned, record);
  }

  /** From what `stored` gave. */
  static restore(stored: StoredEntry): SharedEntry {
    const { key, typeUrl, name, version, digests } = stored;
    const called = { key, typeUrl, name, hash: hashName(name) };
    return new SharedEntry(called, { version, parts: digests.length }, stored, stored.inlined);
  }

  get stored(): StoredEntry {
    const { key, typeUrl, name, version, size, refs, digests, aliases, groups, fragments } = this;
    const all = { key, typeUrl, name, version, size, refs, digests, aliases, groups };
    return this.#inlined && fragments !== undefined ? { ...all, inlined: fragments } : all;
  }

  /** What is inlined stays: the log's reader holds it anyway, and nobody else may. */
  withoutBytes(): SharedEntry {
    if (this.#inlined) return this;
    const content = this.#read();
    const versioned = { version: this.version, parts: content.digests.length };
    return new SharedEntry(this, versioned, content);
  }

  get size(): number {
    return this.#read().size;
  }

  get digests(): readonly Digest[] {
    return this.#read().digests;
  }

  get refs(): readonly string[] {
    return this.#content instanceof Uint8Array ? none : this.#content.refs;
  }

  get aliases(): readonly string[] {
    return this.#content instanceof Uint8Array ? none : (this.#content.aliases ?? none);
  }

  get groups(): readonly string[] {
    return this.#content instanceof Uint8Array ? none : (this.#content.groups ?? none);
  }

  get fragments(): readonly Uint8Array[] | undefined {
    if (this.#inlined) this.#read();
    return this.#fragments;
  }

  get loaded(): boolean {
    return this.#inlined || this.#fragments !== undefined;
  }

  /** Once; the bytes of `digests`, in order. */
  load(fragments: readonly Uint8Array[]): void {
    if (!this.#inlined) this.#fragments ??= fragments;
  }

  #read(): Content {
    if (!(this.#content instanceof Uint8Array)) return this.#content;
    const content = new Inlined(this.#content);
    this.#fragments = content.fragments;
    this.#content = content;
    return content;
  }
}
