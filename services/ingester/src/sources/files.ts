/**
 * Directories (and single files) of YAML or JSON, read and watched.
 *
 * A notification only says "look": each look lists the tree and compares what `stat` says of every
 * file, so that atomic renames, swapped symlinks (a mounted ConfigMap's `..data`) and lost
 * notifications are all the same. What differs is taken when it has stayed the same for a while, so
 * that a file half written is not read; all that changed together is handed over together; and only
 * what has another digest is parsed.
 */
import { hash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Time, Timer } from '@watershed/runtime/clock.ts';
import { describeError } from '@watershed/runtime/errors.ts';
import {
  defaultLimits,
  type ParsedChunk,
  type ParsedDocument,
  type ParseLimits,
} from '../parse/documents.ts';
import { parseFile, type DocumentObjects } from '../parse/objects.ts';
import type { Sink, Source, UnitUpdate } from '../source.ts';
import { Settling } from './settling.ts';
import { listTree, lookAt, type SeenFile, type TreeListing } from './tree.ts';
import type { Watch, Watching } from './watch.ts';

export interface FileTimes {
  /** How long a changed file must stay the same before it is read. Editors write in less. */
  readonly quietMs: number;
  /** The same for a file that became empty: some editors cut a file off and write it again. */
  readonly emptyQuietMs: number;
  /** A file that never stays the same is read after that. */
  readonly maxWaitMs: number;
  /** Looks without a notification: network file systems send none. */
  readonly rescanMs: number;
}

export const defaultFileTimes: FileTimes = {
  quietMs: 50,
  emptyQuietMs: 1_000,
  maxWaitMs: 2_000,
  rescanMs: 10_000,
};

export interface FileSourceOptions {
  readonly name: string;
  /** A directory, or one file. */
  readonly path: string;
  readonly time: Time;
  readonly watch: Watch;
  readonly times?: FileTimes;
  readonly limits?: ParseLimits;
  /** What a document holds; default: Kubernetes objects. */
  readonly objectsOf?: (document: ParsedDocument) => DocumentObjects;
}

interface KnownFile {
  /** What `stat` said when it was read. */
  readonly stamp: string;
  readonly digest: string;
  readonly chunks: ReadonlyMap<string, ParsedChunk>;
  readonly size: number;
}

interface Taken {
  readonly updates: UnitUpdate[];
  unchanged: number;
  /** Files that changed while they were read: for the next look. */
  moved: number;
}

export class FileSource implements Source {
  readonly name: string;
  readonly #options: FileSourceOptions;
  readonly #times: FileTimes;
  readonly #known = new Map<string, KnownFile>();
  readonly #settling: Settling;
  /** What could not be looked at, at the last look. */
  #blind: ReadonlySet<string> = new Set();
  #watching: Watching | undefined;
  #timer: Timer | undefined;
  #looking: Promise<void> | undefined;
  #notified = false;
  #stopped = false;
  /** Whether the root was there at the last look. */
  #present = false;
  #listed: (() => void) | undefined;
  /** Since when some file changes whenever it is read. */
  #movingSinceMs: number | undefined;

  constructor(options: FileSourceOptions) {
    this.name = options.name;
    this.#options = options;
    this.#times = options.times ?? defaultFileTimes;
    this.#settling = new Settling(this.#times);
  }

  start(sink: Sink): Promise<void> {
    return new Promise((resolve) => {
      this.#listed = resolve;
      this.#look(sink);
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#looking;
    await this.#watching?.close();
  }

  /** Looks now; while a look is under way, once more after it. */
  #look(sink: Sink): void {
    if (this.#stopped) return;
    this.#timer?.cancel();
    if (this.#looking !== undefined) {
      this.#notified = true;
      return;
    }
    this.#notified = false;
    this.#looking = this.#once(sink).then((nextMs) => {
      this.#looking = undefined;
      if (this.#stopped) return;
      if (this.#notified) this.#look(sink);
      else this.#timer = this.#options.time.after(nextMs, () => this.#look(sink));
    });
  }

  /** One look. Returns after how long the next one is due. */
  async #once(sink: Sink): Promise<number> {
    try {
      // Watching begins before the listing, so that nothing falls between the two.
      this.#watching ??= await this.#options.watch(this.#options.path, () => this.#look(sink));
      const listing = await listTree(this.#options.path);
      if (listing.kind === 'missing') return await this.#missing(sink, listing.reason);
      return await this.#seen(sink, listing);
    } catch (error) {
      sink.trouble(this.name, describeError(error));
      return this.#times.rescanMs;
    }
  }

  async #missing(sink: Sink, reason: string): Promise<number> {
    sink.trouble(this.name, `${reason}; what it held stays`);
    if (this.#present) {
      this.#present = false;
      const updates = [...this.#known.keys()].map(emptyUnit);
      this.#known.clear();
      sink.apply({ source: this.name, updates, unchanged: 0, suspect: reason });
    }
    // A watch on what is gone sees nothing when it returns.
    await this.#watching?.close();
    this.#watching = undefined;
    return Math.min(this.#times.rescanMs, this.#times.emptyQuietMs);
  }

  async #seen(sink: Sink, listing: TreeListing & { kind: 'seen' }): Promise<number> {
    const isFirst = this.#listed !== undefined;
    const isBack = !this.#present;
    this.#present = true;
    const changed = this.#changed(listing);
    const nowMs = this.#options.time.monotonic();
    const waitMs = isFirst || isBack ? 0 : this.#settling.waitMs(changed, nowMs);
    sink.trouble(this.name, undefined);
    if (waitMs > 0) return waitMs;
    const taken = await this.#take(changed);
    taken.updates.push(...this.#blindUnits(listing));
    if (taken.updates.length > 0 || taken.unchanged > 0) {
      sink.apply({ source: this.name, updates: taken.updates, unchanged: taken.unchanged });
    }
    this.#movingSinceMs = taken.moved > 0 ? (this.#movingSinceMs ?? nowMs) : undefined;
    if (taken.moved > 0) return this.#times.quietMs;
    this.#listed?.();
    this.#listed = undefined;
    return this.#times.rescanMs;
  }

  /** Files that are not as they were when they were read; `undefined`: gone. */
  #changed(listing: TreeListing & { kind: 'seen' }): Map<string, SeenFile | undefined> {
    const changed = new Map<string, SeenFile | undefined>();
    for (const [path, file] of listing.files) {
      if (this.#known.get(path)?.stamp !== file.stamp) changed.set(path, file);
    }
    for (const path of this.#known.keys()) {
      const isBelowBlind = listing.blind.some(
        (blind) => path === blind.path || path.startsWith(`${blind.path}/`),
      );
      if (!listing.files.has(path) && !isBelowBlind) changed.set(path, undefined);
    }
    return changed;
  }

  /** A path that cannot be looked at is a unit of which no part can be read. */
  #blindUnits({ blind }: TreeListing & { kind: 'seen' }): readonly UnitUpdate[] {
    const before = this.#blind;
    this.#blind = new Set(blind.map(({ path }) => path));
    const seenAgain = [...before].filter((path) => !this.#blind.has(path));
    const updates = blind
      .filter(({ path }) => !before.has(path))
      .map(({ path, reason }) => ({ ...emptyUnit(path), problems: [{ line: 1, reason }] }));
    return [...updates, ...seenAgain.map(emptyUnit)];
  }

  async #take(changed: ReadonlyMap<string, SeenFile | undefined>): Promise<Taken> {
    const taken: Taken = { updates: [], unchanged: 0, moved: 0 };
    for (const [path, file] of changed) {
      if (this.#stopped) break;
      if (file === undefined) {
        this.#known.delete(path);
        taken.updates.push(emptyUnit(path));
      } else {
        await this.#read(file, taken);
      }
    }
    this.#settling.taken();
    return taken;
  }

  async #read(file: SeenFile, taken: Taken): Promise<void> {
    const { limits = defaultLimits, objectsOf, time } = this.#options;
    const known = this.#known.get(file.path);
    const refuse = (reason: string): void => {
      const version = hash('sha256', file.stamp, 'hex').slice(0, 16);
      this.#known.set(file.path, { ...file, digest: '', chunks: known?.chunks ?? new Map() });
      const problems = [{ line: 1, reason }];
      taken.updates.push({ unit: file.path, version, objects: [], problems });
    };
    if (file.size > limits.fileBytes) {
      refuse(`the file has ${file.size} bytes, more than ${limits.fileBytes}`);
      return;
    }
    const content = await contentOf(file);
    if (content === 'moved') {
      const waitedMs = time.monotonic() - (this.#movingSinceMs ?? time.monotonic());
      if (waitedMs < this.#times.maxWaitMs) taken.moved++;
      else refuse('the file changes whenever it is read');
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
    const parsed = await parseFile(content.text, {
      limits,
      ...(known === undefined ? {} : { known: known.chunks }),
      ...(objectsOf === undefined ? {} : { objectsOf }),
      pause: () => new Promise((resolve) => void time.soon(resolve)),
    });
    const { chunks, objects, problems } = parsed;
    this.#known.set(file.path, { stamp: file.stamp, digest, chunks, size: file.size });
    taken.updates.push({ unit: file.path, version: digest.slice(0, 16), objects, problems });
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
    if (after?.stamp !== file.stamp) return 'moved';
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) };
  } catch (error) {
    if ((await lookAt(file.path)) === undefined) return 'moved';
    return { reason: `cannot be read: ${describeError(error)}` };
  }
}
