/**
 * Blobs on disk, in one SQLite file, with the recently used ones in memory. It is a cache: what a
 * crash loses of it is generated again, so writes are not flushed one by one; and what turns out
 * damaged is missing.
 *
 * One file and not a file per blob: at 1 and 10 KiB a put costs 10 and 40 µs of CPU against 231 and
 * 690, a get 9 and 11 against 61 and 101 (two shared cores). Rows by number with pages of 16 KiB: a
 * tree by digest with the blobs within it cost 6 times as much.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { setImmediate as turn } from 'node:timers/promises';
import { digestOf } from './digest.ts';
import { MemoryBlobs } from './memory.ts';
import type { Blob, BlobStore, Digest } from './port.ts';

export interface DiskBlobsOptions {
  /** Created if absent. Holds `blobs.db`. */
  readonly dir: string;
  /** Of what is kept in memory as well: on its way to who serves it. Default 8 MiB. */
  readonly maxMemoryBytes?: number;
}

/** How many rows one slice of a clean-up looks at: about a millisecond. */
const sliceRows = 500;
/** Free pages given back to the file system in one slice. */
const slicePages = 128;
const formatVersion = 1;

/** SQLite's primary result codes (https://sqlite.org/rescode.html). */
const corrupt = 11;
const notADatabase = 26;

/**
 * Fails when another process uses the directory. A file that is damaged or of another format is
 * replaced by an empty one.
 */
export async function openDiskBlobs(options: DiskBlobsOptions): Promise<BlobStore> {
  mkdirSync(options.dir, { recursive: true, mode: 0o700 });
  return new DiskBlobs(join(options.dir, 'blobs.db'), options.maxMemoryBytes ?? 8 * 1024 * 1024);
}

/** The open file and its statements. */
class BlobFile {
  readonly #database: DatabaseSync;
  readonly insert: StatementSync;
  readonly select: StatementSync;
  readonly delete: StatementSync;
  readonly list: StatementSync;

  constructor(file: string) {
    const database = new DatabaseSync(file);
    try {
      prepare(database);
    } catch (error) {
      database.close();
      throw error;
    }
    this.#database = database;
    this.insert = database.prepare('INSERT OR IGNORE INTO blob VALUES (?, ?)');
    this.select = database.prepare('SELECT bytes FROM blob WHERE digest = ?');
    this.delete = database.prepare('DELETE FROM blob WHERE digest = ?');
    this.list = database.prepare(
      'SELECT digest FROM blob WHERE digest > ? ORDER BY digest LIMIT ?',
    );
  }

  transact(work: () => void): void {
    this.#database.exec('BEGIN');
    try {
      work();
      this.#database.exec('COMMIT');
    } catch (error) {
      // SQLite rolls some failures back by itself (a full disk), others not.
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  /** Gives some free pages back. `false`: few are free, or they cannot be given back. */
  shrink(): boolean {
    const pages = this.#pragma('page_count');
    if (this.#pragma('freelist_count') * 4 < pages) return false;
    this.#database.exec(`PRAGMA incremental_vacuum(${slicePages})`);
    // Never again and again for nothing, whatever the file's settings are.
    return this.#pragma('page_count') < pages;
  }

  #pragma(name: string): number {
    return Number(this.#database.prepare(`PRAGMA ${name}`).get()?.[name]);
  }

  close(): void {
    this.#database.close();
  }
}

function prepare(database: DatabaseSync): void {
  database.exec('PRAGMA page_size = 16384; PRAGMA auto_vacuum = INCREMENTAL');
  database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL');
  database.exec('PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE; COMMIT');
  const version = database.prepare('PRAGMA user_version').get()?.['user_version'];
  if (version === formatVersion) return;
  const tables = database.prepare('SELECT count(*) AS n FROM sqlite_master').get()?.['n'];
  // Page size and vacuum mode are a file's for good: one of another format is replaced.
  if (tables !== 0) throw new OtherFormatError(`not of format ${formatVersion}`);
  database.exec('CREATE TABLE blob (digest TEXT PRIMARY KEY, bytes BLOB NOT NULL)');
  database.exec(`PRAGMA user_version = ${formatVersion}`);
}

class OtherFormatError extends Error {}

function isDamage(error: unknown): boolean {
  if (typeof error !== 'object' || error === null || !('errcode' in error)) return false;
  // The extended code has the primary one in its lowest byte.
  const code = typeof error.errcode === 'number' ? error.errcode & 0xff : undefined;
  return code === corrupt || code === notADatabase;
}

class DiskBlobs implements BlobStore {
  readonly shared = false;
  readonly #path: string;
  readonly #memory: MemoryBlobs;
  #file: BlobFile;
  /** What is put since each call of `retain` that is not done: it must not go. */
  readonly #recent = new Set<Set<Digest>>();
  #retaining: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(path: string, maxMemoryBytes: number) {
    this.#path = path;
    this.#memory = new MemoryBlobs(maxMemoryBytes);
    this.#file = this.#open();
  }

  async put(blobs: readonly Blob[]): Promise<void> {
    const fresh = blobs.filter(({ digest }) => this.#memory.find(digest) === undefined);
    for (const recent of this.#recent) for (const { digest } of blobs) recent.add(digest);
    if (fresh.length === 0) return;
    const write = (): void => {
      this.#file.transact(() => {
        for (const { digest, bytes } of fresh) this.#file.insert.run(digest, bytes);
      });
    };
    // Into the file that replaced a damaged one.
    if (this.#guard(write) === 'damaged') write();
    for (const { digest, bytes } of fresh) this.#memory.add(digest, bytes);
  }

  async get(digests: readonly Digest[]): Promise<readonly (Uint8Array | undefined)[]> {
    return digests.map((digest) => this.#memory.find(digest) ?? this.#read(digest));
  }

  retain(live: ReadonlySet<Digest>): Promise<void> {
    const recent = new Set<Digest>();
    this.#recent.add(recent);
    const retaining = this.#retaining.then(() => this.#retain(live, recent));
    this.#retaining = retaining.catch(() => undefined);
    return retaining;
  }

  async #retain(live: ReadonlySet<Digest>, recent: Set<Digest>): Promise<void> {
    try {
      for (let last: Digest | undefined = ''; last !== undefined && !this.#closed;) {
        last = this.#retainAfter(last, live, recent);
        await turn();
      }
      while (!this.#closed && this.#guard(() => this.#file.shrink()) === true) await turn();
    } finally {
      this.#recent.delete(recent);
    }
  }

  /** One slice. The last digest that it looked at; `undefined`: there are no more. */
  #retainAfter(
    after: Digest,
    live: ReadonlySet<Digest>,
    recent: ReadonlySet<Digest>,
  ): Digest | undefined {
    const rows = this.#guard(() => this.#file.list.all(after, sliceRows));
    if (rows === 'damaged') return undefined;
    const page = rows.map((row) => String(row['digest']));
    const dead = page.filter((digest) => !live.has(digest) && !recent.has(digest));
    for (const digest of dead) this.#memory.drop(digest);
    if (dead.length > 0) {
      this.#guard(() => {
        this.#file.transact(() => {
          for (const digest of dead) this.#file.delete.run(digest);
        });
      });
    }
    return page.at(-1);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#retaining;
    await this.#memory.close();
    this.#file.close();
  }

  #read(digest: Digest): Uint8Array | undefined {
    const row = this.#guard(() => this.#file.select.get(digest));
    if (row === 'damaged') return undefined;
    const bytes = row?.['bytes'];
    if (!(bytes instanceof Uint8Array)) return undefined;
    if (digestOf(bytes) !== digest) {
      // Its owner puts it again.
      this.#guard(() => void this.#file.delete.run(digest));
      return undefined;
    }
    this.#memory.add(digest, bytes);
    return bytes;
  }

  /** Replaces the file by an empty one where it turns out damaged. */
  #guard<T>(work: () => T): T | 'damaged' {
    try {
      return work();
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#file.close();
      this.#file = this.#replace();
      return 'damaged';
    }
  }

  #open(): BlobFile {
    try {
      return new BlobFile(this.#path);
    } catch (error) {
      if (!isDamage(error) && !(error instanceof OtherFormatError)) throw error;
      return this.#replace();
    }
  }

  #replace(): BlobFile {
    for (const suffix of ['', '-wal', '-shm']) rmSync(this.#path + suffix, { force: true });
    return new BlobFile(this.#path);
  }
}
