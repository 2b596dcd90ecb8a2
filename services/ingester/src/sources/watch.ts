import { watch, type FSWatcher } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';

/**
 * Watches folders, each without what is in folders below it. It may tell too often, and may miss
 * some. It names the file that was written, added or removed (of those that are wanted), or nothing
 * where it is more than a file.
 */
export type Watch = (
  isWanted: (path: string) => boolean,
  onChange: (file: string | undefined) => void,
) => Watching;

export interface Watching {
  /** `id` tells a folder from another one that takes its place. */
  add(folder: string, id: string): void;
  /** Ends all others. */
  keep(folders: ReadonlySet<string>): void;
  close(): void;
}

/** The operating system's notifications. */
export const watchFolders: Watch = (...told) => new Folders(...told);

/** Tells nothing: looks now and then see what changes. */
export const unwatched: Watch = () => ({
  add: () => undefined,
  keep: () => undefined,
  close: () => undefined,
});

class Folders implements Watching {
  readonly #isWanted: (path: string) => boolean;
  readonly #onChange: (file: string | undefined) => void;
  readonly #watched = new Map<string, { readonly id: string; readonly watcher: FSWatcher }>();

  constructor(...[isWanted, onChange]: Parameters<Watch>) {
    this.#isWanted = isWanted;
    this.#onChange = onChange;
  }

  add(folder: string, id: string): void {
    const before = this.#watched.get(folder);
    if (before?.id === id) return;
    before?.watcher.close();
    this.#watched.delete(folder);
    try {
      const watcher = watch(folder, (event, name) => this.#told(folder, event, name));
      watcher.on('error', () => this.#replaced(folder));
      this.#watched.set(folder, { id, watcher });
    } catch {
      // A watch that is refused (too many, not permitted) leaves the looks now and then.
    }
  }

  keep(folders: ReadonlySet<string>): void {
    for (const [folder, { watcher }] of this.#watched) {
      if (folders.has(folder)) continue;
      watcher.close();
      this.#watched.delete(folder);
    }
  }

  close(): void {
    this.keep(new Set());
  }

  /** `rename`: something of that name came or went; else its content or its mode is another. */
  #told(folder: string, event: string, name: string | null): void {
    if (name === null) {
      this.#onChange(undefined);
      return;
    }
    const path = join(folder, name);
    if (this.#isWanted(path)) this.#onChange(path);
    // A folder that is moved, removed or made (un)readable tells its own name.
    else if (name === basename(folder)) this.#replaced(folder);
    else if (this.#watched.has(path)) this.#replaced(path);
    else if (event === 'rename') void this.#cameOrWent(path);
  }

  /**
   * What was watched may be no more, and what takes its place may look the same (its inode is free
   * for the next one at once): so it is watched anew by the look that follows.
   */
  #replaced(folder: string): void {
    this.#watched.get(folder)?.watcher.close();
    this.#watched.delete(folder);
    this.#onChange(undefined);
  }

  async #cameOrWent(path: string): Promise<void> {
    // A hidden symlink may be what everything hangs on (a ConfigMap's `..data`).
    const isMore = basename(path).startsWith('.');
    if (isMore || (await isFolder(path))) this.#onChange(undefined);
  }
}

async function isFolder(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
