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

/** Files that differ from what was read; `undefined`: gone. */
export type Changed = ReadonlyMap<string, SeenFile | undefined>;

export interface Taken {
  readonly updates: UnitUpdate[];
  /** Files that were read again and hold the same. */
  unchanged: number;
  /** Files that changed while they were read: for the next look. */
  moved: number;
}

type Listing = TreeListing & { kind: 'seen' };

export class KnownFiles {
  readonly #options: KnownFilesOptions;
  readonly #known = new Map<string, KnownFile>();
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

  /** Reads what changed; stops between two files when `isStopped` says so. */
  async take(changed: Changed, isStopped: () => boolean): Promise<Taken> {
    const taken: Taken = { updates: [], unchanged: 0, moved: 0 };
    for (const [path, file] of changed) {
      if (isStopped()) break;
      if (file === undefined) {
        this.#known.delete(path);
        taken.updates.push(emptyUnit(path));
      } else {
        await this.#read(file, taken);
      }
    }
    const nowMs = this.#options.time.monotonic();
    this.#movingSinceMs = taken.moved > 0 ? (this.#movingSinceMs ?? nowMs) : undefined;
    return taken;
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
    return updates;
  }

  /** Whether it is a unit of which something was told, and not that it is gone. */
  has(unit: string): boolean {
    return this.#known.has(unit) || this.#blind.has(unit);
  }

  async #read(file: SeenFile, taken: Taken): Promise<void> {
    const { limits = defaultLimits, objectsOf, isOneFile = false, time } = this.#options;
    const known = this.#known.get(file.path);
    const refuse = (reason: string): void => {
      const version = hash('sha256', file.stamp, 'hex').slice(0, 16);
      const chunks = known?.chunks ?? new Map<string, ParsedChunk>();
      this.#known.set(file.path, { stamp: file.stamp, digest: '', chunks });
      const problems = [{ line: 0, reason }];
      taken.updates.push({ unit: file.path, version, objects: [], problems });
    };
    if (file.size > limits.fileBytes) {
      refuse(`the file has ${file.size} bytes, more than ${limits.fileBytes}`);
      return;
    }
    const content = await contentOf(file);
    if (content === 'moved') {
      if (this.#isMovingTooLong()) refuse('the file changes whenever it is read');
      else taken.moved++;
      return;
    }
    if ('reason' in content) {
      refuse(content.reason);
      return;
    }
    const digest = hash('sha256', content.text, 'hex');
    if (digest === known?.digest) {
      this.#known.set(file.path, { ...known, stamp: file.stamp });
      taken.unchanged++;
      return;
    }
    const { chunks, objects, problems } = await parseFile(content.text, {
      limits,
      ...(known === undefined ? {} : { known: known.chunks }),
      ...(objectsOf === undefined ? {} : { objectsOf }),
      pause: () => new Promise((resolve) => void time.soon(resolve)),
      aside: parseAside,
    });
    this.#known.set(file.path, { stamp: file.stamp, digest, chunks });
    const isEmpty = objects.length === 0 && problems.length === 0;
    taken.updates.push({
      unit: file.path,
      version: digest.slice(0, 16),
      objects,
      problems: isOneFile && isEmpty ? [{ line: 0, reason: 'is empty' }] : problems,
    });
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
