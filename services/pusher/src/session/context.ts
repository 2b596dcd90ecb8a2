import { setNewest } from '../set-newest.ts';
import { Assignments } from '../view/assignments.ts';
import { HostTables, type TableNames } from '../view/host-tables.ts';
import { Located } from '../view/located.ts';
import { hashName } from '../view/trie.ts';
import { TypeView, type Entry } from '../view/type-view.ts';
import { isAsked } from './asked.ts';
import type { FrameCache } from './frame-cache.ts';
import type { Frame } from './frame.ts';
import { Sendings } from './outstanding.ts';
import { KeptViews } from './partial.ts';
import { PastViews } from './past-views.ts';
import { Quarantines } from './quarantine.ts';
import type { InitialVersions } from './request.ts';
import { NameList, Subscriptions, type Subscription } from './subscription.ts';
import { traitsOf } from './type-traits.ts';

interface Part {
  readonly view: TypeView;
  readonly clusters: TypeView;
  readonly subscription: Subscription;
  readonly part: TypeView;
}

/** What all streams of a process share, so that a stream's own state can be a few pointers. */
export class SessionContext {
  readonly frames: FrameCache;
  readonly subscriptions = new Subscriptions();
  readonly sendings = new Sendings();
  readonly quarantines = new Quarantines();
  readonly assignments: Assignments;
  readonly past: PastViews;
  readonly hostTables = new HostTables();
  readonly located = new Located();
  readonly kept = new KeptViews();
  readonly #empty = new Map<string, TypeView>();
  readonly #parts = new WeakMap<Subscription, TypeView>();
  /** One stream asks for its part several times in a row. */
  #lastPart: Part | undefined;
  readonly #absent = new WeakMap<TypeView, WeakMap<NameList, NameList>>();
  readonly #held = new WeakMap<InitialVersions, TypeView>();
  readonly #heldByDigest = new Map<string, WeakRef<TypeView>>();
  readonly #heldFor = new WeakMap<TypeView, WeakMap<Subscription, TypeView>>();
  #sweepAt = 256;
  readonly #tables = new WeakMap<TypeView, WeakMap<Subscription, TableNames>>();
  readonly #covered = new WeakMap<ReadonlySet<string>, WeakMap<Subscription, readonly string[]>>();
  /**
   * Views that were sent whole, by type and digest, in order of use: what a `version_info` may
   * mean.
   */
  readonly #sent = new Map<string, TypeView>();
  /** The last of them: thousands of streams are sent it one after the other. */
  #lastSent: TypeView | undefined;

  /** `assignments`: shared with what builds the views, so that their derivations are found again. */
  constructor(frames: FrameCache, assignments: Assignments = new Assignments()) {
    this.frames = frames;
    this.assignments = assignments;
    this.past = new PastViews(assignments);
  }

  empty(typeUrl: string): TypeView {
    let view = this.#empty.get(typeUrl);
    if (view === undefined) {
      view = emptyView(typeUrl);
      // Type URLs come from clients: only those that Envoy knows are kept.
      if (traitsOf(typeUrl).stage !== 'other' || this.#empty.size < maxEmptyViews) {
        this.#empty.set(typeUrl, view);
      }
    }
    return view;
  }

  /**
   * What a subscription of few names gets of a view of assignments, beside those clusters. It is
   * the same object as long as nothing of it changes, whatever else does, and for all streams.
   */
  partOf(view: TypeView, clusters: TypeView, subscription: Subscription): TypeView {
    const last = this.#lastPart;
    if (last?.view === view && last.clusters === clusters && last.subscription === subscription) {
      return last.part;
    }
    const entries: Entry[] = [];
    subscription.eachName((leaf) => {
      const entry = view.lookup(leaf);
      if (entry !== undefined) entries.push(this.assignments.of(entry, clusters));
    });
    let part = this.#parts.get(subscription);
    const isSame =
      part?.size === entries.length && entries.every((entry) => part?.lookup(entry) === entry);
    if (part === undefined || !isSame) {
      part = this.empty(view.typeUrl).with(entries);
      this.#parts.set(subscription, part);
    }
    this.#lastPart = { view, clusters, subscription, part };
    return part;
  }

  /** What a client says it holds, as a view without bytes. Clients that hold the same share it. */
  heldBy(typeUrl: string, initial: InitialVersions): TypeView {
    const known = this.#held.get(initial);
    if (known?.typeUrl === typeUrl) return known;
    const made = emptyView(typeUrl).with(initial.entries);
    const key = `${typeUrl}|${made.digest}`;
    const held = this.#heldByDigest.get(key)?.deref() ?? made;
    if (held === made) {
      this.#heldByDigest.set(key, new WeakRef(made));
      if (this.#heldByDigest.size > this.#sweepAt) this.#sweep();
    }
    this.#held.set(initial, held);
    return held;
  }

  /**
   * What a client says it holds and does not ask for by its own name it has by another, as an alias
   * or a group, and is told when that ends (rule 42). Which name it is, nobody says: any will do.
   */
  heldFor(view: TypeView, subscription: Subscription): TypeView {
    if (subscription.wildcard) return view;
    const bySubscription = this.#heldFor.get(view) ?? new WeakMap<Subscription, TypeView>();
    this.#heldFor.set(view, bySubscription);
    let held = bySubscription.get(subscription);
    if (held === undefined) {
      const others: Entry[] = [];
      view.each((entry) => {
        if (!isAsked(subscription, view, entry)) others.push(entry);
      });
      const names = others.length === 0 ? [] : this.subscriptions.namesOf(subscription).names;
      const groups = names.slice(0, 1);
      held = view.with(others.map((entry) => ({ ...entry, groups })));
      bySubscription.set(subscription, held);
    }
    return held;
  }

  /** Remembers a full set that was sent, for a client that comes back with its `version_info`. */
  remember(frame: Frame): void {
    const { view } = frame.plan;
    if (view === this.#lastSent) return;
    this.#lastSent = view;
    const key = `${view.typeUrl}|${view.digest}`;
    setNewest(this.#sent, key, view, maxSentViews);
  }

  /** Names of which a view has nothing; of a collection, what it has of it. */
  absentIn(view: TypeView, names: NameList): NameList {
    const byNames = this.#absent.get(view) ?? new WeakMap<NameList, NameList>();
    this.#absent.set(view, byNames);
    let absent = byNames.get(names);
    if (absent === undefined) {
      const found = names.leaves.filter((leaf) => !view.knows(leaf));
      absent = found.length === names.length ? names : new NameList(found.map((leaf) => leaf.name));
      byNames.set(names, absent);
    }
    return absent;
  }

  /** The view that a `version_info` stands for, if it is not too old: sent whole, or a past one. */
  recall(scope: string, typeUrl: string, versionInfo: string): TypeView | undefined {
    const sent = this.#sent.get(`${typeUrl}|${versionInfo}`);
    return sent ?? this.past.find(scope, typeUrl, versionInfo);
  }

  /** Names of the route tables that a client has. */
  tablesOf(held: TypeView, subscription: Subscription): TableNames {
    const bySubscription = this.#tables.get(held) ?? new WeakMap<Subscription, TableNames>();
    this.#tables.set(held, bySubscription);
    let tables = bySubscription.get(subscription);
    if (tables === undefined) {
      const names: string[] = [];
      if (subscription.wildcard) held.each(({ name }) => names.push(name));
      else {
        subscription.eachName((leaf) => {
          if (held.lookup(leaf) !== undefined) names.push(leaf.name);
        });
      }
      bySubscription.set(subscription, (tables = this.hostTables.namesOf(names)));
    }
    return tables;
  }

  /** Whether all of `needs` that `assignments` has are subscribed. */
  covers(needs: ReadonlySet<string>, subscription: Subscription, assignments: TypeView): boolean {
    if (subscription.wildcard) return true;
    return this.#uncovered(needs, subscription).every(
      (name) => assignments.get(name) === undefined,
    );
  }

  #uncovered(needs: ReadonlySet<string>, subscription: Subscription): readonly string[] {
    let bySubscription = this.#covered.get(needs);
    if (bySubscription === undefined) this.#covered.set(needs, (bySubscription = new WeakMap()));
    let names = bySubscription.get(subscription);
    if (names === undefined) {
      names = [...needs].filter((name) => !subscription.has({ name, hash: hashName(name) }));
      bySubscription.set(subscription, names);
    }
    return names;
  }

  #sweep(): void {
    for (const [key, ref] of this.#heldByDigest) {
      if (ref.deref() === undefined) this.#heldByDigest.delete(key);
    }
    this.#sweepAt = Math.max(256, 2 * this.#heldByDigest.size);
  }
}

const maxEmptyViews = 256;
const maxSentViews = 256;

export function emptyView(typeUrl: string): TypeView {
  return TypeView.empty(typeUrl, traitsOf(typeUrl).stage === 'clusters');
}
