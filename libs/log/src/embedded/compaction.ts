import type { StatementSync } from 'node:sqlite';
import { int, row, rows, text } from './codec.ts';
import { pragma } from './store.ts';
import type { Store, StoredPartition, StoredTopic } from './store.ts';

/**
 * Records looked at in one slice; a slice is one transaction (about 5 ms) and one turn of the event
 * loop.
 */
const sliceRecords = 500;
/** Free pages given back to the file system in one slice. */
const slicePages = 128;

interface Statements {
  readonly dirty: StatementSync;
  readonly expired: StatementSync;
  readonly previous: StatementSync;
  readonly setLatest: StatementSync;
  readonly dropLatest: StatementSync;
  readonly dropRecord: StatementSync;
  readonly addDead: StatementSync;
  readonly dropDead: StatementSync;
  readonly dead: StatementSync;
  readonly keyAt: StatementSync;
  readonly save: StatementSync;
}

/**
 * Compaction in slices. Each record is looked at once: if the key has an older one, that is
 * deleted. What is known of the compacted part is in the tables `k` and `d`, written in the same
 * transactions, so a crash between two slices loses nothing.
 *
 * A tombstone is removed `tombstoneMs` after its key was first compacted (not after it was
 * appended), as in Kafka: whoever read the key's older value did so before that, and has
 * `tombstoneMs` to read on.
 */
export class Compactor {
  readonly #store: Store;
  readonly #statements = new Map<number, Statements>();
  #shrunk = false;

  constructor(store: Store) {
    this.#store = store;
  }

  /** How many records compaction has not looked at. */
  backlog(topic: StoredTopic, partition: StoredPartition): number {
    return topic.retention.kind === 'compact' ? partition.next - partition.clean : 0;
  }

  /**
   * One bounded slice of what is below the offset `below` (appends go on meanwhile). `false`: there
   * is nothing left to do.
   */
  slice(topic: StoredTopic, partition: StoredPartition, below: number, nowMs: number): boolean {
    if (topic.retention.kind === 'time') {
      return this.#expire(partition, nowMs - topic.retention.ms);
    }
    if (partition.clean < below) return this.#compact(partition, nowMs);
    return this.#dropTombstones(partition, nowMs - topic.retention.tombstoneMs);
  }

  /** Gives a bounded number of pages back when a quarter of the file is free. `false`: none. */
  shrink(): boolean {
    const db = this.#store.db;
    if (pragma(db, 'freelist_count') * 4 < pragma(db, 'page_count')) {
      // The file itself shrinks when its write-ahead log is merged.
      if (this.#shrunk) db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
      this.#shrunk = false;
      return false;
    }
    db.exec(`PRAGMA incremental_vacuum(${slicePages})`);
    this.#shrunk = true;
    return true;
  }

  #compact(partition: StoredPartition, nowMs: number): boolean {
    const s = this.#prepare(partition);
    const found = rows(s.dirty, partition.clean, sliceRecords);
    const latest = new Map<string, { readonly offset: number; readonly dead: boolean }>();
    const superseded: number[] = [];
    let clean = partition.next;
    for (const [offsetColumn, keyColumn, dead] of found) {
      const offset = int(offsetColumn);
      const key = text(keyColumn);
      const older = latest.get(key);
      if (older !== undefined) superseded.push(older.offset);
      latest.set(key, { offset, dead: dead === 1 });
      if (found.length === sliceRecords) clean = offset + 1;
    }
    this.#store.transaction(`compact ${partition.label}`, () => {
      for (const offset of superseded) s.dropRecord.run(offset);
      for (const [key, { offset, dead }] of latest) {
        const previous = row(s.previous, key)?.[0];
        if (previous !== undefined) {
          s.dropRecord.run(int(previous));
          s.dropDead.run(int(previous));
        }
        s.setLatest.run(key, offset);
        if (dead) s.addDead.run(offset, nowMs);
      }
      s.save.run(partition.next, clean, partition.floor, partition.pid);
    });
    partition.clean = clean;
    return true;
  }

  #dropTombstones(partition: StoredPartition, cleanedBeforeMs: number): boolean {
    const s = this.#prepare(partition);
    const found = rows(s.dead, cleanedBeforeMs, sliceRecords);
    if (found.length === 0) return false;
    let floor = partition.floor;
    this.#store.transaction(`compact ${partition.label}`, () => {
      for (const [column] of found) {
        const offset = int(column);
        const key = row(s.keyAt, offset)?.[0];
        if (key !== undefined) s.dropLatest.run(text(key));
        s.dropRecord.run(offset);
        s.dropDead.run(offset);
        floor = Math.max(floor, offset + 1);
      }
      s.save.run(partition.next, partition.clean, floor, partition.pid);
    });
    partition.floor = floor;
    return true;
  }

  #expire(partition: StoredPartition, beforeMs: number): boolean {
    const s = this.#prepare(partition);
    const found = rows(s.expired, partition.floor, sliceRecords);
    // Up to the first young one: the clock may have gone back between two records.
    const young = found.findIndex(([, timestampMs]) => int(timestampMs) >= beforeMs);
    const old = young === -1 ? found : found.slice(0, young);
    const last = old.at(-1);
    if (last === undefined) return false;
    const floor = int(last[0]) + 1;
    this.#store.transaction(`expire ${partition.label}`, () => {
      for (const [offset] of old) s.dropRecord.run(int(offset));
      s.save.run(partition.next, partition.clean, floor, partition.pid);
    });
    partition.floor = floor;
    return true;
  }

  #prepare({ pid }: StoredPartition): Statements {
    const known = this.#statements.get(pid);
    if (known !== undefined) return known;
    const prepare = (sql: string): StatementSync => {
      const statement = this.#store.db.prepare(sql);
      statement.setReturnArrays(true);
      return statement;
    };
    const statements: Statements = {
      dirty: prepare(
        `SELECT offset, key, value IS NULL FROM r${pid} WHERE offset >= ? ORDER BY offset LIMIT ?`,
      ),
      expired: prepare(`SELECT offset, ts FROM r${pid} WHERE offset >= ? ORDER BY offset LIMIT ?`),
      previous: prepare(`SELECT offset FROM k${pid} WHERE key = ?`),
      setLatest: prepare(`INSERT OR REPLACE INTO k${pid} VALUES (?, ?)`),
      dropLatest: prepare(`DELETE FROM k${pid} WHERE key = ?`),
      dropRecord: prepare(`DELETE FROM r${pid} WHERE offset = ?`),
      addDead: prepare(`INSERT INTO d${pid} VALUES (?, ?)`),
      dropDead: prepare(`DELETE FROM d${pid} WHERE offset = ?`),
      dead: prepare(`SELECT offset FROM d${pid} WHERE cleaned <= ? ORDER BY offset LIMIT ?`),
      keyAt: prepare(`SELECT key FROM r${pid} WHERE offset = ?`),
      save: prepare('UPDATE partitions SET next = ?, clean = ?, floor = ? WHERE pid = ?'),
    };
    this.#statements.set(pid, statements);
    return statements;
  }
}
