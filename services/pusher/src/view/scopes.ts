import type { BlobStore } from '@watershed/blob/port.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import type { Clock, Timer, Timers } from '@watershed/runtime/clock.ts';
import { emptyView } from '../session/context.ts';
import type { Assignments } from './assignments.ts';
import type { BlobLoader } from './blob-loader.ts';
import { Former } from './former.ts';
import { anything, anythingNewer, hasCome, missingOf, type Missing } from './missing.ts';
import { Records } from './records.ts';
import { readList, splitContent, type ResourceList } from './resource-list.ts';
import type { ScopeView } from './scope-view.ts';
import { differing, shown } from './shown.ts';
import { SharedEntry } from './shared-entry.ts';
import type { Changes, ManifestRecord } from './staging.ts';
import type { TypeView } from './type-view.ts';

const { endpoint } = resourceTypes;

export interface ScopesOptions {
  readonly loader: BlobLoader;
  readonly blobs: Pick<BlobStore, 'get'>;
  readonly assignments: Assignments;
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly timers: Timers;
  /** A scope in use has a new view; `types`: the type URLs that differ from the view before. */
  readonly onView: (
    view: ScopeView,
    types: ReadonlySet<string>,
    before: ScopeView | undefined,
  ) => void;
  /**
   * After that long what is there is served, without what is not; removals go on waiting. Default 5
   * s.
   */
  readonly partialAfterMs?: number | undefined;
}

/** One scope in use. */
interface ActiveScope {
  readonly id: string;
  users: number;
  /** The manifest that its lists are of, and the one that is being fetched. */
  content: string | undefined;
  fetching: string | undefined;
  lists: ReadonlyMap<string, ResourceList>;
  view: ScopeView | undefined;
  /** Since when it is not complete. */
  blocked: Timer | undefined;
  overdue: boolean;
  sinceMs: number;
  trace: string | undefined;
}

/**
 * The views of the scopes that this process serves: the records of the log, joined with the
 * manifests' lists and the blobs. A view is shown when all of it is there. All state changes at
 * once and in memory; what has to be fetched arrives by a call back.
 */
export class Scopes {
  readonly #options: ScopesOptions;
  readonly #resources = new Records();
  readonly #manifests = new Map<string, ManifestRecord>();
  readonly #former: Former;
  /** Ids of scopes whose manifest is overdue: what it removes must wait for the cut. */
  readonly #additive = new Set<string>();
  readonly #active = new Map<string, ActiveScope>();
  readonly #lists = new Set<ResourceList>();
  /** Those that several scopes may have, by type and digest. */
  readonly #shared = new Map<string, ResourceList>();
  readonly #dirty = new Set<ActiveScope>();
  #settling = false;
  #sequence = 0;
  #epoch = 0;

  constructor(options: ScopesOptions) {
    this.#options = options;
    this.#former = new Former(options.blobs);
  }

  /** How many records are known: resources, manifests, scopes in use. */
  get counts(): {
    readonly resources: number;
    readonly manifests: number;
    readonly scopes: number;
  } {
    return {
      resources: this.#resources.size,
      manifests: this.#manifests.size,
      scopes: this.#active.size,
    };
  }

  /** The resource of a record's key, as the last cut has it. */
  find(key: string): SharedEntry | undefined {
    return this.#resources.find(key);
  }

  /** Scopes in use that have no view yet. */
  get waiting(): readonly string[] {
    return [...this.#active.values()].filter((s) => s.view === undefined).map((s) => s.id);
  }

  view(scope: string): ScopeView | undefined {
    return this.#active.get(scope)?.view;
  }

  /** Views in use. */
  views(): readonly ScopeView[] {
    return [...this.#active.values()].flatMap((s) => (s.view === undefined ? [] : [s.view]));
  }

  /** Whether the scope's manifest is on the log, and it is shown whole. */
  complete(scope: string): boolean {
    const active = this.#active.get(scope);
    return active?.view !== undefined && !this.#additive.has(scope) && this.#isComplete(active);
  }

  /** Begins to use a scope. */
  acquire(id: string): void {
    const known = this.#active.get(id);
    if (known !== undefined) {
      known.users++;
      return;
    }
    const scope: ActiveScope = {
      id,
      users: 1,
      content: undefined,
      fetching: undefined,
      lists: new Map(),
      view: undefined,
      blocked: undefined,
      overdue: false,
      sinceMs: this.#options.clock.monotonic(),
      trace: undefined,
    };
    this.#active.set(id, scope);
    this.#fetchManifest(scope);
    this.#settle();
  }

  /** What the scope was when this machine last saw it: shown if there is nothing newer. */
  offer(view: ScopeView): void {
    const scope = this.#active.get(view.scope);
    if (scope === undefined || scope.view !== undefined) return;
    scope.view = { ...view, missing: anythingNewer, sequence: ++this.#sequence };
    this.#options.onView(scope.view, new Set(view.types.keys()), undefined);
  }

  /** Clusters that the scope lists no more, and assignments: clients may hold them (see `Former`). */
  formerViews(id: string): Promise<readonly TypeView[]> {
    return this.#former.views(id, {
      present: () => this.#manifests.get(id)?.content,
      find: (key) => this.#resources.find(key),
    });
  }

  /** Ends one use; the caller decides when the last one is really over. */
  release(id: string): void {
    const scope = this.#active.get(id);
    if (scope === undefined || --scope.users > 0) return;
    this.#active.delete(id);
    scope.blocked?.cancel();
    for (const list of scope.lists.values()) this.#unlist(list, id);
    this.#forgetBytes();
  }

  /** Applies one cut. `additive`: it is overdue, so what manifests remove goes on waiting. */
  apply(changes: Changes, epoch: number, additive = false): void {
    // All of it is taken in before anything of it is shown.
    this.#settling = true;
    try {
      this.#take(changes, epoch, additive);
    } finally {
      this.#settling = false;
    }
    this.#settle();
  }

  #take(changes: Changes, epoch: number, additive: boolean): void {
    this.#epoch = Math.max(this.#epoch, epoch);
    const { changed, gone } = this.#resources.take(changes.resources);
    for (const [id, manifest] of changes.manifests) this.#setManifest(id, manifest, changes);
    for (const list of this.#lists) {
      const taken = list.apply(changed.get(list.typeUrl) ?? []);
      const dropped = list.drop(gone.get(list.typeUrl) ?? []);
      if (taken.length === 0 && !dropped) continue;
      this.#load(list, taken, changes.trace);
      for (const id of list.scopes) this.#touch(this.#active.get(id), changes);
    }
    for (const [id, manifest] of changes.manifests) {
      if (manifest !== undefined && additive) this.#additive.add(id);
      else this.#additive.delete(id);
      const scope = this.#active.get(id);
      if (scope === undefined || manifest === undefined) continue;
      this.#touch(scope, changes);
      this.#fetchManifest(scope);
    }
  }

  #setManifest(id: string, manifest: ManifestRecord | undefined, { superseded }: Changes): void {
    if (manifest === undefined) {
      this.#manifests.delete(id);
      this.#former.forget(id);
      return;
    }
    const before = this.#manifests.get(id)?.content;
    const replaced = [...(before === undefined ? [] : [before]), ...(superseded.get(id) ?? [])];
    this.#manifests.set(id, manifest);
    for (const content of replaced) {
      if (content !== manifest.content) this.#former.note(id, content);
    }
  }

  #touch(scope: ActiveScope | undefined, changes: Changes): void {
    if (scope === undefined) return;
    if (!this.#dirty.has(scope)) {
      scope.sinceMs = changes.sinceMs;
      scope.trace = changes.trace;
    }
    this.#dirty.add(scope);
  }

  #fetchManifest(scope: ActiveScope): void {
    const manifest = this.#manifests.get(scope.id);
    if (manifest === undefined) return;
    if (manifest.content === scope.content) {
      scope.fetching = undefined;
      this.#dirty.add(scope);
      return;
    }
    scope.fetching = manifest.content;
    const waits = (): boolean =>
      scope.fetching === manifest.content && this.#active.get(scope.id) === scope;
    const take = (): void => {
      if (!waits()) return;
      const waiter = { loaded: take, waits };
      const bytes = this.#options.loader.fetch(manifest.content, waiter, scope.trace);
      if (bytes === undefined) return;
      scope.fetching = undefined;
      scope.content = manifest.content;
      this.#install(scope, bytes);
      this.#dirty.add(scope);
      this.#settle();
    };
    take();
    if (scope.fetching !== undefined) this.#dirty.add(scope);
  }

  /** Gives a scope the lists of a manifest, those that it shares with others included. */
  #install(scope: ActiveScope, content: Uint8Array): void {
    const lists = new Map<string, ResourceList>();
    for (const encoded of splitContent(content)) {
      const key = `${encoded.typeUrl}|${encoded.digest}`;
      const before = scope.lists.get(encoded.typeUrl);
      let list = this.#shared.get(key);
      if (list === undefined) {
        const previous = before?.wanted ?? emptyView(encoded.typeUrl);
        list = readList(encoded, previous, this.#resources);
        this.#lists.add(list);
        // What stands in for a resource that is not on the log yet is this scope's own.
        if (list.absent.size === 0) this.#shared.set(key, list);
        // By entry, not by version: another variant of equal content is another record.
        const missing: SharedEntry[] = [];
        list.wanted.each((entry) => {
          if (entry instanceof SharedEntry && !entry.loaded) missing.push(entry);
        });
        this.#load(list, missing, scope.trace);
      }
      list.scopes.add(scope.id);
      lists.set(encoded.typeUrl, list);
    }
    for (const [typeUrl, list] of scope.lists) {
      if (lists.get(typeUrl) !== list) this.#unlist(list, scope.id);
    }
    scope.lists = lists;
  }

  #unlist(list: ResourceList, scope: string): void {
    list.scopes.delete(scope);
    if (list.scopes.size > 0) return;
    this.#lists.delete(list);
    const key = `${list.typeUrl}|${list.digest}`;
    if (this.#shared.get(key) === list) this.#shared.delete(key);
  }

  #load(list: ResourceList, entries: readonly SharedEntry[], trace: string | undefined): void {
    for (const entry of entries) {
      if (entry.loaded || list.wanted.lookup(entry) !== entry) continue;
      const loaded = (): void => {
        if (!list.unloaded.delete(entry) || list.unloaded.size > 0) return;
        for (const id of list.scopes) {
          const scope = this.#active.get(id);
          if (scope !== undefined) this.#dirty.add(scope);
        }
        this.#settle();
      };
      const waits = (): boolean => list.scopes.size > 0 && list.unloaded.has(entry);
      const there = this.#options.loader.load(entry, { loaded, waits }, trace);
      if (!there) list.unloaded.add(entry);
    }
  }

  /** Shows what can be shown, of all scopes that something happened to. */
  #settle(): void {
    if (this.#settling) return;
    this.#settling = true;
    try {
      for (const scope of this.#dirty) {
        this.#dirty.delete(scope);
        this.#show(scope);
      }
    } finally {
      this.#settling = false;
    }
  }

  #isComplete(scope: ActiveScope): boolean {
    if (scope.content === undefined || scope.fetching !== undefined) return false;
    for (const list of scope.lists.values()) if (!list.complete) return false;
    return true;
  }

  #show(scope: ActiveScope): void {
    if (this.#isComplete(scope)) {
      scope.blocked?.cancel();
      scope.blocked = undefined;
      scope.overdue = false;
    } else {
      scope.blocked ??= this.#options.timers.after(this.#options.partialAfterMs ?? 5_000, () => {
        scope.overdue = true;
        this.#dirty.add(scope);
        this.#settle();
      });
      // A scope whose own manifest is not known has nothing to show.
      if (scope.content === undefined) return;
      if (scope.view === undefined && !scope.overdue) return;
    }
    const types = this.#typesOf(scope);
    const changed = differing(scope.view?.types, types);
    const missing = this.#missingOf(scope);
    const before = scope.view;
    // What has come is news to those who wait for it, also where nothing else differs.
    if (changed.size === 0 && before !== undefined && !hasCome(before.missing, missing)) {
      // Who is at that view already has all of it; who comes now may have more.
      if (before.missing === undefined && missing) scope.view = { ...before, missing };
      return;
    }
    scope.view = {
      scope: scope.id,
      sequence: ++this.#sequence,
      epoch: this.#epoch,
      types,
      missing,
      sinceMs: scope.sinceMs,
      trace: scope.trace,
    };
    this.#options.onView(scope.view, changed, before);
  }

  /** Before it is overdue it is shown as it was. */
  #missingOf(scope: ActiveScope): Missing | undefined {
    const { id, overdue, fetching, lists, view } = scope;
    if (this.#isComplete(scope)) return this.#additive.has(id) ? anything : undefined;
    // What the disk had stands in for what is not here.
    if (view?.missing?.isOld === true) return anythingNewer;
    const isKnown = overdue && fetching === undefined && !this.#additive.has(id);
    return isKnown ? missingOf(lists.values()) : anything;
  }

  #typesOf(scope: ActiveScope): ReadonlyMap<string, TypeView> {
    const old = scope.view?.types;
    const isWhole = this.#isComplete(scope);
    const { lists, overdue } = scope;
    const types = shown(lists, old, {
      isWhole,
      mayGo: isWhole && !this.#additive.has(scope.id),
      isOverdue: overdue,
    });
    const [previous, assignments] = [old, types].map((all) => all?.get(endpoint));
    if (assignments !== undefined && previous !== undefined) {
      this.#options.assignments.follow(assignments, previous);
    }
    return types;
  }

  /** Replaces entries that no list has by ones without bytes. Views that still have them keep them. */
  #forgetBytes(): void {
    const listed = new Set<string>();
    for (const list of this.#lists) {
      list.wanted.each((entry) => {
        if (entry instanceof SharedEntry) listed.add(entry.key);
      });
    }
    this.#resources.keepBytes(listed);
  }
}
