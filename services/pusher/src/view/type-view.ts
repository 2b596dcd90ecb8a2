import { isCollection } from '../resource-name.ts';
import { addNames, dropNames, eachOf, type OtherNames } from './other-names.ts';
import {
  hashName,
  trieDelete,
  trieDiff,
  trieDigest,
  trieEach,
  trieGet,
  trieSet,
  trieSetAll,
  trieSize,
  type DiffVisitor,
  type Leaf,
  type Trie,
} from './trie.ts';

/** One resource at one version. The same object in every view that lists it. */
export interface Entry extends Leaf {
  readonly typeUrl: string;
  /**
   * The parts whose concatenation is the resource's message. `undefined`: known by name and version
   * only, as what a client says it holds; a view that is served never sends such an entry.
   */
  readonly fragments: readonly Uint8Array[] | undefined;
  /** Bytes of the message. */
  readonly size: number;
  /** Names of resources that it needs. */
  readonly refs: readonly string[];
  /** Other names that find it (rule 44). Absent: none. */
  readonly aliases?: readonly string[];
  /** Names of resources of its type that it comes with, to whom asks for those. Absent: none. */
  readonly groups?: readonly string[];
  /** Of an assignment: it has no endpoints, which is known of what is served. */
  readonly isEmpty?: boolean;
  /** Of an assignment: the versions of the clusters that it goes with. */
  readonly referrers?: string;
  /** Under a name that says where it is (see `Located`): the wildcard is not about it. */
  readonly located?: true;
  /** Of an assignment: for `Assignments` alone, which keeps there what it has made of it. */
  derived?: DerivedEntry | undefined;
}

/** An assignment under the version that goes with certain clusters. */
export interface DerivedEntry extends Entry {
  /** See `TypeView.referrersOf`. */
  readonly referrers: string;
  /** The one of the same assignment that was made before. */
  readonly next: DerivedEntry | undefined;
  /** How many there are with it. */
  readonly count: number;
}

/** Which clusters need a resource of this name; the version is made of theirs. */
interface Referrers extends Leaf {
  readonly clusters: readonly Leaf[];
}

/** What a view knows of its entries beside their names. */
interface Tables {
  readonly referrers: Trie<Referrers>;
  /** Entries by alias. */
  readonly aliases: OtherNames<Entry>;
  /** Entries by the names of what they come with. */
  readonly members: OtherNames<Entry>;
}

const noTables: Tables = { referrers: undefined, aliases: undefined, members: undefined };

/**
 * All resources of one type in one version of a scope: immutable, and sharing structure with the
 * versions before and after it. What two views hold in common costs nothing, neither memory nor
 * comparing.
 */
export class TypeView {
  readonly typeUrl: string;
  readonly entries: Trie<Entry>;
  readonly #tracksRefs: boolean;
  readonly #tables: Tables;
  #digest: string | undefined;
  #unions: WeakMap<TypeView, TypeView> | undefined;
  #replaced: WeakMap<Replacements, TypeView> | undefined;

  private constructor(typeUrl: string, tracksRefs: boolean, entries: Trie<Entry>, tables: Tables) {
    this.typeUrl = typeUrl;
    this.#tracksRefs = tracksRefs;
    this.entries = entries;
    this.#tables = tables;
  }

  /** `tracksRefs`: whether the versions of other resources depend on who refers to them (clusters). */
  static empty(typeUrl: string, tracksRefs: boolean): TypeView {
    return new TypeView(typeUrl, tracksRefs, undefined, noTables);
  }

  get size(): number {
    return trieSize(this.entries);
  }

  /** The digest of all names and versions: `version_info` of a state-of-the-world response. */
  get digest(): string {
    this.#digest ??= trieDigest(this.entries);
    return this.#digest;
  }

  /** Entries are found by their own names alone, and come with no others. */
  get isPlain(): boolean {
    return this.#tables.aliases === undefined && this.#tables.members === undefined;
  }

  get(name: string): Entry | undefined {
    return trieGet(this.entries, name, hashName(name));
  }

  /** As `get`, where the name's hash is known. */
  lookup(leaf: { readonly name: string; readonly hash: number }): Entry | undefined {
    return trieGet(this.entries, leaf.name, leaf.hash);
  }

  each(visit: (entry: Entry) => void): void {
    trieEach(this.entries, visit);
  }

  /** Called for each name that differs from this view to `after`; costs what differs. */
  diff(after: TypeView, visit: DiffVisitor<Entry>): void {
    trieDiff(this.entries, after.entries, visit);
  }

  /**
   * Visits what a name stands for: the resource of that name, else those that have it as an alias;
   * each with all that comes with it.
   */
  eachNamed(
    leaf: { readonly name: string; readonly hash: number },
    visit: (entry: Entry) => void,
  ): void {
    const own = this.lookup(leaf);
    const take = (entry: Entry): void => {
      visit(entry);
      this.eachMember(entry, visit);
    };
    if (own !== undefined) take(own);
    else if (isCollection(leaf.name) || leaf.name.endsWith('/_all')) this.eachMember(leaf, visit);
    else eachOf(this.#tables.aliases, leaf, take);
  }

  /** Whether the name stands for anything. */
  knows(leaf: { readonly name: string; readonly hash: number }): boolean {
    let found = false;
    this.eachNamed(leaf, () => {
      found = true;
    });
    return found;
  }

  /** Whether there is something to send to whom asks for the name. */
  serves(leaf: { readonly name: string; readonly hash: number }): boolean {
    let found = false;
    this.eachNamed(leaf, ({ fragments }) => {
      found ||= fragments !== undefined;
    });
    return found;
  }

  /** Visits what comes with a resource. */
  eachMember(
    leaf: { readonly name: string; readonly hash: number },
    visit: (entry: Entry) => void,
  ): void {
    eachOf(this.#tables.members, leaf, visit);
  }

  /** The view with some entries set and some names gone; itself if nothing differs. */
  with(set: Iterable<Entry>, gone: Iterable<string> = []): TypeView {
    const added = [...set];
    let tables = this.#tables;
    let entries = this.entries;
    if (this.#tracksRefs || !this.isPlain || !added.every(isPlain)) {
      for (const entry of added) {
        tables = this.#note(tables, trieGet(entries, entry.name, entry.hash), entry);
        entries = trieSet(entries, entry);
      }
    } else entries = trieSetAll(entries, added);
    for (const name of gone) {
      const nameHash = hashName(name);
      tables = this.#note(tables, trieGet(entries, name, nameHash), undefined);
      entries = trieDelete(entries, name, nameHash);
    }
    if (entries === this.entries) return this;
    return new TypeView(this.typeUrl, this.#tracksRefs, entries, tables);
  }

  #note(tables: Tables, before: Entry | undefined, after: Entry | undefined): Tables {
    if (before === after) return tables;
    let { referrers, aliases, members } = tables;
    if (before !== undefined) {
      if (this.#tracksRefs) referrers = unrefer(referrers, before);
      aliases = dropNames(aliases, before, before.aliases);
      members = dropNames(members, before, before.groups);
    }
    if (after !== undefined) {
      if (this.#tracksRefs) referrers = refer(referrers, after);
      aliases = addNames(aliases, after, after.aliases);
      members = addNames(members, after, after.groups);
    }
    const same =
      referrers === tables.referrers && aliases === tables.aliases && members === tables.members;
    return same ? tables : { referrers, aliases, members };
  }

  /**
   * This view and what only `old` has, endpoints too: the first half of make-before-break.
   * `isSaid`: of what `old` has no bytes may be there.
   */
  union(old: TypeView | undefined, isSaid = false): TypeView {
    if (old === undefined || old === this) return this;
    this.#unions ??= new WeakMap();
    const known = this.#unions.get(old);
    if (known !== undefined) return known;
    const kept: Entry[] = [];
    let differs = false;
    trieDiff(old.entries, this.entries, (_name, before, after) => {
      const goes = after === undefined || isEmptied(before, after);
      if (before !== undefined && goes) kept.push(before);
      else differs = true;
    });
    // The union of a union is the same one, or a stream would never be where it is to go: so it is
    // `old` itself where that has all of this, bytes too, and else it is known as its own.
    const union = !differs && kept.length > 0 && !isSaid ? old : this.with(kept);
    this.#unions.set(old, union).set(union, union);
    return union;
  }

  /** This view, with each refused version replaced by what the client holds instead. */
  replacing(replacements: Replacements | undefined): TypeView {
    if (replacements === undefined) return this;
    this.#replaced ??= new WeakMap();
    const known = this.#replaced.get(replacements);
    if (known !== undefined) return known;
    const set: Entry[] = [];
    const gone: string[] = [];
    for (const { name, refused, held } of replacements.all) {
      if (this.get(name)?.version !== refused) continue;
      if (held === undefined) gone.push(name);
      else set.push(held);
    }
    const replaced = this.with(set, gone);
    this.#replaced.set(replacements, replaced);
    return replaced;
  }

  /** The versions of the clusters that need the resource `name`; empty if none does. */
  referrersOf(leaf: { readonly name: string; readonly hash: number }): string {
    return trieGet(this.#tables.referrers, leaf.name, leaf.hash)?.version ?? '';
  }

  /** Names whose referrers differ between two views. */
  static diffReferrers(before: TypeView, after: TypeView, visit: DiffVisitor<Leaf>): void {
    trieDiff(before.#tables.referrers, after.#tables.referrers, visit);
  }
}

/** Whether an assignment has lost all its endpoints: what leads there has to leave first. */
export function lostAll(before: Entry | undefined, after: Entry | undefined): boolean {
  return before !== undefined && before.isEmpty !== true && after?.isEmpty === true;
}

/**
 * The same as clients see it: where its clusters have changed as well, they wait for it as it is.
 */
export function isEmptied(before: Entry | undefined, after: Entry | undefined): boolean {
  if (!lostAll(before, after) || after?.referrers === undefined) return false;
  return after.referrers === before?.referrers;
}

/** Found by its name alone, and comes with no others. */
function isPlain({ aliases, groups }: Entry): boolean {
  return (aliases?.length ?? 0) === 0 && (groups?.length ?? 0) === 0;
}

export interface Replacement {
  readonly name: string;
  readonly refused: string;
  /** `undefined`: the client does not have the resource. */
  readonly held: Entry | undefined;
}

/** Compared by identity: equal ones are one object (see `Quarantines`). */
export interface Replacements {
  readonly all: readonly Replacement[];
}

function refer(referrers: Trie<Referrers>, cluster: Entry): Trie<Referrers> {
  let next = referrers;
  for (const name of cluster.refs) {
    const nameHash = hashName(name);
    const others = trieGet(next, name, nameHash)?.clusters ?? [];
    next = trieSet(next, referrersLeaf(name, nameHash, [...others, cluster]));
  }
  return next;
}

function unrefer(referrers: Trie<Referrers>, cluster: Entry | undefined): Trie<Referrers> {
  let next = referrers;
  for (const name of cluster?.refs ?? []) {
    const nameHash = hashName(name);
    const others = trieGet(next, name, nameHash)?.clusters ?? [];
    const rest = others.filter((other) => other.name !== cluster?.name);
    next =
      rest.length === 0
        ? trieDelete(next, name, nameHash)
        : trieSet(next, referrersLeaf(name, nameHash, rest));
  }
  return next;
}

function referrersLeaf(name: string, nameHash: number, clusters: readonly Leaf[]): Referrers {
  const sorted = clusters.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const version = sorted.map((cluster) => cluster.version).join(',');
  return { name, hash: nameHash, version, clusters: sorted };
}
