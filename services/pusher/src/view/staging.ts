/**
 * Consistent cuts. What follows from configuration waits here until every partition's watermark has
 * passed its epoch, and is then applied as a whole: a route and the cluster that it names come from
 * different shards. What is ordered by itself (endpoints) does not wait; but that an assignment has
 * lost all it had goes with the next cut, as routes may be about to leave it. A tombstone is of an
 * epoch after its partition's last watermark, and waits for the next one: a cut before that still
 * lists what is gone, and Envoy would wait 15 s for the assignment of such a cluster.
 *
 * A shard that is in arrears takes several epochs in one pass, and what it writes then is of the
 * last of them: of those between nothing can be told for its partitions, even if it wrote nothing.
 * So a cut is made only where each partition stood, as its watermarks tell. That holds for the
 * first one too: where compaction has left no such epoch, the next one is waited for.
 */
import type { Change } from '@watershed/log/fold.ts';
import { XdsRecord, type Selectors } from '@watershed/model/gen/record.ts';
import { extractTraceparent } from '@watershed/runtime/tracing.ts';
import { traitsOf } from '../session/type-traits.ts';
import { hexOf } from '../wire.ts';
import { SharedEntry } from './shared-entry.ts';
import { lostAll } from './type-view.ts';
import { Watermarks } from './watermarks.ts';

export interface ManifestRecord {
  readonly scope: string;
  /** Digest of a ManifestContent. */
  readonly content: string;
}

/** Decoded changes, in order. Keys are those of the log. */
export interface Changes {
  readonly resources: ReadonlyMap<string, SharedEntry | undefined>;
  readonly manifests: ReadonlyMap<string, ManifestRecord | undefined>;
  /** By scope: contents of manifests that a later one of `manifests` replaced, in order. */
  readonly superseded: ReadonlyMap<string, readonly string[]>;
  readonly selectors: ReadonlyMap<string, Selectors | undefined>;
  /** Of the newest change that has one. */
  readonly trace: string | undefined;
  /** When the first of them arrived, on the monotonic clock. */
  readonly sinceMs: number;
}

type Item =
  | { readonly kind: 'resource'; readonly value: SharedEntry | undefined }
  | { readonly kind: 'manifest'; readonly value: ManifestRecord | undefined }
  | { readonly kind: 'selectors'; readonly value: Selectors | undefined };

interface Staged {
  readonly item: Item;
  readonly trace: string | undefined;
  /** When it arrived. */
  readonly atMs: number;
  /** When it was appended, by the log's time. */
  readonly loggedMs: number;
  /** Since when it waits. */
  readonly sinceMs: number;
  /** It was overdue, and what it adds is served; what it removes waits. */
  readonly served?: true;
}

/** What a record was, for whoever decides when to cut. */
export type Arrival = 'config' | 'endpoints' | 'watermark' | 'other';

export class Staging {
  readonly #watermarks: Watermarks;
  readonly #byEpoch = new Map<number, Map<string, Staged>>();
  #immediate = new Map<string, Staged>();
  /** Assignments that lost all they had, for the next cut. */
  readonly #emptied = new Map<string, Staged>();
  /** By partition: tombstones since its last watermark. */
  readonly #ending: readonly Map<string, Staged>[];
  #oldestMs: number | undefined;
  /** Of all records, by the log's time. */
  #newestMs = 0;

  readonly #known: (key: string) => SharedEntry | undefined;

  /** `known`: what was taken last of a key, or nothing. */
  constructor(
    partitions: number,
    known: (key: string) => SharedEntry | undefined = () => undefined,
  ) {
    this.#known = known;
    this.#watermarks = new Watermarks(partitions);
    this.#ending = Array.from({ length: partitions }, () => new Map<string, Staged>());
  }

  /** Where the next cut is made. */
  get epoch(): number {
    return this.#watermarks.common;
  }

  /** The first that is waited for; 0: none is. */
  get waitingEpoch(): number {
    return this.#byEpoch.size === 0 ? 0 : Math.min(...this.#byEpoch.keys());
  }

  /** Partitions whose watermarks have not passed an epoch, ascending. */
  behind(epoch: number): readonly number[] {
    return this.watermarks.flatMap((passed, partition) => (passed < epoch ? [partition] : []));
  }

  get watermarks(): readonly number[] {
    return this.#watermarks.newest;
  }

  /** Since when something waits for a watermark; `undefined`: nothing does. */
  get waitingSinceMs(): number | undefined {
    return this.#oldestMs;
  }

  /** Whether anything waits for a watermark, served or not. */
  get pending(): boolean {
    return this.#byEpoch.size > 0;
  }

  /** Whether a cut would change something. */
  get ready(): boolean {
    const { epoch } = this;
    for (const staged of this.#byEpoch.keys()) if (staged <= epoch) return true;
    return false;
  }

  /** Throws if the record cannot be decoded; then it changes nothing. */
  put(partition: number, change: Change, atMs: number): Arrival {
    const { key, value } = change;
    const loggedMs = change.record?.timestampMs ?? 0;
    this.#newestMs = Math.max(this.#newestMs, loggedMs);
    if (key.startsWith('w|')) {
      const epoch = value === undefined ? 0 : watermarkOf(value);
      const ended = this.#end(partition, epoch);
      return this.#watermarks.tell(partition, epoch) || ended ? 'watermark' : 'other';
    }
    const decoded = this.#decode(key, value);
    if (decoded === undefined) return 'other';
    const { item, epoch } = decoded;
    const trace =
      change.record === undefined ? undefined : extractTraceparent(change.record.headers);
    const staged: Staged = { item, trace, atMs, loggedMs, sinceMs: atMs };
    // It is newer than what waits under its key, also where that is of a later epoch: then the log
    // has gone back.
    this.#forget(key, epoch);
    const ending = this.#ending[partition];
    ending?.delete(key);
    if (ending !== undefined && isListed(key, item)) {
      ending.set(key, staged);
      return 'other';
    }
    if (epoch === 0 && this.#isEmptied(key, item)) {
      this.#immediate.delete(key);
      this.#emptied.set(key, staged);
      return 'config';
    }
    if (epoch === 0) {
      this.#emptied.delete(key);
      this.#immediate.set(key, staged);
      return item.kind === 'resource' ? 'endpoints' : 'config';
    }
    // What goes and comes back does not blink.
    if (this.#immediate.get(key)?.item.value === undefined) this.#immediate.delete(key);
    this.#stage(key, staged, epoch);
    return 'config';
  }

  #isEmptied(key: string, { value }: Item): boolean {
    return value instanceof SharedEntry && value.isEmpty && lostAll(this.#known(key), value);
  }

  #stage(key: string, staged: Staged, epoch: number): void {
    let same = this.#byEpoch.get(epoch);
    if (same === undefined) this.#byEpoch.set(epoch, (same = new Map<string, Staged>()));
    same.set(key, staged);
    this.#oldestMs ??= staged.sinceMs;
  }

  /**
   * All that was on the log is read. What the log has gone on for a while without was served as
   * overdue, by the process before this one too: to wait for it anew would take clients back.
   */
  begin(nowMs: number): void {
    for (const byKey of this.#byEpoch.values()) {
      for (const [key, staged] of byKey) {
        const waitedMs = this.#newestMs - staged.loggedMs;
        byKey.set(key, { ...staged, sinceMs: Math.min(staged.sinceMs, nowMs - waitedMs) });
      }
    }
    this.#measure();
  }

  /** What ended in a partition until its watermark waits for others' as all of that epoch does. */
  #end(partition: number, epoch: number): boolean {
    const ending = this.#ending[partition];
    if (ending === undefined || ending.size === 0) return false;
    for (const [key, staged] of ending) this.#stage(key, staged, epoch);
    ending.clear();
    return true;
  }

  #decode(key: string, value: Uint8Array | undefined): ReturnType<typeof decode> {
    // Of most endpoints in a flood nobody here asks for more than that they changed.
    const next = value === undefined ? undefined : this.#known(key)?.next(value);
    return next === undefined
      ? decode(key, value)
      : { item: { kind: 'resource', value: next }, epoch: 0 };
  }

  /**
   * Nothing of this key waits for an epoch after that one, nor a tombstone for any: what is newer
   * may be taken before it.
   */
  #forget(key: string, after: number): void {
    for (const [epoch, waiting] of this.#byEpoch) {
      if (epoch <= after && waiting.get(key)?.item.value !== undefined) continue;
      if (waiting.delete(key) && waiting.size === 0) this.#byEpoch.delete(epoch);
    }
  }

  /** What does not wait. */
  takeImmediate(): Changes | undefined {
    const taken = this.#immediate;
    this.#immediate = new Map();
    return taken.size === 0 ? undefined : changesOf(taken);
  }

  /** What every partition's watermark has passed, and what does not wait. */
  takeCut(): Changes | undefined {
    const { epoch } = this;
    this.#watermarks.passed(epoch);
    // What waited under these keys when they came was dropped: what waits there now is newer.
    const taken = new Map([...this.#immediate, ...this.#emptied]);
    this.#immediate = new Map();
    this.#emptied.clear();
    const superseded = new Map<string, readonly string[]>();
    const passed = [...this.#byEpoch.keys()].filter((staged) => staged <= epoch);
    for (const one of passed.sort((a, b) => a - b)) {
      for (const [key, staged] of this.#byEpoch.get(one) ?? []) {
        const before = taken.get(key)?.item;
        if (before?.kind === 'manifest' && before.value !== undefined) {
          const { scope, content } = before.value;
          superseded.set(scope, [...(superseded.get(scope) ?? []), content]);
        }
        taken.set(key, staged);
      }
      this.#byEpoch.delete(one);
    }
    this.#measure();
    return taken.size === 0 ? undefined : changesOf(taken, superseded);
  }

  /**
   * All that waits, though a watermark is missing. Resources are taken; tombstones stay, and
   * manifests, because what they remove must go on waiting.
   */
  takeOverdue(): Changes | undefined {
    const taken = new Map<string, Staged>();
    for (const epoch of [...this.#byEpoch.keys()].sort((a, b) => a - b)) {
      const byKey = this.#byEpoch.get(epoch) ?? new Map<string, Staged>();
      for (const [key, staged] of byKey) {
        if (staged.served === true) continue;
        const { kind, value } = staged.item;
        const ends = kind === 'resource' && value === undefined;
        if (!ends) taken.set(key, staged);
        if (ends || kind === 'manifest') byKey.set(key, { ...staged, served: true });
        else byKey.delete(key);
      }
      if (byKey.size > 0) continue;
      this.#byEpoch.delete(epoch);
    }
    this.#measure();
    return taken.size === 0 ? undefined : changesOf(taken);
  }

  #measure(): void {
    this.#oldestMs = undefined;
    for (const staged of this.#byEpoch.values()) {
      for (const { sinceMs, served } of staged.values()) {
        if (served !== true) this.#oldestMs = Math.min(this.#oldestMs ?? sinceMs, sinceMs);
      }
    }
  }
}

/** A tombstone of what manifests list. What is in no order (workloads, for one) goes at once. */
function isListed(key: string, { kind, value }: Item): boolean {
  if (kind !== 'resource' || value !== undefined) return false;
  return traitsOf(key.split('|', 2)[1] ?? '').stage !== 'other';
}

function watermarkOf(value: Uint8Array): number {
  const { record } = XdsRecord.decode(value);
  return record?.$case === 'watermark' ? record.value.epoch : 0;
}

function decode(
  key: string,
  value: Uint8Array | undefined,
): { readonly item: Item; readonly epoch: number } | undefined {
  if (value === undefined) {
    const kinds = { r: 'resource', m: 'manifest', s: 'selectors' } as const;
    const kind = Object.entries(kinds).find(([letter]) => key.startsWith(`${letter}|`))?.[1];
    return kind === undefined ? undefined : { item: { kind, value }, epoch: 0 };
  }
  const { record, epoch } = XdsRecord.decode(value);
  switch (record?.$case) {
    case 'resource':
      return { item: { kind: 'resource', value: SharedEntry.of(record.value, key) }, epoch };
    case 'manifest': {
      const { scope, content } = record.value;
      return { item: { kind: 'manifest', value: { scope, content: hexOf(content) } }, epoch };
    }
    case 'selectors':
      return { item: { kind: 'selectors', value: record.value }, epoch };
    case 'watermark':
    case undefined:
      return undefined;
  }
}

function changesOf(
  taken: ReadonlyMap<string, Staged>,
  superseded: Changes['superseded'] = new Map(),
): Changes {
  const resources = new Map<string, SharedEntry | undefined>();
  const manifests = new Map<string, ManifestRecord | undefined>();
  const selectors = new Map<string, Selectors | undefined>();
  let trace: string | undefined;
  let sinceMs = Number.POSITIVE_INFINITY;
  for (const [key, staged] of taken) {
    trace = staged.trace ?? trace;
    sinceMs = Math.min(sinceMs, staged.atMs);
    const { kind, value } = staged.item;
    if (kind === 'resource') resources.set(key, value);
    else if (kind === 'manifest') manifests.set(key.slice('m|'.length), value);
    else selectors.set(key.slice('s|'.length), value);
  }
  return { resources, manifests, superseded, selectors, trace, sinceMs };
}
