/**
 * The ingester's core: what sources hold → what the log should hold, one step per batch.
 *
 *     batch ─► table (places, last good) ─► holds ─► graph (emit) ─► outbox (claims) ─► publish
 *
 * Nothing is published before `open`: until all sources are listed, what is absent says nothing.
 */
import type { Graph } from '@watershed/derive/graph.ts';
import { Event } from '@watershed/model/gen/model.ts';
import {
  configKey,
  parseConfigKey,
  parseObjectsKey,
  topics,
  type ConfigKey,
} from '@watershed/model/keys.ts';
import { describeError } from '@watershed/runtime/errors.ts';
import type { Sealing } from '@watershed/runtime/sealing.ts';
import type { SourceSettings } from '../kind.ts';
import type { Sink, SourceBatch } from '../source.ts';
import type { Counters } from './counters.ts';
import { problem, subjectId, subjectOf, type Diagnostics } from './diagnostics.ts';
import { Ghosts } from './ghosts.ts';
import { defaultHoldLimits, Holds, type HeldObject, type HoldLimits } from './holds.ts';
import { decodeLastGood, type ObjectRecord } from './last-good.ts';
import { viewOf, type ObjectView } from './object-view.ts';
import { ObjectTable, type ObjectEntry, type TableChange } from './objects.ts';
import { Outbox, type Outgoing, type StoredEvent } from './outbox.ts';
import { isEmission, KindWorld, type Installed, type Registration } from './registry.ts';
import { Unsaved, type SavedObject } from './unsaved.ts';

export interface IngestOptions {
  readonly graph: Graph;
  readonly kinds: readonly Registration[];
  readonly settings: SourceSettings;
  readonly sealing: Pick<Sealing, 'seal' | 'unseal'>;
  readonly diagnostics: Diagnostics;
  readonly counters: Counters;
  /** Milliseconds since the Unix epoch. */
  readonly now: () => number;
  readonly monotonicMs: () => number;
  readonly holdLimits?: HoldLimits;
  /** Takes what the log should hold now; may be called again before it is there. */
  readonly publish: (outgoing: readonly PublishedEvent[]) => void;
}

/** What the log holds for this source. */
export interface Stored {
  readonly events: readonly StoredEvent[];
  readonly objects: readonly ObjectRecord[];
}

export interface PublishedEvent extends Omit<Outgoing, 'topic'> {
  /** `objects`: no event to anybody but this source (`last-good.ts`). */
  readonly topic: Outgoing['topic'] | ObjectRecord['topic'];
  /** The file (or API object) that it comes from, and its version; empty if that is gone. */
  readonly unit: string;
  readonly version: string;
}

/** The name of the source marker's owner; no object has such an id. */
const markerOwner = 'source';
const noChange: TableChange = {
  vanished: [],
  appeared: [],
  accepted: [],
  changed: [],
  renewed: [],
};

export class Ingest implements Sink {
  /** What it reads. */
  readonly kinds: readonly Pick<Installed, 'apiVersions' | 'kind'>[];
  readonly #options: IngestOptions;
  readonly #table: ObjectTable;
  readonly #holds: Holds;
  readonly #outbox = new Outbox();
  readonly #queries = new Map<object, string>();
  readonly #ghosts: Ghosts;
  readonly #unsaved: Unsaved;
  /** Of sources whose last batch before `open` was suspect. */
  readonly #suspects = new Map<string, string>();
  #open = false;

  constructor(options: IngestOptions) {
    this.#options = options;
    const { graph, settings, sealing, diagnostics, counters } = options;
    const world = new KindWorld(graph, settings, (material) => sealing.seal(material));
    const installed = options.kinds.map((kind) => kind.install(world));
    this.kinds = installed;
    for (const { group, kind, emission } of installed) {
      this.#queries.set(emission, `${group}/${kind}`);
    }
    this.#table = new ObjectTable(installed, diagnostics, counters);
    this.#ghosts = new Ghosts(this.#table);
    this.#unsaved = new Unsaved(settings.cluster, sealing);
    this.#holds = new Holds(options.monotonicMs, options.holdLimits ?? defaultHoldLimits);
  }

  /** Objects and keys, for gauges. */
  get sizes(): { readonly objects: number; readonly events: number; readonly held: number } {
    return { objects: this.#table.size, events: this.#outbox.size, held: this.#holds.size };
  }

  held(): readonly HeldObject[] {
    return this.#holds.list();
  }

  /** Sorted by group, kind, namespace and name. */
  objects(): readonly ObjectView[] {
    const entries = [...this.#table.entries()].sort((a, b) => (a.id < b.id ? -1 : 1));
    const { diagnostics } = this.#options;
    const judges = { diagnostics, holds: this.#holds, ghosts: this.#ghosts };
    return entries.map((entry) => viewOf(entry, judges));
  }

  /** Where an object is written, at the place that counts; empty where it is nowhere. */
  originOf(id: string): string {
    return this.#table.get(id)?.origin ?? '';
  }

  /** What is said on the log of the configuration of one kind, by key. */
  told(kind: ConfigKey['kind']): readonly (readonly [ConfigKey, Event])[] {
    return this.#outbox.values().flatMap(({ topic, key, value }) => {
      const parsed = topic === topics.config ? parseConfigKey(key) : undefined;
      return parsed?.kind === kind ? [[parsed, Event.decode(value)] as const] : [];
    });
  }

  apply(batch: SourceBatch): void {
    const change = this.#table.apply(batch);
    for (const entry of change.appeared) this.#returned(entry);
    for (const entry of change.accepted) {
      this.#options.graph.observe(entry.installed.emission, entry.key);
    }
    const { source, suspect } = batch;
    this.#remove(change.vanished, suspect);
    this.#layGhosts(suspect);
    if (this.#open) this.#step(change);
    else if (suspect === undefined) this.#suspects.delete(source);
    else this.#suspects.set(source, suspect);
  }

  trouble(source: string, reason: string | undefined): void {
    const subject = { group: '', kind: 'Source', namespace: '', name: source };
    const problems = reason === undefined ? [] : [problem(reason)];
    this.#options.diagnostics.set({ subject, step: 'source', origin: source, problems });
  }

  /**
   * All sources are listed, and `stored` is what the log holds: publishes the difference, in one
   * step (what goes must not be gone before what takes its place is there), and from now on every
   * change. Objects that are gone take their records with them, unless they are so many that they
   * are held, or their source is gone, or they may be in what cannot be read.
   */
  open(stored: Stored): void {
    this.#open = true;
    const mayBeUnread = this.#table.isBroken;
    const restored = this.#restore(stored.objects, mayBeUnread);
    const gone = restored.filter((entry) => !this.#holds.has(entry.id));
    for (const [source, entries] of Map.groupBy(gone, sourceOf)) {
      const suspect = this.#suspects.get(source);
      if (suspect !== undefined) this.#remove(entries, suspect);
      else if (mayBeUnread) for (const { id } of entries) this.#addGhost(id);
      else this.#remove(entries, undefined, 'since the last run, ');
    }
    this.#settle();
    this.#takeOrphans(stored.events, mayBeUnread);
    for (const entry of this.#table.entries()) this.#unsaved.add(entry);
    this.#step(noChange);
  }

  /** Puts back what is known from the log alone; gives what of it is written nowhere. */
  #restore(stored: readonly ObjectRecord[], mayBeUnread: boolean): readonly ObjectEntry[] {
    const gone: ObjectEntry[] = [];
    for (const { key, value } of stored) {
      const { cluster: _cluster, ...subject } = parseObjectsKey(key);
      const id = subjectId(subject);
      const known = this.#table.get(id);
      if (known?.lastGood !== undefined) continue;
      const object = decodeLastGood(value, this.#options.sealing);
      const entry = object === undefined ? undefined : this.#table.restore(subject, object);
      if (object === undefined || entry === undefined) {
        // Nobody has it here, nor can this version read what the log has.
        if (known === undefined && mayBeUnread) this.#addGhost(id);
        else if (known === undefined) this.#unsaved.addGone(id);
        continue;
      }
      this.#options.graph.observe(entry.installed.emission, entry.key);
      if (entry.placements.length > 0) continue;
      gone.push(entry);
      const { source, held } = object;
      if (held !== undefined) this.#hold(entry, { source, ...held });
    }
    this.#holds.resume();
    return gone;
  }

  /**
   * Takes back records that no object gives any more. But what says nothing for sure takes nothing
   * away: an object of which no version is good here, or that may be unread.
   */
  #takeOrphans(stored: readonly StoredEvent[], mayBeUnread: boolean): void {
    for (const event of stored) {
      const { topic, key, owner } = event;
      if (key === this.#markerKey() || this.#outbox.claims(topic, key)) continue;
      const entry = this.#table.get(owner);
      const isSure = entry === undefined ? !mayBeUnread : entry.emitted !== undefined;
      if (isSure) {
        this.#outbox.orphan(event);
        continue;
      }
      this.#outbox.retain(owner, event);
      if (entry === undefined) this.#addGhost(owner);
    }
  }

  #addGhost(id: string): void {
    this.#ghosts.add(id);
    const text =
      'is in no file that can be read, and some file cannot be read whole: the last good value stays';
    const problems = [problem(text, 'warning')];
    this.#options.diagnostics.set({ subject: subjectOf(id), step: 'kept', origin: '', problems });
  }

  #layGhosts(suspect: string | undefined): void {
    const gone = this.#ghosts.lay();
    for (const id of gone) {
      this.#options.diagnostics.clear(subjectOf(id), 'kept');
      if (this.#table.get(id) !== undefined) continue;
      this.#outbox.drop(id);
      this.#unsaved.addGone(id);
    }
    this.#remove(
      gone.flatMap((id) => this.#table.get(id) ?? []),
      suspect,
    );
  }

  /**
   * The record that says that the source has been listed; to be published when all before it is
   * durable.
   */
  marker(): PublishedEvent {
    const value = Event.encode({ object: { $case: 'source', value: { synced: true } } }).finish();
    return {
      topic: 'config',
      key: this.#markerKey(),
      value,
      owner: markerOwner,
      unit: '',
      version: '',
    };
  }

  /**
   * A person says that what is held may go: all of it, or what a source took away. Returns what was
   * released.
   */
  confirm(source?: string): readonly HeldObject[] {
    const released = this.#holds
      .list()
      .filter((held) => source === undefined || held.source === source);
    for (const { id, subject } of released) {
      this.#holds.release(id);
      this.#options.diagnostics.clear(subject);
      const entry = this.#table.get(id);
      if (entry !== undefined) this.#drop(entry);
    }
    if (this.#open) this.#step(noChange);
    return released;
  }

  #markerKey(): string {
    const { cluster } = this.#options.settings;
    return configKey({ cluster, kind: 'source', namespace: '', name: 'default' });
  }

  #returned(entry: ObjectEntry): void {
    const { id } = entry;
    const { diagnostics } = this.#options;
    if (this.#holds.returned(id)) {
      diagnostics.clear(entry.subject, 'held');
      this.#unsaved.add(entry);
    }
    if (this.#ghosts.delete(id)) diagnostics.clear(entry.subject, 'kept');
  }

  /** `suspect`: why it may be an accident, however little it is. */
  #remove(vanished: readonly ObjectEntry[], suspect?: string, since = ''): void {
    // What nobody was ever given is missed by nobody, however much it is.
    for (const entry of vanished) if (!this.#mayBeGiven(entry)) this.#drop(entry);
    const given = vanished.filter((entry) => this.#mayBeGiven(entry));
    for (const [source, entries] of Map.groupBy(given, sourceOf)) {
      const heldOfSource = this.#holds.list().filter((held) => held.source === source).length;
      const all = this.#table.countOf(source, (entry) => this.#mayBeGiven(entry));
      const left = all - entries.length - heldOfSource;
      // What the log holds is not known yet: `open` judges what an earlier process knew.
      const judge = (): string | undefined => this.#holds.judge(source, entries.length, left);
      const reason = suspect ?? (this.#open ? judge() : undefined);
      for (const entry of entries) {
        if (reason === undefined) this.#drop(entry);
        else this.#hold(entry, { source, reason: since + reason, sinceMs: this.#options.now() });
      }
    }
  }

  /** Whether a version of it was accepted, here or before: until `open`, nobody knows. */
  #mayBeGiven({ id, lastGood }: ObjectEntry): boolean {
    return !this.#open || lastGood !== undefined || this.#outbox.has(id);
  }

  #hold(entry: ObjectEntry, why: Pick<HeldObject, 'source' | 'reason' | 'sinceMs'>): void {
    const { id, subject } = entry;
    this.#holds.hold({ id, subject, ...why });
    this.#unsaved.add(entry);
    const text = `its deletion is held until it is confirmed or the object returns: ${why.reason}`;
    const problems = [problem(text, 'warning')];
    this.#options.diagnostics.set({ subject, step: 'held', origin: why.source, problems });
  }

  #drop(entry: ObjectEntry): void {
    this.#options.graph.unobserve(entry.installed.emission, entry.key);
    this.#table.drop(entry);
    this.#outbox.drop(entry.id);
    this.#unsaved.add(entry);
  }

  #step(change: TableChange): void {
    this.#settle();
    const { outgoing, collisions } = this.#outbox.take();
    for (const [owner, lost] of collisions) {
      const entry = this.#table.get(owner);
      if (entry === undefined) continue;
      const problems = lost.map(({ winner }) =>
        problem(`an older object, ${winner}, stands for the same; this one has no effect`),
      );
      const { subject, origin } = entry;
      this.#options.diagnostics.set({ subject, step: 'collision', origin, problems });
    }
    const owners = new Set(outgoing.map(({ owner }) => owner));
    for (const { id, subject } of change.changed) {
      if (!owners.has(id)) this.#options.counters.suppressed('event', subject.kind, 1);
    }
    for (const entry of change.renewed) this.#unsaved.add(entry);
    this.#publish([...this.#unsaved.take(this.#table, this.#holds), ...outgoing]);
  }

  /** Brings the outbox up to date with the objects. */
  #settle(): void {
    for (const change of this.#options.graph.settle()) {
      const id = `${this.#queries.get(change.query) ?? ''}/${change.id}`;
      const entry = this.#table.get(id);
      if (entry === undefined) continue;
      this.#emitted(entry, change.failure, change.after);
    }
  }

  #emitted(
    entry: ObjectEntry,
    failure: { readonly error: unknown } | undefined,
    value: unknown,
  ): void {
    const { subject, origin } = entry;
    const { diagnostics } = this.#options;
    if (failure !== undefined || !isEmission(value)) {
      // What it gave before stays: an emitter that did not foresee an object must not take down the
      // others.
      const problems = [problem(`internal error while emitting: ${describeError(failure?.error)}`)];
      diagnostics.set({ subject, step: 'emit', origin, problems });
      return;
    }
    diagnostics.set({ subject, step: 'emit', origin, problems: value.problems });
    entry.emitted = value;
    this.#outbox.set(entry.id, value.events, value.createdMs);
  }

  #publish(outgoing: readonly (Outgoing | SavedObject)[]): void {
    if (outgoing.length === 0) return;
    this.#options.publish(
      outgoing.map((event) => {
        const { unit = '', version = '' } = this.#table.get(event.owner)?.decoded ?? {};
        return { ...event, unit, version };
      }),
    );
  }
}

/** In which it is, or was, written. */
function sourceOf({ decoded }: ObjectEntry): string {
  return decoded?.source ?? '';
}
