/**
 * What this machine last served, on its disk: so that a proxy which starts while the log or the
 * blob store is gone gets the last known full set, and so that a proxy which comes back to a
 * restarted process with a version of then is understood. A cache: a file that is damaged, of
 * another format or too old to matter is as good as none.
 *
 * `scopes/ID` says which of `types/` a scope's view is made of (parts of types: names, versions and
 * digests, by what is in them: a change writes the parts that it touches, once for all scopes that
 * have the same), `blobs/` holds the bytes by digest where the log has not, `selectors` what tells
 * scopes, `heard` when the log was last heard of. Files are replaced as a whole. Secrets are in it
 * as sealed as they are on the log.
 */
import { hash } from 'node:crypto';
import { readdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { serialize } from 'node:v8';
import { openDiskBlobs } from '@watershed/blob/disk.ts';
import type { Blob, BlobStore, Digest } from '@watershed/blob/port.ts';
import { turn } from '@watershed/log/time.ts';
import { Selectors } from '@watershed/model/gen/record.ts';
import type { Time, Timer } from '@watershed/runtime/clock.ts';
import { makeDirectory } from '@watershed/runtime/data-dir.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import { Outage } from '@watershed/runtime/outage.ts';
import { readChecked, writeChecked } from './checked-file.ts';
import { emptyView } from './session/context.ts';
import type { ScopeView } from './view/scope-view.ts';
import { SharedEntry, type StoredEntry } from './view/shared-entry.ts';
import { trieEach, trieParts, trieSize, type Trie } from './view/trie.ts';
import type { Entry, TypeView } from './view/type-view.ts';

/** Who crashes within the first minute must not have kept nothing. */
const firstMs = 2_000;

export interface ColdOptions {
  readonly dir: string;
  readonly time: Time;
  readonly logger: Logger;
  /** How long after a view has changed it is written: the newest then. Default 1 minute. */
  readonly delayMs?: number;
  /** Scopes that are kept; the longest unchanged go first. Default 1,000. */
  readonly maxScopes?: number;
}

const format = 3;

/** Of a part: a few milliseconds. Who waits for a push must not wait for all of a scope. */
const partEntries = 2_048;
/** Put in a row. Fewer would cost more: each time, pages of all the file are written. */
const blobsInRow = 2_048;

interface StoredScope {
  readonly format: number;
  readonly scope: string;
  readonly epoch: number;
  /** Names of files in `types`. */
  readonly types: readonly string[];
}

/** Some of a type's entries. */
interface StoredPart {
  readonly typeUrl: string;
  readonly entries: readonly StoredEntry[];
}

/** What is to be written; it looks up then what is newest. */
type Write = () => Promise<void>;

export class ColdStore {
  readonly #options: ColdOptions;
  readonly #outage: Outage;
  /** `undefined`: not open, or it cannot be used. */
  #blobs: BlobStore | undefined;
  readonly #pending = new Map<string, { readonly timer: Timer; readonly write: Write }>();
  /** What could not be written. */
  readonly #unkept = new Set<string>();
  readonly #newest = new Map<string, ScopeView>();
  /** Entries whose bytes are on disk. */
  readonly #kept = new WeakSet<SharedEntry>();
  /** In which files of `types` parts are: versions of a view share those that have not changed. */
  readonly #files = new WeakMap<NonNullable<Trie<Entry>>, string>();
  /** Files of `types` that are there. */
  readonly #there = new Set<string>();
  /** Which of them each scope on disk is made of, and of how many scopes each is. */
  readonly #scopes = new Map<string, readonly string[]>();
  readonly #uses = new Map<string, number>();
  /** Scopes that this process has written. */
  readonly #written = new Set<string>();
  readonly #selectors = new Map<string, Selectors>();
  #newestSelectors: Uint8Array = new Uint8Array();
  /** When the log was last heard of, ms since the Unix epoch. */
  #heardMs: number | undefined;
  /** Until it is written again. */
  #heardTimer: Timer | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: ColdOptions) {
    this.#options = options;
    this.#outage = new Outage({
      logger: options.logger,
      away: 'what is served cannot be kept for a cold start; it is tried again',
      back: 'what is served is kept for a cold start',
    });
  }

  /** A directory that cannot be used is told of, and no failure: all of this is for bad days only. */
  async open(): Promise<void> {
    const { dir, logger } = this.#options;
    try {
      for (const part of ['scopes', 'types']) {
        await makeDirectory(join(dir, part));
      }
      // What is read is read once: next to nothing is kept in memory.
      const blobs = await openDiskBlobs({ dir: join(dir, 'blobs'), maxMemoryBytes: 1024 * 1024 });
      const live = await this.#tidy();
      const heardMs = await readChecked(join(dir, 'heard'));
      if (typeof heardMs === 'number') this.#heardMs = heardMs;
      const stored = await readChecked(join(dir, 'selectors'));
      for (const [namespace, bytes] of stored instanceof Map ? stored : []) {
        if (typeof namespace !== 'string' || !(bytes instanceof Uint8Array)) continue;
        this.#selectors.set(namespace, Selectors.decode(bytes));
      }
      this.#blobs = blobs;
      // A full disk takes no clean-up, and gives what it has all the same.
      await blobs.retain(live).catch((error: unknown) => this.#outage.failed(error));
    } catch (error) {
      logger.warn('nothing can be kept for a cold start', { dir, error });
    }
  }

  /** Nothing is on disk that could be served. */
  get isEmpty(): boolean {
    const isThere = (name: string): boolean => this.#there.has(name);
    if (this.#blobs === undefined) return true;
    return ![...this.#scopes.values()].some((types) => types.every(isThere));
  }

  /** Ms since the Unix epoch; `undefined`: it is not known. */
  get heardMs(): number | undefined {
    return this.#heardMs;
  }

  /** The log was heard of then; written now and then: on disk it is never younger. */
  heard(atMs: number): void {
    const { time, delayMs = 60_000 } = this.#options;
    this.#heardMs = atMs;
    if (this.#blobs === undefined || this.#heardTimer !== undefined) return;
    this.#saveHeard();
    this.#heardTimer = time.after(delayMs, () => {
      this.#heardTimer = undefined;
    });
  }

  #saveHeard(): void {
    const file = join(this.#options.dir, 'heard');
    this.#enqueue('heard', () => writeChecked(file, serialize(this.#heardMs)));
  }

  /** What told scopes, by namespace. */
  get selectors(): ReadonlyMap<string, Selectors> {
    return this.#selectors;
  }

  /** The scope's last view; `undefined`: none is known, or not all of it. */
  async load(scope: string): Promise<ScopeView | undefined> {
    try {
      const stored = await readChecked(this.#file(scope));
      const blobs = this.#blobs;
      if (blobs === undefined || !isStoredScope(stored)) return undefined;
      return await this.#revive(stored, blobs);
    } catch (error) {
      this.#options.logger.warn('what was last served cannot be read', { scope, error });
      return undefined;
    }
  }

  /** Keeps a view: the first one soon, for what the process before kept may be old, others later. */
  save(view: ScopeView): void {
    const { delayMs = 60_000 } = this.#options;
    // The timer must not keep the view, which newer ones replace.
    const { scope } = view;
    if (this.#blobs === undefined) return;
    this.#newest.set(scope, view);
    const afterMs = this.#written.has(scope) ? delayMs : Math.min(delayMs, firstMs);
    this.#later(`scope ${scope}`, afterMs, () => this.#write(scope));
  }

  saveSelectors(selectors: ReadonlyMap<string, Selectors>): void {
    if (this.#blobs === undefined) return;
    const encoded = new Map(
      [...selectors].map(([namespace, value]) => [namespace, Selectors.encode(value).finish()]),
    );
    this.#newestSelectors = serialize(encoded);
    const file = join(this.#options.dir, 'selectors');
    this.#enqueue('selectors', () => writeChecked(file, this.#newestSelectors));
  }

  /** Writes what is pending. */
  async flush(): Promise<void> {
    const pending = [...this.#pending];
    this.#forgetPending();
    for (const [what, { write }] of pending) this.#enqueue(what, write);
    if (this.#heardTimer !== undefined) this.#saveHeard();
    this.#heardTimer?.cancel();
    this.#heardTimer = undefined;
    await this.#writing;
  }

  async close(): Promise<void> {
    await this.flush();
    this.#forgetPending();
    await this.#blobs?.close();
    this.#blobs = undefined;
  }

  #file(scope: string): string {
    return join(this.#options.dir, 'scopes', scope);
  }

  #forgetPending(): void {
    for (const { timer } of this.#pending.values()) timer.cancel();
    this.#pending.clear();
  }

  #later(what: string, afterMs: number, write: Write): void {
    if (this.#pending.has(what)) return;
    const timer = this.#options.time.after(afterMs, () => {
      this.#pending.delete(what);
      this.#enqueue(what, write);
    });
    this.#pending.set(what, { timer, write });
  }

  /**
   * One after the other: what is written late must not be older. A disk that is full has room
   * again, and what it did not take may never change.
   */
  #enqueue(what: string, write: Write): void {
    this.#writing = this.#writing.then(write).then(
      () => {
        this.#unkept.delete(what);
        if (this.#unkept.size === 0) this.#outage.worked();
      },
      (error: unknown) => {
        this.#unkept.add(what);
        this.#outage.failed(error);
        this.#later(what, this.#options.delayMs ?? 60_000, write);
      },
    );
  }

  async #write(scope: string): Promise<void> {
    const view = this.#newest.get(scope);
    if (view === undefined) return;
    await this.#writeView(scope, view);
    this.#written.add(scope);
    if (this.#newest.get(scope) === view) this.#newest.delete(scope);
  }

  async #writeView(scope: string, view: ScopeView): Promise<void> {
    const types: string[] = [];
    for (const { typeUrl, entries } of view.types.values()) {
      for (const part of trieParts(entries, partEntries)) {
        types.push(await this.#writePart(typeUrl, part));
      }
    }
    const stored: StoredScope = { format, scope, epoch: view.epoch, types };
    await writeChecked(this.#file(scope), serialize(stored));
    for (const unused of this.#use(scope, types)) {
      this.#there.delete(unused);
      await unlink(this.#typeFile(unused));
    }
  }

  /** Notes what a scope is made of now; gives what no scope is made of any more. */
  #use(scope: string, types: readonly string[]): readonly string[] {
    for (const name of types) this.#uses.set(name, (this.#uses.get(name) ?? 0) + 1);
    const before = this.#scopes.get(scope) ?? [];
    this.#scopes.set(scope, types);
    return before.filter((name) => {
      const uses = (this.#uses.get(name) ?? 0) - 1;
      if (uses > 0) this.#uses.set(name, uses);
      else this.#uses.delete(name);
      return uses <= 0;
    });
  }

  /** Gives the name of its file, which may be there. */
  async #writePart(typeUrl: string, part: Trie<Entry>): Promise<string> {
    const known = part === undefined ? undefined : this.#files.get(part);
    if (known !== undefined && this.#there.has(known)) return known;
    await turn(this.#options.time);
    const unkept: SharedEntry[] = [];
    const entries = this.#entriesOf(part, unkept);
    await this.#put(unkept);
    const stored: StoredPart = { typeUrl, entries };
    const body = serialize(stored);
    const name = hash('sha256', body);
    if (!this.#there.has(name)) await writeChecked(this.#typeFile(name), body);
    this.#there.add(name);
    // What has no bytes yet is not in it.
    if (part !== undefined && entries.length === trieSize(part)) this.#files.set(part, name);
    return name;
  }

  async #put(entries: readonly SharedEntry[]): Promise<void> {
    const unique = new Map<Digest, Blob>();
    for (const { digests, fragments } of entries) {
      for (const [index, digest] of digests.entries()) {
        const bytes = fragments?.[index];
        if (bytes !== undefined) unique.set(digest, { digest, bytes });
      }
    }
    const blobs = [...unique.values()];
    for (let at = 0; at < blobs.length; at += blobsInRow) {
      await this.#blobs?.put(blobs.slice(at, at + blobsInRow));
      await turn(this.#options.time);
    }
    for (const entry of entries) this.#kept.add(entry);
  }

  #typeFile(name: string): string {
    return join(this.#options.dir, 'types', name);
  }

  /** @param unkept takes those whose bytes are not on disk yet */
  #entriesOf(part: Trie<Entry>, unkept: SharedEntry[]): readonly StoredEntry[] {
    const entries: StoredEntry[] = [];
    trieEach(part, (entry) => {
      if (!(entry instanceof SharedEntry) || entry.fragments === undefined) return;
      const { stored } = entry;
      entries.push(stored);
      if (stored.inlined === undefined && !this.#kept.has(entry)) unkept.push(entry);
    });
    return entries;
  }

  async #revive(
    { scope, epoch, types }: StoredScope,
    blobs: BlobStore,
  ): Promise<ScopeView | undefined> {
    const views = new Map<string, TypeView>();
    for (const name of types) {
      const stored = await readChecked(this.#typeFile(name));
      if (!isStoredPart(stored)) return undefined;
      const { typeUrl, entries } = stored;
      const made = entries.map((entry) => SharedEntry.restore(entry));
      for (const entry of made) {
        if (entry.loaded) continue;
        const found = await blobs.get(entry.digests);
        const bytes = found.filter((one) => one !== undefined);
        if (bytes.length !== entry.digests.length) return undefined;
        entry.load(bytes);
      }
      views.set(typeUrl, (views.get(typeUrl) ?? emptyView(typeUrl)).with(made));
    }
    const sinceMs = this.#options.time.monotonic();
    return { scope, sequence: 0, epoch, types: views, sinceMs, trace: undefined };
  }

  /** Drops the scopes that were longest unchanged, and types that none has. The blobs of the others. */
  async #tidy(): Promise<ReadonlySet<Digest>> {
    const dir = join(this.#options.dir, 'scopes');
    const files = await Promise.all(
      (await readdir(dir)).map(async (name) => ({
        name,
        at: (await stat(join(dir, name))).mtimeMs,
      })),
    );
    files.sort((a, b) => b.at - a.at);
    for (const [index, { name }] of files.entries()) {
      const stored = await readChecked(join(dir, name));
      if (index < (this.#options.maxScopes ?? 1_000) && isStoredScope(stored)) {
        this.#use(stored.scope, stored.types);
      } else await unlink(join(dir, name));
    }
    const live = new Set<Digest>();
    for (const name of await readdir(join(this.#options.dir, 'types'))) {
      const stored = this.#uses.has(name) ? await readChecked(this.#typeFile(name)) : undefined;
      if (!isStoredPart(stored)) {
        await unlink(this.#typeFile(name));
        continue;
      }
      this.#there.add(name);
      for (const { digests } of stored.entries) for (const digest of digests) live.add(digest);
    }
    return live;
  }
}

function isStoredPart(stored: unknown): stored is StoredPart {
  return typeof stored === 'object' && stored !== null && 'entries' in stored;
}

function isStoredScope(stored: unknown): stored is StoredScope {
  return (
    typeof stored === 'object' && stored !== null && 'format' in stored && stored.format === format
  );
}
