/**
 * The ingester's core: what sources hold → what the log should hold, one step per batch.
 *
 *     batch ─► table (places, last good) ─► holds ─► graph (emit) ─► outbox (claims) ─► publish
 *
 * Nothing is published before `open`: until all sources are listed, what is absent says nothing.
 */
import type { Graph } from '@watershed/derive/graph.ts';
import { Event } from '@watershed/model/gen/model.ts';
import { configKey, parseConfigKey, topics, type ConfigKey } from '@watershed/model/keys.ts';
import type { RawObject, SourceSettings, World } from '../kind.ts';
import type { Sink, SourceBatch } from '../source.ts';
import type { Counters } from './counters.ts';
import { problem, type Diagnostics, type Subject } from './diagnostics.ts';
import { defaultHoldLimits, Holds, type HeldObject, type HoldLimits } from './holds.ts';
import { findsFault, Inherited, type StoredEvent } from './inherited.ts';
import { ObjectTable, rawOf, type ObjectEntry, type TableChange } from './objects.ts';
import { Outbox, type Outgoing } from './outbox.ts';
import { KindWorld, type EncodedEmission, type Installed, type Registration } from './registry.ts';

export interface IngestOptions {
  readonly graph: Graph;
  readonly kinds: readonly Registration[];
  readonly settings: SourceSettings;
  readonly seal: World['seal'];
  readonly diagnostics: Diagnostics;
  readonly counters: Counters;
  /** Milliseconds since the Unix epoch. */
  readonly now: () => number;
  readonly monotonicMs: () => number;
  readonly holdLimits?: HoldLimits;
  /** Takes what the log should hold now; may be called again before it is there. */
  readonly publish: (outgoing: readonly PublishedEvent[]) => void;
}

export interface PublishedEvent extends Outgoing {
  /** The file (or API object) that it comes from, and its version; empty if that is gone. */
  readonly unit: string;
  readonly version: string;
  /** Of the object, as far as it is decoded. */
  readonly digest: string;
  /** Why its deletion is held. Absent: it is not. */
  readonly held?: string | undefined;
}

/** An object as people see it. */
export interface ObjectView extends Subject {
  /** As it is written at the place that counts; absent: nowhere any more. */
  readonly raw: RawObject | undefined;
  readonly origin: string;
  /** `held`: written nowhere any more. `refused`: no version of it was ever good. */
  readonly state: 'good' | 'last good' | 'refused' | 'held';
}

/** The name of the source marker's owner; no object has such an id. */
const markerOwner = 'source';
/** In diagnostics and holds, what is found on the log and in no source. */
const logSource = 'log';
const noChange: TableChange = { vanished: [], appeared: [], accepted: [], changed: [] };

export class Ingest implements Sink {
  /** What it reads. */
  readonly kinds: readonly Pick<Installed, 'apiVersions' | 'kind'>[];
  readonly #options: IngestOptions;
  readonly #table: ObjectTable;
  readonly #holds: Holds;
  readonly #outbox = new Outbox();
  readonly #queries = new Map<object, string>();
  readonly #inherited: Inherited;
  /** Objects that are held now, or are no more: their records have to say so. */
  readonly #remarked = new Set<string>();
  #open = false;

  constructor(options: IngestOptions) {
    this.#options = options;
    const { graph, settings, seal, diagnostics, counters } = options;
    const world = new KindWorld(graph, settings, seal);
    const installed = options.kinds.map((kind) => kind.install(world));
    this.kinds = installed;
    for (const { group, kind, emission } of installed) {
      this.#queries.set(emission, `${group}/${kind}`);
    }
    this.#table = new ObjectTable(installed, diagnostics, counters);
    this.#inherited = new Inherited(this.#table, this.#outbox);
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
    return entries.map((entry) => ({
      ...entry.subject,
      raw: rawOf(entry),
      origin: entry.origin,
      state: this.#stateOf(entry),
    }));
  }

  /** What is said on the log of the configuration of one kind, by key. */
  told(kind: ConfigKey['kind']): readonly (readonly [ConfigKey, Event])[] {
    return this.#outbox.values().flatMap(({ topic, key, value }) => {
      const parsed = topic === topics.config ? parseConfigKey(key) : undefined;
      return parsed?.kind === kind ? [[parsed, Event.decode(value)] as const] : [];
    });
  }

  #stateOf(entry: ObjectEntry): ObjectView['state'] {
    if (this.#holds.has(entry.id)) return 'held';
    if (!entry.installed.has(entry.key)) return 'refused';
    const found = this.#options.diagnostics.of(entry.subject);
    const isBad = found.some(
      ({ severity, step }) => severity === 'error' && (step === 'decode' || step === 'parse'),
    );
    return isBad ? 'last good' : 'good';
  }

  apply(batch: SourceBatch): void {
    const change = this.#table.apply(batch);
    for (const entry of change.appeared) this.#returned(entry);
    for (const entry of change.accepted) {
      this.#options.graph.observe(entry.installed.emission, entry.key);
    }
    this.#remove(batch, change.vanished);
    this.#layGhosts(batch);
    if (this.#open) this.#step(change);
  }

  trouble(source: string, reason: string | undefined): void {
    const subject = { group: '', kind: 'Source', namespace: '', name: source };
    const problems = reason === undefined ? [] : [problem(reason)];
    this.#options.diagnostics.set({ subject, step: 'source', origin: source, problems });
  }

  /**
   * All sources are listed, and `stored` is what the log holds: publishes the difference, and from
   * now on every change. Records of objects that are gone become tombstones, unless they are so
   * many that they are held; records of blind objects stay, because they are the last good value.
   */
  open(stored: readonly StoredEvent[]): void {
    this.#settle();
    const inherited = stored.filter(({ key }) => key !== this.#markerKey());
    for (const owner of this.#inherited.keep(inherited)) this.#tellOfKept(owner);
    const tombstones = this.#judgeOrphans(inherited);
    for (const owner of this.#inherited.doubt(inherited, this.#isHeldOnLog)) {
      const entry = this.#table.get(owner);
      if (entry !== undefined && findsFault(entry)) this.#tellOfKept(owner);
    }
    this.#open = true;
    this.#publish(tombstones.filter(({ topic, key }) => !this.#outbox.claims(topic, key)));
    this.#step(noChange);
  }

  /**
   * Records that no object gives any more: held, if they were, or if the objects of too many of
   * them are gone.
   */
  #judgeOrphans(stored: readonly StoredEvent[]): readonly Outgoing[] {
    const owners = new Set(stored.map(({ owner }) => owner));
    const orphans = stored.filter(({ topic, key }) => !this.#outbox.claims(topic, key));
    const gone = new Map(orphans.map(({ owner, held }) => [owner, held] as const));
    for (const owner of gone.keys()) if (this.#table.get(owner) !== undefined) gone.delete(owner);
    const left = owners.size - gone.size;
    for (const [owner, held] of gone) {
      if (held === undefined) continue;
      this.#hold(owner, logSource, held);
      gone.delete(owner);
    }
    const reason = this.#holds.judge(logSource, gone.size, left);
    for (const owner of reason === undefined ? [] : gone.keys()) {
      this.#hold(owner, logSource, `since the last run, ${reason}`);
    }
    const tombstones: Outgoing[] = [];
    for (const event of orphans) {
      const { topic, key, owner } = event;
      if (this.#holds.has(owner)) this.#outbox.retain(owner, event);
      else tombstones.push({ topic, key, value: undefined, owner });
    }
    return tombstones;
  }

  /** Whether something is held that is on the log alone: nothing can be told of it. */
  readonly #isHeldOnLog = (): boolean =>
    this.#holds.list().some(({ id }) => this.#table.get(id) === undefined);

  #tellOfKept(owner: string): void {
    const entry = this.#table.get(owner);
    const { subject = subjectOf(owner), origin = '' } = entry ?? {};
    const text = reasonToKeep(entry);
    const problems = [problem(text, 'warning')];
    this.#options.diagnostics.set({ subject, step: 'kept', origin, problems });
  }

  #layGhosts({ source }: SourceBatch): void {
    const gone = this.#inherited.layGhosts();
    if (gone.length === 0) return;
    for (const owner of gone) this.#options.diagnostics.clear(subjectOf(owner), 'kept');
    const reason = this.#holds.judge(source, gone.length, this.#table.countOf(source));
    for (const owner of gone) {
      if (reason === undefined) this.#outbox.drop(owner);
      else this.#hold(owner, source, reason);
    }
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
      digest: '',
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
      this.#holds.dissolve(id);
      this.#options.diagnostics.clear(subject);
      const entry = this.#table.get(id);
      if (entry === undefined) this.#outbox.drop(id);
      else this.#drop(entry);
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
    if (this.#holds.dissolve(id)) {
      diagnostics.clear(entry.subject, 'held');
      this.#remarked.add(id);
    }
    if (this.#inherited.appeared(id)) diagnostics.clear(entry.subject, 'kept');
  }

  #remove({ source, suspect }: SourceBatch, vanished: readonly ObjectEntry[]): void {
    const bySource = Map.groupBy(vanished, (entry) => entry.decoded?.source ?? source);
    for (const [name, entries] of bySource) {
      const heldOfSource = this.#holds.list().filter((held) => held.source === name).length;
      const left = this.#table.countOf(name) - entries.length - heldOfSource;
      // What the log holds is not known yet: `open` judges what an earlier process knew.
      const reason =
        suspect ?? (this.#open ? this.#holds.judge(name, entries.length, left) : undefined);
      for (const entry of entries) {
        if (reason === undefined) this.#drop(entry);
        else this.#hold(entry.id, name, reason);
      }
    }
  }

  #hold(id: string, source: string, reason: string): void {
    const subject = this.#table.get(id)?.subject ?? subjectOf(id);
    this.#holds.hold({ id, subject, source, reason, sinceMs: this.#options.now() });
    this.#remarked.add(id);
    const text = `its deletion is held until it is confirmed or the object returns: ${reason}`;
    const problems = [problem(text, 'warning')];
    this.#options.diagnostics.set({ subject, step: 'held', origin: source, problems });
  }

  #drop(entry: ObjectEntry): void {
    this.#options.graph.unobserve(entry.installed.emission, entry.key);
    this.#table.drop(entry);
    this.#outbox.drop(entry.id);
  }

  #step(change: TableChange): void {
    this.#settle();
    for (const entry of this.#inherited.cleared(this.#isHeldOnLog)) {
      this.#options.diagnostics.clear(entry.subject, 'kept');
      const { events = [], createdMs = 0 } = entry.emitted ?? {};
      this.#outbox.set(entry.id, events, createdMs);
    }
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
    this.#publish(outgoing);
    this.#publish([...this.#remarked].flatMap((id) => this.#outbox.of(id)));
    this.#remarked.clear();
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
      const problems = [problem(`internal error while emitting: ${messageOf(failure?.error)}`)];
      diagnostics.set({ subject, step: 'emit', origin, problems });
      return;
    }
    diagnostics.set({ subject, step: 'emit', origin, problems: value.problems });
    entry.emitted = value;
    if (this.#open && this.#inherited.doubts(entry, this.#isHeldOnLog)) {
      this.#tellOfKept(entry.id);
      return;
    }
    diagnostics.clear(subject, 'kept');
    this.#outbox.set(entry.id, value.events, value.createdMs);
  }

  #publish(outgoing: readonly Outgoing[]): void {
    if (outgoing.length === 0) return;
    this.#options.publish(
      outgoing.map((event) => {
        const {
          unit = '',
          version = '',
          digest = '',
        } = this.#table.get(event.owner)?.decoded ?? {};
        return { ...event, unit, version, digest, held: this.#holds.reasonOf(event.owner) };
      }),
    );
  }
}

function reasonToKeep(entry: ObjectEntry | undefined): string {
  if (entry === undefined) {
    return 'is in no file that can be read, and some file cannot be read whole: the last good value stays';
  }
  if (!entry.installed.has(entry.key)) return 'the last good value, of before the start, stays';
  return 'what it refers to may be what cannot be read, or is held: the last good value stays';
}

function subjectOf(id: string): HeldObject['subject'] {
  const [group = '', kind = '', namespace = '', name = ''] = id.split('/');
  return { group, kind, namespace, name };
}

function isEmission(value: unknown): value is EncodedEmission {
  return typeof value === 'object' && value !== null && 'events' in value && 'createdMs' in value;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
