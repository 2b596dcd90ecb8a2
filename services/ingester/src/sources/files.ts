/**
 * Directories (and single files) of YAML or JSON, read and watched.
 *
 * A notification only says where to look, and a look now and then covers the whole tree: what
 * `stat` says of each file is compared with how it was when it was read. So atomic renames, swapped
 * symlinks (a mounted ConfigMap's `..data`) and lost notifications are all the same. What differs
 * is taken when it has stayed the same for a while, so that a file half written is not read; all
 * that changed together is handed over together; and only what has another digest is parsed.
 */
import type { Time, Timer } from '@watershed/runtime/clock.ts';
import { describeError } from '@watershed/runtime/errors.ts';
import type { ParsedDocument, ParseLimits } from '../parse/limits.ts';
import type { DocumentObjects } from '../parse/objects.ts';
import type { Known, Sink, Source } from '../source.ts';
import { KnownFiles, type Changed } from './known-files.ts';
import { Settling } from './settling.ts';
import { isWanted, listTree, troubleOf, type TreeListing } from './tree.ts';
import type { Watch, Watching } from './watch.ts';

export interface FileTimes {
  /** How long a changed file must stay the same before it is read. Editors write in less. */
  readonly quietMs: number;
  /** The same for a file that became empty: some editors cut a file off and write it again. */
  readonly emptyQuietMs: number;
  /** A file that never stays the same is read after that. */
  readonly maxWaitMs: number;
  /** Looks at the whole tree without a notification: network file systems send none. */
  readonly rescanMs: number;
}

const defaultFileTimes: FileTimes = {
  quietMs: 50,
  emptyQuietMs: 1_000,
  maxWaitMs: 2_000,
  rescanMs: 10_000,
};

/** Notifications come in bursts. */
const burstMs = 5;

export interface FileSourceOptions {
  readonly name: string;
  /** A directory, or one file. */
  readonly path: string;
  readonly time: Time;
  readonly watch: Watch;
  readonly times?: FileTimes | undefined;
  readonly limits?: ParseLimits;
  /** What a document holds; default: Kubernetes objects. */
  readonly objectsOf?: (document: ParsedDocument) => DocumentObjects;
  /** `path` must be one file, and not empty (one that is cut off is). Default: it may be. */
  readonly isOneFile?: boolean;
  /** A file that another source reads, with this path if it lies in here. */
  readonly except?: string | undefined;
}

/** A directory that a user's options name. */
export function directorySource(path: string, options: DirectoryOptions): FileSource {
  return new FileSource({ ...options, name: `files:${path}`, path });
}

export type DirectoryOptions = Pick<FileSourceOptions, 'time' | 'watch' | 'times' | 'except'>;

export class FileSource implements Source {
  readonly name: string;
  readonly #options: FileSourceOptions;
  readonly #times: FileTimes;
  readonly #files: KnownFiles;
  readonly #settling: Settling;
  /** Where to look next; `undefined`: everywhere. */
  #hints: Set<string> | undefined;
  /** When the whole tree is due again. */
  #rescanAtMs = 0;
  #watching: Watching | undefined;
  #timer: Timer | undefined;
  #looking: Promise<void> | undefined;
  #isNotified = false;
  #isStopped = false;
  /** Whether the root was there at the last look. */
  #isPresent = false;
  #missingSinceMs: number | undefined;
  #listed: (() => void) | undefined;
  /** Whether the log has objects of it. */
  #isKnown: () => boolean = () => false;

  constructor(options: FileSourceOptions) {
    const { time, limits, objectsOf, isOneFile = false, except } = options;
    this.name = options.name;
    this.#options = options;
    this.#times = options.times ?? defaultFileTimes;
    this.#settling = new Settling(this.#times);
    this.#files = new KnownFiles({
      time,
      isOneFile,
      except,
      maxWaitMs: this.#times.maxWaitMs,
      ...(limits === undefined ? {} : { limits }),
      ...(objectsOf === undefined ? {} : { objectsOf }),
    });
  }

  start(sink: Sink, known: Known): Promise<void> {
    return new Promise((resolve) => {
      this.#listed = resolve;
      let isKnown: boolean | undefined;
      this.#isKnown = () => (isKnown ??= known(this.name).length > 0);
      this.#look(sink);
    });
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    await this.#looking;
    this.#watching?.close();
  }

  /** Whether a unit was told of, and not that it is gone. */
  has(unit: string): boolean {
    return this.#files.has(unit);
  }

  /** Stops for good: takes back what it told of, except what others tell of as well. */
  async leave(sink: Sink, isOthers: (unit: string) => boolean): Promise<void> {
    await this.stop();
    sink.trouble(this.name, undefined);
    const all = [...this.#files.forget(), ...this.#files.takeBlind([])];
    const updates = all.filter(({ unit }) => !isOthers(unit));
    sink.apply({ source: this.name, updates, unchanged: 0 });
  }

  /** `path`: a file that was written, added or removed; without one: more than a file was. */
  #notified(sink: Sink, path: string | undefined): void {
    if (this.#isStopped) return;
    if (path === undefined) this.#hints = undefined;
    else this.#hints?.add(path);
    this.#isNotified = true;
    if (this.#looking === undefined) this.#schedule(sink, burstMs);
  }

  #schedule(sink: Sink, delayMs: number): void {
    this.#timer?.cancel();
    this.#timer = this.#options.time.after(delayMs, () => this.#look(sink));
  }

  #look(sink: Sink): void {
    this.#isNotified = false;
    this.#looking = this.#once(sink).then((nextMs) => {
      this.#looking = undefined;
      if (!this.#isStopped) this.#schedule(sink, this.#isNotified ? burstMs : nextMs);
    });
  }

  /** One look. Returns after how long the next one is due. */
  async #once(sink: Sink): Promise<number> {
    const { path, isOneFile = false, time, watch } = this.#options;
    try {
      const watching = (this.#watching ??= watch(
        (file) => isWanted(path, file),
        (file) => this.#notified(sink, file),
      ));
      const nowMs = time.monotonic();
      const hints = this.#hints;
      this.#hints = new Set();
      if (hints !== undefined && nowMs < this.#rescanAtMs) {
        const among = new Set([...hints, ...this.#settling.waiting]);
        // Whether the root is there is known of a look at all of it alone.
        const isRoot = among.has(path);
        const changed = isRoot ? undefined : await this.#files.changedAmong(among);
        if (changed !== undefined) return await this.#seen(sink, changed, undefined);
      }
      this.#rescanAtMs = nowMs + this.#times.rescanMs;
      const folders = new Set<string>();
      // Watching begins before a folder is listed, so that nothing falls between the two.
      const onFolder = (folder: string, id: string): void => {
        folders.add(folder);
        watching.add(folder, id);
      };
      const listing = await listTree(path, { onFolder, isOneFile });
      watching.keep(folders);
      const reason = troubleOf(path, listing);
      if (reason !== undefined && this.#listed !== undefined && !this.#isKnown()) {
        this.#hints = undefined;
        sink.trouble(this.name, `${reason}; it is waited for`);
        return this.#soonMs;
      }
      if (listing.kind === 'missing') return this.#missing(sink, path, listing.reason);
      return await this.#seen(sink, this.#files.changedIn(listing), listing);
    } catch (error) {
      this.#hints = undefined;
      sink.trouble(this.name, describeError(error));
      return this.#times.rescanMs;
    }
  }

  #missing(sink: Sink, path: string, reason: string): number {
    this.#hints = undefined;
    const nowMs = this.#options.time.monotonic();
    this.#missingSinceMs ??= nowMs;
    // What is replaced is away for a moment.
    const leftMs = this.#missingSinceMs + this.#times.quietMs - nowMs;
    if (this.#isPresent && leftMs > 0) return leftMs;
    this.#sayUnreadable(sink, reason);
    if (this.#isPresent) {
      this.#isPresent = false;
      const updates = this.#files.forget();
      sink.apply({ source: this.name, updates, unchanged: 0, suspect: reason });
    } else if (this.#listed !== undefined) {
      // What it held is on the log, and will be there again, for all that is known.
      const updates = this.#files.takeBlind([{ path, reason }]);
      sink.apply({ source: this.name, updates, unchanged: 0, suspect: reason });
      this.#isListed();
    }
    return this.#soonMs;
  }

  #sayUnreadable(sink: Sink, reason: string | undefined): void {
    sink.trouble(this.name, reason && `${reason}; what it held stays`);
  }

  /** When it is looked again for something that is not there. */
  get #soonMs(): number {
    return Math.min(this.#times.rescanMs, this.#times.emptyQuietMs);
  }

  #isListed(): void {
    this.#listed?.();
    this.#listed = undefined;
  }

  /** `listing`: of the whole tree, if that is what was looked at. */
  async #seen(
    sink: Sink,
    changed: Changed,
    listing: (TreeListing & { kind: 'seen' }) | undefined,
  ): Promise<number> {
    const { time, path } = this.#options;
    // The first files, and those of a directory that is back, are nobody's edit, unless something
    // changed while they were listed.
    const isFirst = this.#listed !== undefined || !this.#isPresent;
    const isAtRest = isFirst && listing !== undefined && !this.#isNotified;
    this.#isPresent = true;
    this.#missingSinceMs = undefined;
    const trouble = listing === undefined ? undefined : troubleOf(path, listing);
    if (listing !== undefined) this.#sayUnreadable(sink, trouble);
    const isOtherwiseBlind = listing !== undefined && this.#files.isOtherwiseBlind(listing.blind);
    const again = (afterMs: number): number => {
      if (isOtherwiseBlind) this.#hints = undefined;
      return afterMs;
    };
    const nowMs = time.monotonic();
    const waitMs = this.#settling.waitMs(changed, nowMs);
    if (waitMs > 0 && !isAtRest) return again(waitMs);
    const isPartial = this.#settling.isOverdue(nowMs);
    const isStopped = (): boolean => this.#isStopped;
    const taken = await this.#files.take(changed, { isStopped, isPartial });
    const { unchanged, moved } = taken;
    // The next look has what waits.
    if (moved > 0 && !isPartial) return again(this.#times.quietMs);
    this.#settling.taken();
    // What can be looked at again is told of with all files in it: they may be on the log alone.
    const isWhole = listing !== undefined && moved === 0 && !this.#isStopped;
    const updates = [...(isWhole ? this.#files.takeBlind(listing.blind) : []), ...taken.updates];
    if (updates.length > 0 || unchanged > 0) {
      sink.apply({ source: this.name, updates, unchanged });
    }
    if (moved > 0) {
      for (const path of changed.keys()) this.#hints?.add(path);
      return again(this.#times.quietMs);
    }
    this.#isListed();
    if (trouble === undefined) return Math.max(0, this.#rescanAtMs - time.monotonic());
    this.#hints = undefined;
    return this.#soonMs;
  }
}
