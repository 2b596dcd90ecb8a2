import { watch } from 'chokidar';

/** Tells of changes under a path; may tell too often, and may miss some. */
export type Watch = (path: string, onChange: () => void) => Promise<Watching>;

export interface Watching {
  close(): Promise<void>;
}

/** The operating system's notifications. Resolves when it is watching. */
export const watchFiles: Watch = (path, onChange) =>
  new Promise((resolve) => {
    const watcher = watch(path, { ignoreInitial: true, followSymlinks: true, depth: 32 });
    watcher.on('all', onChange);
    // What chokidar itself finds uninteresting (a symlink that points elsewhere now) is worth a
    // look too.
    watcher.on('raw', onChange);
    // A watch that is refused (too many, not permitted) leaves the rescans.
    watcher.on('error', onChange);
    watcher.on('ready', () => resolve({ close: () => watcher.close() }));
  });
