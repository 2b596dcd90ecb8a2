/**
 * The files that were read: how they were then, which are different now, and what is new in those.
 */
import { hash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Time } from '@watershed/runtime/clock.ts';
import { describeError } from '@watershed/runtime/errors.ts';
import { type ParsedChunk } from '../parse/documents.ts';
import { defaultLimits, type ParsedDocument, type ParseLimits } from '../parse/limits.ts';
import { parseAside } from '../parse/aside.ts';
import { parseFile, type DocumentObjects } from '../parse/objects.ts';
import type { UnitUpdate } from '../source.ts';
import { lookAt, type Blind, type SeenFile, type TreeListing } from './tree.ts';

export interface KnownFilesOptions {
  readonly time: Time;
  readonly limits?: ParseLimits;
  /** What a document holds; default: Kubernetes objects. */
  readonly objectsOf?: (document: ParsedDocument) => DocumentObjects;
  /** A file without objects is one that cannot be read; default: it is none. */
  readonly isOneFile?: boolean;
  /** A file that another source reads. */
  readonly except?: string | undefined;
  /** A file that changes whenever it is read is given up after that. */
  readonly maxWaitMs: number;
}

interface KnownFile {
  /** What `stat` said when it was read. */
  readonly stamp: string;
  readonly digest: string;
  readonly chunks: ReadonlyMap<string, ParsedChunk>;
}

/** A file that was read, and what is to be told of it; `undefined`: it holds the same. */
interface ReadFile {
  readonly known: KnownFile;
  readonly update: UnitUpdate | undefined;
}

/** Files that differ from what was read; `undefined`: gone. */
export type Changed = ReadonlyMap<string, SeenFile | undefined>;

export interface Taken {
  readonly updates: readonly UnitUpdate[];
  /** Files that were read again and hold the same. */
  readonly unchanged: number;
  /** Files that changed while they were read: for the next look. */
  readonly moved: number;
}

export interface TakeOptions {
  /** Ends it between two files. */
  readonly isStopped: () => boolean;
  /** Takes what can be had, even if some files change while they are read. */
  readonly isPartial: boolean;
}

type Listing = TreeListing & { kind: 'seen' };

export class KnownFiles {
  readonly #options: KnownFilesOptions;
  readonly #known = new Map<string, KnownFile>();
  /** Files that were read, and wait for others that changed meanwhile. */
  readonly #ahead = new Map<string, ReadFile>();
  /** What could not be looked at, at the last look. */
  #blind: ReadonlySet<string> = new Set();
  /** Since when some file changes whenever it is read. */
  #movingSinceMs: number | undefined;

  constructor(options: KnownFilesOptions) {
    this.#options = options;
  }

  /** Of a whole tree. */
  changedIn({ files, blind }: Listing): Changed {
    const changed = new Map<string, SeenFile | undefined>();
    for (const [path, file] of files) {
      if (path === this.#options.except) continue;
      if (this.#known.get(path)?.stamp !== file.stamp) changed.set(path, file);
    }
    for (const path of this.#known.keys()) {
      if (files.has(path)) continue;
      const isBelow = blind.some((at) => path === at.path || path.startsWith(`${at.path}/`));
      if (!isBelow) changed.set(path, undefined);
    }
    return changed;
  }

  /**
   * Of some paths; undefined if one cannot, or could not, be looked at: that is for a look at the
   * whole tree.
   */
  async changedAmong(paths: Iterable<string>): Promise<Changed | undefined> {
    const changed = new Map<string, SeenFile | undefined>();
    for (const path of paths) {
      if (path === this.#options.except) continue;
      const file = await lookAt(path);
      if (file === 'blind' || this.#blind.has(path)) return undefined;
      const known = this.#known.get(path);
      if (known?.stamp !== file?.stamp) changed.set(path, file);
    }
    return changed;
  }

  /**
   * Reads what changed: all of it as it was seen, or nothing. For a part of an edit may take away
   * what another part, which is still being written, has elsewhere.
   */
  async take(changed: Changed, { isStopped, isPartial }: TakeOptions): Promise<Taken> {
    let moved = 0;
    for (const file of changed.values()) {
      if (isStopped()) return { updates: [], unchanged: 0, moved };
      if (file === undefined || this.#ahead.get(file.path)?.known.stamp === file.stamp) continue;
      this.#ahead.delete(file.path);
      const read = await this.#read(file);
      if (read === 'moved') moved++;
      else this.#ahead.set(file.path, read);
    }
    const nowMs = this.#options.time.monotonic();
    this.#movingSinceMs = moved > 0 ? (this.#movingSinceMs ?? nowMs) : undefined;
    if (moved > 0 && !isPartial) return { updates: [], unchanged: 0, moved };
    return { ...this.#accept(changed), moved };
  }

  #accept(changed: Changed): Omit<Taken, 'moved'> {
    const updates: UnitUpdate[] = [];
    let unchanged = 0;
    for (const [path, file] of changed) {
      const read = this.#ahead.get(path);
      if (file === undefined) {
        this.#known.delete(path);
        updates.push(emptyUnit(path));
      } else if (read !== undefined) {
        this.#known.set(path, read.known);
        if (read.update === undefined) unchanged++;
        else updates.push(read.update);
      }
    }
    this.#ahead.clear();
    return { updates, unchanged };
  }

  /** Whether other paths than before cannot be looked at. */
  isOtherwiseBlind(blind: readonly Blind[]): boolean {
    return blind.length !== this.#blind.size || blind.some(({ path }) => !this.#blind.has(path));
  }

  /**
   * A path that cannot be looked at is a unit of which no part can be read. What is a file there
   * again is read anew, and its update goes after these.
   */
  takeBlind(blind: readonly Blind[]): readonly UnitUpdate[] {
    const before = this.#blind;
    this.#blind = new Set(blind.map(({ path }) => path));
    const seenAgain = [...before].filter((path) => !this.#blind.has(path));
    const added = blind.filter(({ path }) => !before.has(path));
    for (const { path } of added) this.#known.delete(path);
    const updates = added.map(({ path, reason }) => ({
      ...emptyUnit(path),
      problems: [{ line: 0, reason }],
    }));
    return [...updates, ...seenAgain.map(emptyUnit)];
  }

  /** Forgets all, as if nothing had been read: updates that say so. */
  forget(): readonly UnitUpdate[] {
    const updates = [...this.#known.keys()].map(emptyUnit);
    this.#known.clear();
    this.#ahead.clear();
    return updates;
  }

  /** Whether it is a unit of which something was told, and not that it is gone. */
  has(unit: string): boolean {
    return this.#known.has(unit) || this.#blind.has(unit);
  }

  async #read(file: SeenFile): Promise<ReadFile | 'moved'> {
    const { limits = defaultLimits, objectsOf, isOneFile = false, time } = this.#options;
    const known = this.#known.get(file.path);
    const refuse = (reason: string): ReadFile => {
      const version = hash('sha256', file.stamp, 'hex').slice(0, 16);
      const chunks = known?.chunks ?? new Map<string, ParsedChunk>();
      const problems = [{ line: 0, reason }];
      return {
        known: { stamp: file.stamp, digest: '', chunks },
        update: { unit: file.path, version, objects: [], problems },
      };
    };
    if (file.size > limits.fileBytes) {
      return refuse(`the file has ${file.size} bytes, more than ${limits.fileBytes}`);
    }
    const content = await contentOf(file);
    if (content === 'moved') {
      return this.#isMovingTooLong() ? refuse('the file changes whenever it is read') : 'moved';
    }
    if ('reason' in content) return refuse(content.reason);
    const digest = hash('sha256', content.text, 'hex');
    if (digest === known?.digest) {
      return { known: { ...known, stamp: file.stamp }, update: undefined };
    }
    const { chunks, objects, problems } = await parseFile(content.text, {
      limits,
      ...(known === undefined ? {} : { known: known.chunks }),
      ...(objectsOf === undefined ? {} : { objectsOf }),
      pause: () => new Promise((resolve) => void time.soon(resolve)),
      aside: parseAside,
    });
    const isEmpty = objects.length === 0 && problems.length === 0;
    return {
      known: { stamp: file.stamp, digest, chunks },
      update: {
        unit: file.path,
        version: digest.slice(0, 16),
        objects,
        problems: isOneFile && isEmpty ? [{ line: 0, reason: 'is empty' }] : problems,
      },
    };
  }

  #isMovingTooLong(): boolean {
    const { time, maxWaitMs } = this.#options;
    const sinceMs = this.#movingSinceMs;
    return sinceMs !== undefined && time.monotonic() - sinceMs >= maxWaitMs;
  }
}

function emptyUnit(unit: string): UnitUpdate {
  return { unit, version: '', objects: [], problems: [] };
}

/** `moved`: it changed while it was read, so the next look finds it changed again. */
async function contentOf(
  file: SeenFile,
): Promise<{ readonly text: string } | { readonly reason: string } | 'moved'> {
  try {
    const bytes = await readFile(file.path);
    const after = await lookAt(file.path);
    if (after === undefined || after === 'blind' || after.stamp !== file.stamp) return 'moved';
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) };
  } catch (error) {
    if ((await lookAt(file.path)) === undefined) return 'moved';
    return { reason: `cannot be read: ${describeError(error)}` };
  }
}
