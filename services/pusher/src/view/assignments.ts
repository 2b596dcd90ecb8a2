/**
 * Versions of ClusterLoadAssignments as clients see them: the digest of the assignment and of the
 * clusters that name it _in the same view_. Envoy warms a changed Cluster only with a new EDS
 * response (rule 27), and here that response is due by version: whatever the order in which records
 * arrived, and over a reconnect.
 */
import { hash } from 'node:crypto';
import { resourceTypes } from '@watershed/proto/any.ts';
import { nameField } from '../wire.ts';
import { hashName } from './trie.ts';
import { TypeView, type DerivedEntry, type Entry } from './type-view.ts';

class Assignment implements DerivedEntry {
  readonly referrers: string;
  readonly next: DerivedEntry | undefined;
  readonly count: number;
  readonly #raw: Entry;
  #version: string | undefined;

  constructor(raw: Entry, referrers: string, next: DerivedEntry | undefined) {
    this.#raw = raw;
    this.referrers = referrers;
    this.next = next;
    this.count = (next?.count ?? 0) + 1;
  }

  /** Made when somebody asks: of most that changes in a flood, nobody here does. */
  get version(): string {
    const { version } = this.#raw;
    this.#version ??= hash('sha256', `${version}|${this.referrers}`, 'hex').slice(0, 32);
    return this.#version;
  }
  get name(): string {
    return this.#raw.name;
  }
  get hash(): number {
    return this.#raw.hash;
  }
  get typeUrl(): string {
    return this.#raw.typeUrl;
  }
  get fragments(): readonly Uint8Array[] | undefined {
    return this.#raw.fragments;
  }
  get size(): number {
    return this.#raw.size;
  }
  get isEmpty(): boolean {
    return this.#raw.isEmpty === true;
  }
  get refs(): readonly string[] {
    return this.#raw.refs;
  }
}

interface Derived {
  readonly raw: TypeView;
  readonly clusters: TypeView;
  readonly view: TypeView;
}

/** What was derived of an earlier version, and how many there were since. */
interface Near {
  readonly derived: Derived;
  readonly passed: number;
}

interface Changed {
  readonly name: string;
  /** `undefined`: it is gone. */
  readonly after: Entry | undefined;
}

interface Changes {
  readonly before: TypeView;
  readonly after: TypeView;
  readonly all: readonly Changed[];
}

/** How many sets of referrers one assignment's versions are kept for. */
const maxVersionsKept = 8;

/** For so many versions that nobody asks for, the last derivation is kept at hand. */
const maxPassed = 64;

export class Assignments {
  /** By assignments, then by clusters. */
  readonly #derived = new WeakMap<TypeView, WeakMap<TypeView, TypeView>>();
  /** One derivation that shares structure with what is asked next. */
  readonly #nearest = new WeakMap<TypeView, Near>();
  #last: Changes | undefined;

  /** `raw` came after `previous`: what was derived of that is not far from what may be of this. */
  follow(raw: TypeView, previous: TypeView): void {
    const near = this.#nearest.get(previous);
    if (near === undefined || this.#nearest.has(raw) || near.passed >= maxPassed) return;
    this.#nearest.set(raw, { derived: near.derived, passed: near.passed + 1 });
  }

  /** The assignments as a client of `clusters` sees them. Costs what differs from the nearest. */
  derive(raw: TypeView, clusters: TypeView): TypeView {
    const known = this.#derived.get(raw)?.get(clusters);
    if (known !== undefined) return known;
    const near = this.#nearest.get(raw)?.derived;
    const view = near === undefined ? this.#all(raw, clusters) : this.#from(near, raw, clusters);
    const byClusters = this.#derived.get(raw) ?? new WeakMap<TypeView, TypeView>();
    this.#derived.set(raw, byClusters.set(clusters, view));
    this.#nearest.set(raw, { derived: { raw, clusters, view }, passed: 0 });
    return view;
  }

  /**
   * What differs between two versions of assignments. The last answer is kept: of each change it is
   * asked for what clients see, and for whom it concerns.
   */
  changes(before: TypeView, after: TypeView): readonly Changed[] {
    if (this.#last?.before !== before || this.#last.after !== after) {
      const all: Changed[] = [];
      before.diff(after, (name, _before, now) => all.push({ name, after: now }));
      this.#last = { before, after, all };
    }
    return this.#last.all;
  }

  #all(raw: TypeView, clusters: TypeView): TypeView {
    const entries: Entry[] = [];
    raw.each((entry) => entries.push(this.of(entry, clusters)));
    return TypeView.empty(raw.typeUrl, false).with(entries);
  }

  #from(near: Derived, raw: TypeView, clusters: TypeView): TypeView {
    const set: Entry[] = [];
    const gone: string[] = [];
    for (const { name, after } of this.changes(near.raw, raw)) {
      if (after === undefined) gone.push(name);
      else set.push(this.of(after, clusters));
    }
    TypeView.diffReferrers(near.clusters, clusters, (name) => {
      const entry = raw.get(name);
      if (entry !== undefined) set.push(this.of(entry, clusters));
    });
    return near.view.with(set, gone);
  }

  /** One assignment as a client of `clusters` sees it. */
  of(raw: Entry, clusters: TypeView): DerivedEntry {
    const referrers = clusters.referrersOf(raw);
    for (let one = raw.derived; one !== undefined; one = one.next) {
      if (one.referrers === referrers) return one;
    }
    const last = raw.derived;
    const kept = last !== undefined && last.count < maxVersionsKept ? last : undefined;
    raw.derived = new Assignment(raw, referrers, kept);
    return raw.derived;
  }
}

export function emptyAssignment(name: string): Entry {
  // Field 1 of an assignment is `cluster_name`.
  const bytes = nameField(name);
  const { endpoint: typeUrl } = resourceTypes;
  const version = 'empty';
  const leaf = { typeUrl, name, hash: hashName(name), version };
  return { ...leaf, fragments: [bytes], size: bytes.length, refs: [], isEmpty: true };
}
