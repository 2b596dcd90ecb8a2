import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { StatementSync } from 'node:sqlite';
import { LogError } from '../port.ts';
import type { Append, LogRecord, Retention, TopicSpec } from '../port.ts';
import {
  HeaderDecoder,
  checksum,
  decodeRecord,
  encodeHeaders,
  int,
  row,
  rows,
  text,
} from './codec.ts';
import { corrupt, failure, isBusy } from './failure.ts';

/** "WSLG": tells the log's file from any other SQLite file. */
const applicationId = 0x57534c47;
const formatVersion = 1;
/** Fewer, fuller pages than SQLite's 4 KiB: 1.4x the appends and replay at 1 KiB records. */
const pageBytes = 16_384;
/**
 * Rows of the first query of a batch; later ones grow, so that one query never reads far beyond the
 * bound.
 */
const firstRows = 32;
const mostRows = 512;

const schema = `
  CREATE TABLE topics (
    name TEXT PRIMARY KEY, id TEXT NOT NULL, kind TEXT NOT NULL, ms REAL NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE partitions (
    pid INTEGER PRIMARY KEY, topic TEXT NOT NULL, partition INTEGER NOT NULL,
    next INTEGER NOT NULL, clean INTEGER NOT NULL, floor INTEGER NOT NULL
  );`;

/**
 * `r` holds the records. The others are written by compaction only, so that an append costs one
 * insert at the right edge of one tree: `k` has the last compacted offset of each key, `d` the
 * tombstones among them with the time when their key was compacted first.
 */
function partitionSchema(pid: number): string {
  return `
    CREATE TABLE r${pid} (
      offset INTEGER PRIMARY KEY, ts INTEGER NOT NULL, sum INTEGER NOT NULL,
      key TEXT NOT NULL, headers TEXT, value BLOB
    );
    CREATE TABLE k${pid} (key TEXT PRIMARY KEY, offset INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE d${pid} (offset INTEGER PRIMARY KEY, cleaned INTEGER NOT NULL);`;
}

export interface StoredTopic {
  readonly name: string;
  readonly id: string;
  retention: Retention;
  readonly partitions: readonly StoredPartition[];
}

/** One partition's state in memory and its statements. All offsets below `next` are durable. */
export class StoredPartition {
  readonly pid: number;
  readonly label: string;
  /** The offset of the next append. */
  next: number;
  /** Compacted up to here. */
  clean: number;
  /** Positions before this may have missed tombstones (or, kept by time, records). */
  floor: number;
  lastTimestampMs = 0;
  readonly #file: string;
  readonly #insert: StatementSync;
  readonly #select: StatementSync;
  readonly #headers = new HeaderDecoder();

  constructor(
    db: DatabaseSync,
    file: string,
    topic: string,
    [pid, partition, next, clean, floor]: readonly [number, number, number, number, number],
  ) {
    this.pid = pid;
    this.label = `${topic}/${partition}`;
    this.#file = file;
    this.clean = clean;
    this.floor = floor;
    const last = db.prepare(`SELECT offset, ts FROM r${pid} ORDER BY offset DESC LIMIT 1`);
    last.setReturnArrays(true);
    const found = row(last);
    this.next = found === undefined ? next : Math.max(next, int(found[0]) + 1);
    if (found !== undefined) this.lastTimestampMs = int(found[1]);
    this.#insert = db.prepare(`INSERT INTO r${pid} VALUES (?, ?, ?, ?, ?, ?)`);
    this.#select = db.prepare(
      `SELECT offset, ts, sum, key, headers, value FROM r${pid} WHERE offset >= ? ORDER BY offset LIMIT ?`,
    );
    this.#select.setReturnArrays(true);
  }

  /** Within a transaction; the caller moves `next` when it is durable. */
  insert(offset: number, timestampMs: number, append: Append): void {
    const headers = encodeHeaders(append.headers);
    const value = append.value ?? null;
    const sum = checksum(offset, append.key, headers, value);
    this.#insert.run(offset, timestampMs, sum, append.key, headers, value);
  }

  /**
   * The records from `offset` on, at least one if there is any, else within both bounds; and where
   * to go on.
   */
  read(
    offset: number,
    maxRecords: number,
    maxBytes: number,
  ): { readonly records: readonly LogRecord[]; readonly next: number } {
    const records: LogRecord[] = [];
    let bytes = 0;
    let from = offset;
    for (
      let limit = firstRows;
      records.length < maxRecords;
      limit = Math.min(mostRows, limit * 2)
    ) {
      const wanted = Math.min(limit, maxRecords - records.length);
      const found = rows(this.#select, from, wanted);
      for (const columns of found) {
        const record = decodeRecord(columns, this.#headers);
        if (record === undefined) {
          const where = `the record at offset ${String(columns[0])} of ${this.label}`;
          throw corrupt(this.#file, `${where} does not match its checksum`);
        }
        bytes += record.key.length + (record.value?.byteLength ?? 0);
        if (bytes > maxBytes && records.length > 0) return { records, next: from };
        records.push(record);
        from = record.offset + 1;
      }
      if (found.length < wanted) return { records, next: this.next };
    }
    return { records, next: from };
  }
}

/**
 * The log's file: a SQLite database that one process holds. Calls are synchronous; a transaction is
 * durable when it returns.
 */
export class Store {
  readonly file: string;
  readonly db: DatabaseSync;
  readonly topics = new Map<string, StoredTopic>();

  constructor(dir: string, maxBytes: number | undefined) {
    this.file = join(dir, 'log.db');
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const holder = join(dir, 'holder');
    let db: DatabaseSync | undefined;
    try {
      db = new DatabaseSync(this.file);
      prepare(db, this.file, maxBytes);
      writeFileSync(holder, `${process.pid} on ${hostname()}\n`);
      this.db = db;
      this.#load();
    } catch (cause) {
      db?.close();
      if (isBusy(cause)) throw lockedBy(dir, holder, cause);
      throw failure(this.file, 'open it', cause);
    }
  }

  #load(): void {
    const topics = this.db.prepare('SELECT name, id, kind, ms FROM topics');
    const partitions = this.db.prepare(
      'SELECT pid, partition, next, clean, floor FROM partitions WHERE topic = ? ORDER BY partition',
    );
    topics.setReturnArrays(true);
    partitions.setReturnArrays(true);
    for (const [name, id, kind, ms] of rows(topics)) {
      const topic = text(name);
      const found = rows(partitions, topic).map(
        ([pid, partition, next, clean, floor]) =>
          new StoredPartition(this.db, this.file, topic, [
            int(pid),
            int(partition),
            int(next),
            int(clean),
            int(floor),
          ]),
      );
      const retention = retentionOf(text(kind), int(ms));
      this.topics.set(topic, { name: topic, id: text(id), retention, partitions: found });
    }
  }

  createTopic(spec: TopicSpec, id: string): void {
    const { name, retention } = spec;
    const ms = retention.kind === 'compact' ? retention.tombstoneMs : retention.ms;
    const pids: number[] = [];
    this.transaction(`create topic ${name}`, () => {
      this.db.prepare('INSERT INTO topics VALUES (?, ?, ?, ?)').run(name, id, retention.kind, ms);
      const insert = this.db.prepare('INSERT INTO partitions VALUES (NULL, ?, ?, 0, 0, 0)');
      for (let partition = 0; partition < spec.partitions; partition++) {
        const pid = Number(insert.run(name, partition).lastInsertRowid);
        this.db.exec(partitionSchema(pid));
        pids.push(pid);
      }
    });
    const partitions = pids.map(
      (pid, index) => new StoredPartition(this.db, this.file, name, [pid, index, 0, 0, 0]),
    );
    this.topics.set(name, { name, id, retention, partitions });
  }

  setRetention(topic: StoredTopic, retention: Retention): void {
    const ms = retention.kind === 'compact' ? retention.tombstoneMs : retention.ms;
    this.transaction(`change topic ${topic.name}`, () => {
      this.db
        .prepare('UPDATE topics SET kind = ?, ms = ? WHERE name = ?')
        .run(retention.kind, ms, topic.name);
    });
    topic.retention = retention;
  }

  /** All or nothing, and durable on return. */
  transaction(what: string, work: () => void): void {
    try {
      this.db.exec('BEGIN IMMEDIATE');
      work();
      this.db.exec('COMMIT');
    } catch (cause) {
      // SQLite rolls some failures back by itself (a full disk), others not.
      if (this.db.isTransaction) this.db.exec('ROLLBACK');
      throw failure(this.file, what, cause);
    }
  }

  close(): void {
    this.db.close();
  }
}

function retentionOf(kind: string, ms: number): Retention {
  return kind === 'compact' ? { kind: 'compact', tombstoneMs: ms } : { kind: 'time', ms };
}

function prepare(db: DatabaseSync, file: string, maxBytes: number | undefined): void {
  // In this order: size and vacuum mode before the first page, exclusive before the first lock.
  db.exec(`PRAGMA page_size = ${pageBytes}`);
  db.exec('PRAGMA auto_vacuum = INCREMENTAL');
  db.exec('PRAGMA locking_mode = EXCLUSIVE');
  db.exec('PRAGMA journal_mode = WAL');
  db.exec('PRAGMA synchronous = FULL');
  // macOS: an fsync that reaches the disk.
  db.exec('PRAGMA fullfsync = ON');
  db.exec('PRAGMA checkpoint_fullfsync = ON');
  db.exec('PRAGMA journal_size_limit = 67108864');
  db.exec('BEGIN IMMEDIATE');
  db.exec('COMMIT');
  const pages = maxBytes === undefined ? 0x7ffffffe : Math.floor(maxBytes / pageBytes);
  db.exec(`PRAGMA max_page_count = ${pages}`);
  const version = pragma(db, 'user_version');
  const id = pragma(db, 'application_id');
  if (version === 0 && id === 0 && pragma(db, 'schema_version') === 0) {
    db.exec(
      `BEGIN; ${schema} PRAGMA application_id = ${applicationId};
       PRAGMA user_version = ${formatVersion}; COMMIT`,
    );
    return;
  }
  if (id !== applicationId) throw corrupt(file, 'is a database, but not a log');
  if (version !== formatVersion) {
    throw corrupt(file, `has format ${version}; this program reads format ${formatVersion}`);
  }
}

export function pragma(db: DatabaseSync, name: string): number {
  const statement = db.prepare(`PRAGMA ${name}`);
  statement.setReturnArrays(true);
  return int(row(statement)?.[0]);
}

function lockedBy(dir: string, holder: string, cause: unknown): LogError {
  let who = 'another process';
  try {
    who = `process ${readFileSync(holder, 'utf8').trim()}`;
  } catch {
    // The holder has the lock, but did not come to write its name yet.
  }
  return new LogError('locked', `${dir} is held by ${who}: one process at a time can use a log`, {
    retriable: true,
    cause,
  });
}
