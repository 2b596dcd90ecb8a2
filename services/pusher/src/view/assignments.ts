/**
 * Versions of ClusterLoadAssignments as clients see them: the digest of the assignment and of the
 * clusters that name it _in the same view_. Envoy warms a changed Cluster only with a new EDS
 * response (rule 27), and here that response is due by version: whatever the order in which records
 * arrived, and over a reconnect.
 */
import { hash } from 'node:crypto';
import { TypeView, type DerivedEntry, type Entry } from './type-view.ts';

class Assignment implements DerivedEntry {
  readonly version: string;
  readonly referrers: string;
  readonly next: DerivedEntry | undefined;
  readonly count: number;
  readonly #raw: Entry;

  constructor(raw: Entry, referrers: string, next: DerivedEntry | undefined) {
    this.#raw = raw;
    this.version = hash('sha256', `${raw.version}|${referrers}`, 'hex').slice(0, 32);
    this.referrers = referrers;
    this.next = next;
    this.count = (next?.count ?? 0) + 1;
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
  get refs(): readonly string[] {
    return this.#raw.refs;
  }
}

interface Derived {
  readonly raw: TypeView;
  readonly clusters: TypeView;
  readonly view: TypeView;
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

export class Assignments {
  /** By assignments, then by clusters. */
  readonly #derived = new WeakMap<TypeView, WeakMap<TypeView, TypeView>>();
  /** One derivation that shares structure with what is asked next. */
  readonly #nearest = new WeakMap<TypeView, Derived>();
  #last: Changes | undefined;

  /**
   * The assignments as a client of `clusters` sees them. `previous`: an older version of `raw` that
   * was derived before; with it the cost is what changed.
   */
  derive(raw: TypeView, clusters: TypeView, previous?: TypeView): TypeView {
    const known = this.#derived.get(raw)?.get(clusters);
    if (known !== undefined) return known;
    const near =
      this.#nearest.get(raw) ?? (previous === undefined ? undefined : this.#nearest.get(previous));
    const view = near === undefined ? this.#all(raw, clusters) : this.#from(near, raw, clusters);
    const byClusters = this.#derived.get(raw) ?? new WeakMap<TypeView, TypeView>();
    this.#derived.set(raw, byClusters.set(clusters, view));
    this.#nearest.set(raw, { raw, clusters, view });
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
    raw.each((entry) => entries.push(this.#entry(entry, clusters)));
    return TypeView.empty(raw.typeUrl, false).with(entries);
  }

  #from(near: Derived, raw: TypeView, clusters: TypeView): TypeView {
    const set: Entry[] = [];
    const gone: string[] = [];
    for (const { name, after } of this.changes(near.raw, raw)) {
      if (after === undefined) gone.push(name);
      else set.push(this.#entry(after, clusters));
    }
    TypeView.diffReferrers(near.clusters, clusters, (name) => {
      const entry = raw.get(name);
      if (entry !== undefined) set.push(this.#entry(entry, clusters));
    });
    return near.view.with(set, gone);
  }

  #entry(raw: Entry, clusters: TypeView): DerivedEntry {
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
