import type { Digest } from '@watershed/blob/port.ts';
import type { SharedResource } from '@watershed/model/gen/record.ts';
import { canonicalName } from '../resource-name.ts';
import { hexOf } from '../wire.ts';
import { hashName } from './trie.ts';
import type { DerivedEntry, Entry } from './type-view.ts';

const none: readonly string[] = [];

/** All of an entry but its bytes. */
export interface StoredEntry {
  readonly key: string;
  readonly typeUrl: string;
  readonly name: string;
  readonly version: string;
  readonly size: number;
  readonly refs: readonly string[];
  readonly digests: readonly Digest[];
  readonly aliases?: readonly string[];
  readonly groups?: readonly string[];
}

/**
 * A resource as its record tells it; its bytes are in the record if they are few, else they come
 * from the blob store when a scope in use lists it.
 */
export class SharedEntry implements Entry {
  /** The record's key; two variants of one name differ in it. */
  readonly key: string;
  readonly typeUrl: string;
  readonly name: string;
  readonly hash: number;
  readonly version: string;
  readonly size: number;
  readonly refs: readonly string[];
  readonly digests: readonly Digest[];
  readonly aliases: readonly string[];
  readonly groups: readonly string[];
  derived: DerivedEntry | undefined = undefined;
  #fragments: readonly Uint8Array[] | undefined;
  /** The bytes are in the record: the store may have none of them. */
  #inlined = false;

  private constructor(of: StoredEntry) {
    this.key = of.key;
    this.typeUrl = of.typeUrl;
    this.name = canonicalName(of.name);
    this.hash = hashName(this.name);
    this.version = of.version;
    this.size = of.size;
    this.refs = of.refs;
    this.digests = of.digests;
    this.aliases = of.aliases ?? none;
    this.groups = of.groups ?? none;
  }

  /** `key`: empty for what is of one scope alone, and so not under a key of its own. */
  static of(record: SharedResource, key: string): SharedEntry {
    const { typeUrl, name, size, refs } = record;
    const digests = record.fragments.map(hexOf);
    const entry = new SharedEntry({
      key,
      typeUrl,
      name,
      // What an assignment's clusters add to its version is added per view (see `Assignments`).
      version: hexOf(record.version),
      size,
      refs,
      digests,
      aliases: record.aliases,
      groups: record.groups,
    });
    if (digests.length > 0 && record.inlined.length === digests.length) {
      entry.load(record.inlined);
      entry.#inlined = true;
    }
    return entry;
  }

  /** From what `stored` gave. */
  static restore(stored: StoredEntry): SharedEntry {
    return new SharedEntry(stored);
  }

  get stored(): StoredEntry {
    const { key, typeUrl, name, version, size, refs, digests, aliases, groups } = this;
    return { key, typeUrl, name, version, size, refs, digests, aliases, groups };
  }

  /** What is inlined stays: the log's reader holds it anyway, and nobody else may. */
  withoutBytes(): SharedEntry {
    return this.#inlined ? this : new SharedEntry(this);
  }

  get fragments(): readonly Uint8Array[] | undefined {
    return this.#fragments;
  }

  get loaded(): boolean {
    return this.#fragments !== undefined;
  }

  /** Once; the bytes of `digests`, in order. */
  load(fragments: readonly Uint8Array[]): void {
    this.#fragments ??= fragments;
  }
}
