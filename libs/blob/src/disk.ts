/**
 * Blobs on disk, in one SQLite file, with the recently used ones in memory. What a crash loses of
 * it is generated again, so writes are not flushed one by one.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { setImmediate as turn } from 'node:timers/promises';
import { MemoryBlobs } from './memory.ts';
import type { Blob, BlobStore, Digest } from './port.ts';

export interface DiskBlobsOptions {
  /** Created if absent. Holds `blobs.db`. */
  readonly dir: string;
  /** Of what is kept in memory as well. Default 64 MiB. */
  readonly maxMemoryBytes?: number;
}

/** How many rows one slice of a clean-up looks at: about a millisecond. */
const sliceRows = 500;

// oxlint-disable-next-line typescript/require-await -- opening fails as a rejection, as elsewhere
export async function openDiskBlobs(options: DiskBlobsOptions): Promise<BlobStore> {
  mkdirSync(options.dir, { recursive: true, mode: 0o700 });
  return new DiskBlobs(join(options.dir, 'blobs.db'), options.maxMemoryBytes ?? 64 * 1024 * 1024);
}

class DiskBlobs implements BlobStore {
  readonly #database: DatabaseSync;
  readonly #memory: MemoryBlobs;
  readonly #insert: StatementSync;
  readonly #select: StatementSync;
  readonly #delete: StatementSync;
  readonly #list: StatementSync;
  /** What is put while `retain` runs: it must not go. */
  #recent: Set<Digest> | undefined;

  constructor(file: string, maxMemoryBytes: number) {
    this.#memory = new MemoryBlobs(maxMemoryBytes);
    this.#database = new DatabaseSync(file);
    this.#database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL');
    this.#database.exec(
      'CREATE TABLE IF NOT EXISTS blob (digest TEXT PRIMARY KEY, bytes BLOB NOT NULL) WITHOUT ROWID',
    );
    this.#insert = this.#database.prepare('INSERT OR IGNORE INTO blob VALUES (?, ?)');
    this.#select = this.#database.prepare('SELECT bytes FROM blob WHERE digest = ?');
    this.#delete = this.#database.prepare('DELETE FROM blob WHERE digest = ?');
    this.#list = this.#database.prepare(
      'SELECT digest FROM blob WHERE digest > ? ORDER BY digest LIMIT ?',
    );
  }

  // oxlint-disable-next-line typescript/require-await -- SQLite fails at once; callers get rejections
  async put(blobs: readonly Blob[]): Promise<void> {
    const fresh = blobs.filter(({ digest }) => this.#memory.find(digest) === undefined);
    if (this.#recent !== undefined) for (const { digest } of blobs) this.#recent.add(digest);
    if (fresh.length === 0) return;
    this.#transact(() => {
      for (const { digest, bytes } of fresh) this.#insert.run(digest, bytes);
    });
    for (const { digest, bytes } of fresh) this.#memory.add(digest, bytes);
  }

  // oxlint-disable-next-line typescript/require-await -- as above
  async get(digests: readonly Digest[]): Promise<readonly (Uint8Array | undefined)[]> {
    return digests.map((digest) => this.#memory.find(digest) ?? this.#read(digest));
  }

  async retain(live: ReadonlySet<Digest>): Promise<void> {
    const recent = new Set<Digest>();
    this.#recent = recent;
    try {
      let last = '';
      for (;;) {
        const page = this.#list.all(last, sliceRows).map((row) => String(row['digest']));
        if (page.length === 0) return;
        last = page.at(-1) ?? last;
        this.#drop(page.filter((digest) => !live.has(digest) && !recent.has(digest)));
        await turn();
      }
    } finally {
      this.#recent = undefined;
    }
  }

  async close(): Promise<void> {
    await this.#memory.close();
    this.#database.close();
  }

  #read(digest: Digest): Uint8Array | undefined {
    const bytes = this.#select.get(digest)?.['bytes'];
    if (!(bytes instanceof Uint8Array)) return undefined;
    this.#memory.add(digest, bytes);
    return bytes;
  }

  #drop(digests: readonly Digest[]): void {
    if (digests.length === 0) return;
    for (const digest of digests) this.#memory.drop(digest);
    this.#transact(() => {
      for (const digest of digests) this.#delete.run(digest);
    });
  }

  #transact(work: () => void): void {
    this.#database.exec('BEGIN');
    try {
      work();
      this.#database.exec('COMMIT');
    } catch (error) {
      this.#database.exec('ROLLBACK');
      throw error;
    }
  }
}
