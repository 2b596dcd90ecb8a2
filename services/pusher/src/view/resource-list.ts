import { digestOf } from '@watershed/blob/digest.ts';
import type { Digest } from '@watershed/blob/port.ts';
import { ManifestType } from '@watershed/model/gen/record.ts';
import { xdsKeys } from '@watershed/model/keys.ts';
import { FieldReader } from '../wire.ts';
import { SharedEntry } from './shared-entry.ts';
import type { Entry, TypeView } from './type-view.ts';

/**
 * What manifests say of one type: which resources. Scopes whose manifests say the same share it, so
 * a resource that changes is put into one view, however many scopes list it.
 */
export class ResourceList {
  readonly typeUrl: string;
  /** Of the encoded ManifestType: equal lists are one. */
  readonly digest: Digest;
  /** All that is listed and known, perhaps without bytes yet. */
  wanted: TypeView;
  /** Listed under these keys, and not on the log yet; by key, their names. */
  readonly absent: Map<string, string>;
  /** Known, without bytes yet. */
  readonly unloaded = new Set<SharedEntry>();
  /** Ids of the scopes that have it. */
  readonly scopes = new Set<string>();

  constructor(
    typeUrl: string,
    digest: Digest,
    wanted: TypeView,
    absent: ReadonlyMap<string, string>,
  ) {
    this.typeUrl = typeUrl;
    this.digest = digest;
    this.wanted = wanted;
    this.absent = new Map(absent);
  }

  get complete(): boolean {
    return this.absent.size === 0 && this.unloaded.size === 0;
  }

  /** Takes those of the changed resources that it lists; gives what it took. */
  apply(changed: readonly SharedEntry[]): readonly SharedEntry[] {
    const taken = changed.filter((entry) => {
      const listed = this.wanted.lookup(entry);
      if (listed instanceof SharedEntry && listed.key === entry.key) {
        this.unloaded.delete(listed);
        return true;
      }
      return this.absent.delete(entry.key);
    });
    if (taken.length > 0) this.wanted = this.wanted.with(taken);
    return taken;
  }

  /**
   * What can be served while not everything is there: the old where the new is missing, nothing
   * removed.
   */
  partial(old: TypeView | undefined): TypeView {
    const set: Entry[] = [];
    const gone: string[] = [];
    for (const entry of this.unloaded) {
      const before = old?.lookup(entry);
      if (before === undefined) gone.push(entry.name);
      else set.push(before);
    }
    return this.wanted.with(set, gone).union(old);
  }
}

/** One ManifestType within an encoded ManifestContent. */
export interface EncodedList {
  readonly typeUrl: string;
  readonly digest: Digest;
  readonly bytes: Uint8Array;
}

/** Splits a ManifestContent by type, without decoding the types. */
export function splitContent(content: Uint8Array): readonly EncodedList[] {
  const lists: EncodedList[] = [];
  const fields = new FieldReader(content);
  while (fields.next()) {
    if (fields.field !== 1 || fields.wireType !== 2) continue;
    const bytes = fields.content();
    const inner = new FieldReader(bytes);
    let typeUrl = '';
    while (inner.next()) {
      if (inner.field !== 1 || inner.wireType !== 2) continue;
      typeUrl = inner.text();
      break;
    }
    lists.push({ typeUrl, digest: digestOf(bytes), bytes });
  }
  return lists;
}

/**
 * Reads a list. `previous`: what the scope had of the type; what is still in it is shared. `find`:
 * the record of a key.
 */
export function readList(
  encoded: EncodedList,
  previous: TypeView,
  find: (key: string) => SharedEntry | undefined,
): ResourceList {
  const { shared, own } = ManifestType.decode(encoded.bytes);
  const set: Entry[] = [];
  const listed = new Set<string>();
  const absent = new Map<string, string>();
  for (const record of own) {
    const entry = SharedEntry.of(record, true);
    listed.add(entry.name);
    const before = previous.lookup(entry);
    // Equal content: the same object, with its bytes.
    const same =
      before instanceof SharedEntry &&
      before.version === entry.version &&
      before.digests.join() === entry.digests.join();
    if (!same) set.push(entry);
  }
  for (const { name, variant } of shared) {
    if (listed.has(name)) continue;
    listed.add(name);
    const key = xdsKeys.resource(encoded.typeUrl, name, variant);
    const entry = find(key);
    if (entry === undefined) absent.set(key, name);
    else if (previous.lookup(entry) !== entry) set.push(entry);
  }
  const gone: string[] = [];
  previous.each((entry) => {
    // What is not on the log yet keeps what it was; a list that waits for nothing has nothing else.
    if (!listed.has(entry.name)) gone.push(entry.name);
  });
  const wanted = previous.with(set, gone);
  return new ResourceList(encoded.typeUrl, encoded.digest, wanted, absent);
}
