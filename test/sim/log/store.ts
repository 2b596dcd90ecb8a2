import { LogError } from '@watershed/log/port.ts';
import type { Append, LogRecord, Position, Reset, TopicSpec } from '@watershed/log/port.ts';
import { Notice } from '@watershed/log/time.ts';

interface Copy {
  readonly records: readonly LogRecord[];
  readonly next: number;
  readonly floor: number;
  readonly cleanedMs: ReadonlyMap<number, number>;
}

/** One partition of the simulated log: its records, and what compaction knows of them. */
export class SimPartition {
  readonly topic: SimTopic;
  readonly index: number;
  records: LogRecord[] = [];
  /** The offset of the next append. */
  next = 0;
  /** Positions before this may have missed tombstones (or, kept by time, records). */
  floor = 0;
  readonly news = new Notice();
  /** Where it ended each time that it had lost its tail. */
  readonly cuts: number[] = [];
  /** When a tombstone's key was compacted first, by offset. */
  #cleanedMs = new Map<number, number>();
  #lastMs = 0;

  constructor(topic: SimTopic, index: number) {
    this.topic = topic;
    this.index = index;
  }

  append({ key, value, headers = {} }: Append, nowMs: number): LogRecord {
    this.#lastMs = Math.max(this.#lastMs, nowMs);
    const record = { key, value, headers, offset: this.next++, timestampMs: this.#lastMs };
    this.records.push(record);
    return record;
  }

  /** Of what is below the offset `below`, as Kafka does it and the embedded log. */
  compact(below: number, nowMs: number): void {
    const { retention } = this.topic.spec;
    if (retention.kind === 'time') {
      const young = this.records.findIndex((record) => record.timestampMs >= nowMs - retention.ms);
      const gone = this.records.splice(0, young === -1 ? this.records.length : young);
      this.floor = Math.max(this.floor, (gone.at(-1)?.offset ?? -1) + 1);
      return;
    }
    const last = new Map<string, number>();
    for (const { key, offset } of this.records) if (offset < below) last.set(key, offset);
    const cleanedMs = new Map<number, number>();
    this.records = this.records.filter(({ key, value, offset }) => {
      if (offset >= below) return true;
      if (last.get(key) !== offset) return false;
      if (value !== undefined) return true;
      const sinceMs = this.#cleanedMs.get(offset) ?? nowMs;
      if (nowMs - sinceMs < retention.tombstoneMs || sinceMs === nowMs) {
        cleanedMs.set(offset, sinceMs);
        return true;
      }
      this.floor = Math.max(this.floor, offset + 1);
      return false;
    });
    this.#cleanedMs = cleanedMs;
  }

  /** The records from `offset` on, at most so many (of so many bytes), and where to go on. */
  read(
    offset: number,
    maxRecords: number,
    maxBytes: number,
  ): { readonly records: readonly LogRecord[]; readonly next: number } {
    const records: LogRecord[] = [];
    let bytes = 0;
    for (let at = this.#indexOf(offset); at < this.records.length; at++) {
      const record = this.records[at];
      if (record === undefined) break;
      bytes += record.key.length + (record.value?.byteLength ?? 0);
      const full = records.length >= maxRecords || bytes > maxBytes;
      if (full && records.length > 0) return { records, next: record.offset };
      records.push(record);
    }
    return { records, next: this.next };
  }

  copy(): Copy {
    const { next, floor } = this;
    return { records: [...this.records], next, floor, cleanedMs: new Map(this.#cleanedMs) };
  }

  /**
   * What positions call their topic: with the number of cuts, as Kafka's leader epochs are in a
   * position. Without it a log that has grown again over a reader's position could not be told.
   */
  get idWithCuts(): string {
    return this.cuts.length === 0 ? this.topic.id : `${this.topic.id}~${this.cuts.length}`;
  }

  restore({ records, next, floor, cleanedMs }: Copy): void {
    this.records = [...records];
    this.next = next;
    this.floor = floor;
    this.#cleanedMs = new Map(cleanedMs);
    this.cuts.push(next);
    this.news.tell();
  }

  #indexOf(offset: number): number {
    let from = 0;
    let to = this.records.length;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if ((this.records[middle]?.offset ?? 0) < offset) from = middle + 1;
      else to = middle;
    }
    return from;
  }
}

export class SimTopic {
  readonly spec: TopicSpec;
  id: string;
  readonly partitions: readonly SimPartition[];

  constructor(spec: TopicSpec, id: string) {
    this.spec = spec;
    this.id = id;
    this.partitions = Array.from(
      { length: spec.partitions },
      (_, at) => new SimPartition(this, at),
    );
  }
}

/** What is kept of a log aside, to be put back later. */
export type StoreCopy = ReadonlyMap<
  string,
  { readonly id: string; readonly copies: readonly Copy[] }
>;

/** What the log has, whoever is connected to it. */
export class SimStore {
  readonly topics = new Map<string, SimTopic>();
  /** Told of each record, in the order in which the log takes them. */
  onAppend: ((partition: SimPartition, record: LogRecord) => void) | undefined;
  readonly #name: string;
  #topicsCreated = 0;

  /** `name`: no other store has topics of the same ids. */
  constructor(name = 'topic') {
    this.#name = name;
  }

  ensure(specs: readonly TopicSpec[]): void {
    for (const spec of specs) {
      const known = this.topics.get(spec.name)?.partitions.length;
      if (known === undefined) this.topics.set(spec.name, new SimTopic(spec, this.#newId()));
      else if (known !== spec.partitions) {
        const message = `topic ${spec.name} has ${known} partitions, not ${spec.partitions}`;
        throw new LogError('partition-mismatch', message, { retriable: false });
      }
    }
  }

  partition(topic: string, index: number): SimPartition {
    const found = this.topics.get(topic)?.partitions[index];
    if (found !== undefined) return found;
    const message = `there is no partition ${index} of a topic ${topic}`;
    throw new LogError('unknown-topic', message, { retriable: false });
  }

  *partitions(): Generator<SimPartition, void, void> {
    for (const topic of this.topics.values()) yield* topic.partitions;
  }

  append(partition: SimPartition, append: Append, nowMs: number): number {
    const record = partition.append(append, nowMs);
    this.onAppend?.(partition, record);
    return record.offset;
  }

  copy(): StoreCopy {
    return new Map(
      [...this.topics].map(([name, { id, partitions }]) => [
        name,
        { id, copies: partitions.map((partition) => partition.copy()) },
      ]),
    );
  }

  /** `renamed`: under other topic ids, as who puts files back by hand is told to give them. */
  restore(copy: StoreCopy, renamed: boolean): void {
    for (const [name, { copies }] of copy) {
      const topic = this.topics.get(name);
      if (topic === undefined) continue;
      if (renamed) topic.id = this.#newId();
      for (const [at, kept] of copies.entries()) topic.partitions[at]?.restore(kept);
    }
  }

  #newId(): string {
    return `${this.#name}-${++this.#topicsCreated}`;
  }
}

/** Where a reader stands within one call of `read`. */
export class Cursor {
  offset: number;
  /** To be told with the next batch. */
  reset: Reset | undefined;
  topicId = '';
  readonly #partition: SimPartition;
  /** When it began with nothing; `undefined` while it goes on from a position. */
  #scratchMs: number | undefined;

  constructor(partition: SimPartition, from: Position | undefined, nowMs: number) {
    this.#partition = partition;
    this.offset = from?.offset ?? 0;
    if (from === undefined) this.#startOver('no-position', nowMs);
    else this.topicId = from.topicId;
    this.check(nowMs);
  }

  /** The log may have changed under it: compacted, cut back, another one. */
  check(nowMs: number): void {
    const { topic, cuts, floor, next } = this.#partition;
    const [id = '', cut = '0'] = this.topicId.split('~');
    this.topicId = this.#partition.idWithCuts;
    if (this.reset !== undefined) return;
    if (id !== topic.id) this.#startOver('other-topic', nowMs);
    else if (this.offset > Math.min(next, ...cuts.slice(Number(cut)))) {
      this.#startOver('beyond-end', nowMs);
    } else if (this.offset < floor && !this.#mayGoOn(nowMs)) {
      this.#startOver('older-than-tombstones', nowMs);
    }
  }

  /** What it read was superseded after it began, so those tombstones stay that long. */
  #mayGoOn(nowMs: number): boolean {
    const { retention } = this.#partition.topic.spec;
    if (this.#scratchMs === undefined) return false;
    return retention.kind === 'time' || nowMs - this.#scratchMs < retention.tombstoneMs;
  }

  advance(next: number): void {
    this.offset = next;
    if (next === this.#partition.next) this.#scratchMs = undefined;
  }

  #startOver(reset: Reset, nowMs: number): void {
    this.reset = reset;
    this.offset = 0;
    this.#scratchMs = nowMs;
  }
}
