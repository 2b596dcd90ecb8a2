/**
 * All objects of the source: where each is written, which of several places counts, and its last
 * good value.
 *
 * An object is _good_ once one version of it was accepted, by this process or an earlier one; from
 * then on its collection holds the last accepted one, whatever is written later. Of several places
 * the first one that is good counts, as if the bad ones were not written: so it is after a restart,
 * which cannot know which was good before.
 */
import { hash } from 'node:crypto';
import type { Problem, RawObject } from '../kind.ts';
import type { LocatedObject } from '../parse/objects.ts';
import type { SourceBatch, UnitUpdate } from '../source.ts';
import type { Counters } from './counters.ts';
import { problem, subjectId, type Diagnostics, type Subject } from './diagnostics.ts';
import { duplicatesOf } from './duplicates.ts';
import { identityOf } from './metadata.ts';
import { textOf, type StoredObject } from './last-good.ts';
import { byPlace, originOf, type Placement } from './placement.ts';
import {
  groupOf,
  objectKey,
  type DecodeOutcome,
  type EncodedEmission,
  type Installed,
} from './registry.ts';
import { refusedKind } from './unknown-kinds.ts';

/** Without an outcome: what was decoded before. */
interface Good extends Partial<DecodeOutcome> {
  readonly place: Placement;
}

type DecodedPlace = Pick<Placement, 'digest' | 'source' | 'unit' | 'version'>;

export interface ObjectEntry {
  readonly subject: Subject;
  readonly id: string;
  readonly installed: Installed;
  /** In the kind's collection. */
  readonly key: string;
  placements: readonly Placement[];
  /** What was decoded last: the digest of the place that counts, and where it is. */
  decoded: DecodedPlace | undefined;
  /** `unit:line` of the place that counts. */
  origin: string;
  /** Of the places that were found bad, by digest. */
  refused: ReadonlyMap<string, readonly Problem[]>;
  /** What was accepted last, and the source that it is, or was, written in. */
  lastGood: Pick<StoredObject, 'raw' | 'source'> | undefined;
  /** What it gave last; undefined before, and if the emitter failed. */
  emitted: EncodedEmission | undefined;
}

/** As it is written at the place that counts; what is written nowhere, as it was last. */
export function rawOf({ placements, decoded, lastGood }: ObjectEntry): RawObject | undefined {
  const counts = placements.find(({ digest }) => digest === decoded?.digest) ?? placements[0];
  return (counts ?? lastGood)?.raw;
}

export interface TableChange {
  /** Written nowhere any more; they stay until `drop`. */
  readonly vanished: readonly ObjectEntry[];
  /** Written somewhere, where before they were not (new ones too). */
  readonly appeared: readonly ObjectEntry[];
  /** Accepted for the first time. */
  readonly accepted: readonly ObjectEntry[];
  /** Another value than before was accepted. */
  readonly changed: readonly ObjectEntry[];
  /** `lastGood` is another than before, if only in what nothing reads. */
  readonly renewed: readonly ObjectEntry[];
}

interface Unit {
  readonly ids: ReadonlySet<string>;
  /** Objects of kinds that are not known: all that they have is a diagnostic. */
  readonly refused: readonly Subject[];
}

export class ObjectTable {
  readonly #kinds = new Map<string, Installed>();
  readonly #entries = new Map<string, ObjectEntry>();
  readonly #units = new Map<string, Unit>();
  /** Units of which some part gave no object. */
  readonly #broken = new Set<string>();
  readonly #diagnostics: Diagnostics;
  readonly #counters: Counters;
  /** Objects of documents that did not change are the same, so their digests are known. */
  readonly #digests = new WeakMap<RawObject, string>();

  constructor(kinds: readonly Installed[], diagnostics: Diagnostics, counters: Counters) {
    for (const kind of kinds) this.#kinds.set(`${kind.group}/${kind.kind}`, kind);
    this.#diagnostics = diagnostics;
    this.#counters = counters;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(id: string): ObjectEntry | undefined {
    return this.#entries.get(id);
  }

  entries(): Iterable<ObjectEntry> {
    return this.#entries.values();
  }

  /** Whether some part of a unit gave no object, so that there may be more than are known. */
  get isBroken(): boolean {
    return this.#broken.size > 0;
  }

  /** How many such objects a source holds now, by the place that counted last. */
  countOf(source: string, isSuch: (entry: ObjectEntry) => boolean): number {
    let count = 0;
    for (const entry of this.#entries.values()) {
      if (entry.decoded?.source === source && isSuch(entry)) count++;
    }
    return count;
  }

  apply(batch: SourceBatch): TableChange {
    const touched = new Set<ObjectEntry>();
    const before = new Map<ObjectEntry, boolean>();
    const touch = (entry: ObjectEntry): void => {
      touched.add(entry);
      if (!before.has(entry)) before.set(entry, entry.placements.length > 0);
    };
    for (const update of batch.updates) this.#replaceUnit(batch.source, update, touch);
    this.#counters.suppressed('unit', 'File', batch.unchanged);
    const change: { [K in keyof TableChange]: ObjectEntry[] } = {
      vanished: [],
      appeared: [],
      accepted: [],
      changed: [],
      renewed: [],
    };
    for (const entry of touched) {
      const wasThere = before.get(entry) === true;
      if (entry.placements.length === 0) {
        if (wasThere) {
          this.#counters.seen(entry.subject, 'delete');
          change.vanished.push(entry);
        }
        continue;
      }
      if (!wasThere) {
        this.#counters.seen(entry.subject, 'add');
        change.appeared.push(entry);
      }
      const { lastGood } = entry;
      if (this.#settle(entry, wasThere)) change.changed.push(entry);
      if (entry.lastGood === lastGood) continue;
      change.renewed.push(entry);
      if (lastGood === undefined) change.accepted.push(entry);
    }
    return change;
  }

  /**
   * Puts back what an earlier process knew of an object of which this one knows no good version.
   * `undefined`: no kind of today takes it as it is.
   */
  restore(subject: Subject, { raw, source }: StoredObject): ObjectEntry | undefined {
    const installed = this.#kinds.get(`${subject.group}/${subject.kind}`);
    if (installed === undefined) return undefined;
    const { accepted, problems } = installed.accept(objectKey(subject), subject, raw);
    if (accepted === undefined) return undefined;
    const known = this.#entries.get(subjectId(subject));
    const entry = known ?? this.#enter(subject, installed);
    entry.lastGood = { raw, source };
    if (known === undefined) {
      entry.decoded = { digest: digestOf(raw, installed), source, unit: '', version: '' };
      this.#diagnostics.set({ subject, step: 'decode', origin: '', problems });
    }
    return entry;
  }

  /** Forgets an object for good. */
  drop(entry: ObjectEntry): void {
    this.#entries.delete(entry.id);
    entry.installed.remove(entry.key);
    this.#diagnostics.clear(entry.subject);
  }

  #replaceUnit(source: string, update: UnitUpdate, touch: (entry: ObjectEntry) => void): void {
    const { unit } = update;
    const before = this.#units.get(unit);
    for (const subject of before?.refused ?? []) this.#diagnostics.clear(subject, 'kind');
    const found = new Map<ObjectEntry, Placement[]>();
    const refused: Subject[] = [];
    for (const located of update.objects) {
      const subject = this.#subjectOf(located);
      const entry = this.#entryOf(located, subject, unit, refused);
      if (entry === undefined) continue;
      const { raw, line } = located;
      const digest = this.#digests.get(raw) ?? digestOf(raw, entry.installed);
      this.#digests.set(raw, digest);
      const place = { source, unit, version: update.version, line, raw, digest, isLost: false };
      found.set(entry, [...(found.get(entry) ?? []), place]);
    }
    const ids = new Set([...found.keys()].map(({ id }) => id));
    for (const id of before?.ids ?? []) {
      const entry = this.#entries.get(id);
      if (entry === undefined || found.has(entry)) continue;
      touch(entry);
      const elsewhere = entry.placements.filter((placement) => placement.unit !== unit);
      // What stands in another file is not lost, whatever may be in the parts that cannot be read.
      if (update.problems.length === 0 || elsewhere.some(({ isLost }) => !isLost)) {
        entry.placements = elsewhere;
        continue;
      }
      ids.add(id);
      const kept = entry.placements.filter((placement) => placement.unit === unit);
      entry.placements = [
        ...elsewhere,
        ...kept.map((placement) => ({ ...placement, isLost: true })),
      ].sort(byPlace);
    }
    for (const [entry, placements] of found) {
      touch(entry);
      const elsewhere = entry.placements.filter((placement) => placement.unit !== unit);
      entry.placements = [...elsewhere, ...placements].sort(byPlace);
    }
    this.#tellOfUnit(update, before?.ids, found);
    if (update.problems.length > 0) this.#broken.add(unit);
    else this.#broken.delete(unit);
    if (ids.size === 0 && refused.length === 0) this.#units.delete(unit);
    else this.#units.set(unit, { ids, refused });
  }

  #subjectOf({ raw }: LocatedObject): Subject {
    const group = groupOf(raw.apiVersion);
    const namespaced = this.#kinds.get(`${group}/${raw.kind}`)?.namespaced ?? true;
    return { group, kind: raw.kind, ...identityOf(raw, namespaced) };
  }

  #entryOf(
    { raw, line }: LocatedObject,
    subject: Subject,
    unit: string,
    refused: Subject[],
  ): ObjectEntry | undefined {
    const installed = this.#kinds.get(`${subject.group}/${subject.kind}`);
    const reason = installed === undefined ? refusedKind(raw) : undefined;
    if (reason !== undefined) {
      refused.push(subject);
      this.#counters.refused(raw, 'unknown');
      const problems = [problem(reason, 'error', { field: 'apiVersion', value: raw.apiVersion })];
      this.#diagnostics.set({ subject, step: 'kind', origin: originOf({ unit, line }), problems });
    }
    if (installed === undefined) return undefined;
    return this.#entries.get(subjectId(subject)) ?? this.#enter(subject, installed);
  }

  #enter(subject: Subject, installed: Installed): ObjectEntry {
    const entry: ObjectEntry = {
      subject,
      id: subjectId(subject),
      installed,
      key: objectKey(subject),
      placements: [],
      decoded: undefined,
      origin: '',
      refused: new Map(),
      lastGood: undefined,
      emitted: undefined,
    };
    this.#entries.set(entry.id, entry);
    return entry;
  }

  /** What is wrong with the file, and with the objects that may be in its unreadable parts. */
  #tellOfUnit(
    { unit, problems }: UnitUpdate,
    before: ReadonlySet<string> | undefined,
    found: ReadonlyMap<ObjectEntry, unknown>,
  ): void {
    this.#diagnostics.set({
      subject: { group: '', kind: 'File', namespace: '', name: unit },
      step: 'parse',
      origin: unit,
      problems: problems.map(({ line, reason }) => ({
        ...problem(reason),
        origin: originOf({ unit, line }),
      })),
    });
    const [first] = problems;
    for (const entry of found.keys()) this.#diagnostics.clear(entry.subject, 'parse');
    for (const id of before ?? []) {
      const entry = this.#entries.get(id);
      if (entry === undefined || found.has(entry)) continue;
      const { subject, origin, placements } = entry;
      const lost: Problem[] = [];
      if (first !== undefined && placements.every(({ isLost }) => isLost)) {
        const why = `${originOf({ unit, line: first.line })}: ${first.reason}`;
        lost.push(problem(`its file cannot be read whole (${why}); the last good value stays`));
      }
      this.#diagnostics.set({ subject, step: 'parse', origin, problems: lost });
    }
  }

  /** Decodes what is new of the places. Returns whether the value changed. */
  #settle(entry: ObjectEntry, wasThere: boolean): boolean {
    const [first] = entry.placements;
    if (first === undefined) return false;
    const { installed, key, subject, decoded } = entry;
    const good = this.#firstGood(entry);
    const counts = good?.place ?? first;
    if (good === undefined) installed.refuse(key, subject, counts.raw);
    const origin = originOf(counts);
    if (origin !== entry.origin) {
      this.#diagnostics.moved(subject, ['decode', 'emit', 'collision', 'append'], origin);
    }
    entry.origin = origin;
    const { digest, source, unit, version } = counts;
    entry.decoded = { digest, source, unit, version };
    if (good?.accepted !== undefined) entry.lastGood = { raw: counts.raw, source };
    else if (entry.lastGood !== undefined && entry.lastGood.source !== source) {
      entry.lastGood = { ...entry.lastGood, source };
    }
    const problems = good === undefined ? entry.refused.get(digest) : good.problems;
    if (problems !== undefined) {
      this.#diagnostics.set({ subject, step: 'decode', origin, problems });
    }
    this.#diagnostics.set(duplicatesOf(entry, counts, good !== undefined));
    const isSame = decoded?.digest === digest;
    if (!isSame && wasThere) this.#counters.seen(subject, 'update');
    if (isSame || good?.accepted?.changed === false) {
      this.#counters.suppressed('object', subject.kind, 1);
    }
    return good?.accepted?.changed === true;
  }

  /** The place that counts, unless none is good. Says of those before it why they are not. */
  #firstGood(entry: ObjectEntry): Good | undefined {
    const { installed, key, subject, decoded, refused: before } = entry;
    const refused = new Map<string, readonly Problem[]>();
    entry.refused = refused;
    for (const place of entry.placements) {
      const { digest, raw } = place;
      if (refused.has(digest)) continue;
      const known = before.get(digest);
      if (known === undefined) {
        if (digest === decoded?.digest) return { place };
        const { accepted, problems } = installed.accept(key, subject, raw);
        if (accepted !== undefined) {
          this.#counters.accepted(raw);
          return { place, accepted, problems };
        }
        this.#counters.refused(raw, 'invalid');
        refused.set(digest, problems);
      } else refused.set(digest, known);
    }
    return undefined;
  }
}

function digestOf(raw: RawObject, installed: Installed): string {
  return hash('sha256', textOf(raw, installed), 'base64').slice(0, 22);
}
