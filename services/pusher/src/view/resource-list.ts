import { digestOf } from '@watershed/blob/digest.ts';
import type { Digest } from '@watershed/blob/port.ts';
import { ManifestType } from '@watershed/model/gen/record.ts';
import { xdsKeys } from '@watershed/model/keys.ts';
import { FieldReader } from '../wire.ts';
import type { Records } from './records.ts';
import { SharedEntry } from './shared-entry.ts';
import { lostAll, type Entry, type TypeView } from './type-view.ts';

/**
 * What manifests say of one type: which resources. Scopes whose manifests say the same share it, so
 * a resource that changes is put into one view, however many scopes list it.
 */
export class ResourceList {
  readonly typeUrl: string;
  /** Of the encoded ManifestType: equal lists are one. */
  readonly digest: Digest;
  /** All of the type, what comes later too: nothing is listed. */
  readonly whole: boolean;
  /** All that is listed and known, perhaps without bytes yet. */
  wanted: TypeView;
  /** Listed under these keys, and not on the log yet; by key, their names. */
  readonly absent: Map<string, string>;
  /** Known, without bytes yet. */
  readonly unloaded = new Set<SharedEntry>();
  /** Ids of the scopes that have it. */
  readonly scopes = new Set<string>();

  constructor(
    { typeUrl, digest }: EncodedList,
    wanted: TypeView,
    absent: ReadonlyMap<string, string> | 'whole',
  ) {
    this.typeUrl = typeUrl;
    this.digest = digest;
    this.wanted = wanted;
    this.whole = absent === 'whole';
    this.absent = new Map(absent === 'whole' ? [] : absent);
  }

  get complete(): boolean {
    return this.absent.size === 0 && this.unloaded.size === 0;
  }

  /** Takes those of the changed resources that it lists; gives what it took. */
  apply(changed: readonly SharedEntry[]): readonly SharedEntry[] {
    const taken = changed.filter((entry) => {
      const listed = this.wanted.lookup(entry);
      if (this.whole) {
        if (listed instanceof SharedEntry) this.unloaded.delete(listed);
        return true;
      }
      if (listed instanceof SharedEntry && listed.key === entry.key) {
        this.unloaded.delete(listed);
        // What stood in for a record that the log had lost is of the same key.
        this.absent.delete(entry.key);
        return true;
      }
      return this.absent.delete(entry.key);
    });
    if (taken.length > 0) this.wanted = this.wanted.with(taken);
    return taken;
  }

  /**
   * Drops those of the resources that are gone from the log; says whether it had any. What is
   * listed stays: there, the manifest decides.
   */
  drop(gone: readonly SharedEntry[]): boolean {
    if (!this.whole) return false;
    const before = this.wanted;
    for (const entry of gone) {
      const listed = before.lookup(entry);
      if (listed instanceof SharedEntry) this.unloaded.delete(listed);
    }
    this.wanted = before.with(
      [],
      gone.map((entry) => entry.name),
    );
    return this.wanted !== before;
  }

  /**
   * What can be served while not everything is there: the old where the new is missing, nothing
   * removed. `isBrief`: nor is an assignment emptied, as routes that leave it are about to be
   * there.
   */
  partial(old: TypeView | undefined, isBrief = false): TypeView {
    const set: Entry[] = [];
    if (isBrief) {
      old?.diff(this.wanted, (_name, before, after) => {
        if (before !== undefined && lostAll(before, after)) set.push(before);
      });
    }
    return sameAs(old, this.#here(old).with(set).union(old));
  }

  /** What is listed and here: the old where the new is missing, and nothing else. */
  listed(old: TypeView | undefined): TypeView {
    return sameAs(old, this.#here(old));
  }

  #here(old: TypeView | undefined): TypeView {
    const set: Entry[] = [];
    const gone: string[] = [];
    for (const entry of this.unloaded) {
      const before = old?.lookup(entry);
      if (before === undefined) gone.push(entry.name);
      else set.push(before);
    }
    return this.wanted.with(set, gone);
  }
}

/** `old` where nothing differs: it is what streams are at. */
function sameAs(old: TypeView | undefined, now: TypeView): TypeView {
  if (old === undefined || old === now) return now;
  let differs = false;
  old.diff(now, () => {
    differs = true;
  });
  return differs ? now : old;
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

/** Reads a list. `previous`: what the scope had of the type; what is still in it is shared. */
export function readList(encoded: EncodedList, previous: TypeView, records: Records): ResourceList {
  const { shared, own, whole } = ManifestType.decode(encoded.bytes);
  if (whole) return wholeList(encoded, previous, records);
  const set: Entry[] = [];
  const listed = new Set<string>();
  const absent = new Map<string, string>();
  for (const record of own) {
    const entry = SharedEntry.of(record, '');
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
    const entry = records.find(key);
    if (entry === undefined) absent.set(key, name);
    else if (previous.lookup(entry) !== entry) set.push(entry);
  }
  const gone: string[] = [];
  previous.each((entry) => {
    // What is not on the log yet keeps what it was; a list that waits for nothing has nothing else.
    if (!listed.has(entry.name)) gone.push(entry.name);
  });
  const wanted = previous.with(set, gone);
  return new ResourceList(encoded, wanted, absent);
}

function wholeList(encoded: EncodedList, previous: TypeView, records: Records): ResourceList {
  const all = new Map<string, SharedEntry>();
  for (const entry of records.ofType(encoded.typeUrl)) all.set(entry.name, entry);
  const gone: string[] = [];
  previous.each((entry) => {
    if (!all.has(entry.name)) gone.push(entry.name);
  });
  return new ResourceList(encoded, previous.with(all.values(), gone), 'whole');
}
