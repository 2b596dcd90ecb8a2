import { basename } from 'node:path';
import { watch } from 'chokidar';

/**
 * Tells of changes under a path; may tell too often, and may miss some. It names the file that was
 * written, added or removed, or nothing where it is more than a file.
 */
export type Watch = (
  path: string,
  onChange: (file: string | undefined) => void,
) => Promise<Watching>;

export interface Watching {
  close(): Promise<void>;
}

const fileEvents = new Set(['add', 'change', 'unlink']);

/** The operating system's notifications. Resolves when it is watching. */
export const watchFiles: Watch = (path, onChange) =>
  new Promise((resolve) => {
    const watcher = watch(path, { ignoreInitial: true, followSymlinks: true, depth: 32 });
    watcher.on('all', (event, file) => onChange(fileEvents.has(event) ? file : undefined));
    // A hidden symlink that leads elsewhere now (a ConfigMap's `..data`) is not interesting to
    // chokidar, and what everything hangs on here.
    watcher.on('raw', (_event, name) => {
      if (typeof name !== 'string' || basename(name).startsWith('.')) onChange(undefined);
    });
    // A watch that is refused (too many, not permitted) leaves the looks now and then.
    watcher.on('error', () => onChange(undefined));
    watcher.on('ready', () => resolve({ close: () => watcher.close() }));
  });
