import type { Log } from '@watershed/log/port.ts';
import { Notice } from '@watershed/log/time.ts';
import { topicSpecs } from '@watershed/log/topics.ts';
import { topics } from '@watershed/model/keys.ts';
import { stampNow, type BareWay } from './messages.ts';

/** About as much as one endpoint record. */
const padding = 'x'.repeat(400);

/**
 * A record that is produced and consumed, and nothing else: what the broker and the client cost.
 * Its topics are like `endpoints`: to a broker, a record of one of many partitions is dearer than
 * one of a single partition, of which all is at hand.
 */
export class Bare {
  readonly #log: Log;
  readonly #way: BareWay;
  readonly #stop = new AbortController();
  readonly #news = new Notice();
  #latencies: number[] = [];
  readonly #partitions: number;
  #last = 0;
  #reading: Promise<unknown> = Promise.resolve();

  private constructor(log: Log, way: BareWay, partitions: number) {
    this.#log = log;
    this.#way = way;
    this.#partitions = partitions;
  }

  static async open(log: Log, way: BareWay, partitions: number): Promise<Bare> {
    const endpoints = topicSpecs({ shards: partitions }).find(
      ({ name }) => name === topics.endpoints,
    );
    if (endpoints === undefined) throw new Error('no topic to be like');
    const names = new Set([way.to, way.from]);
    await log.ensureTopics([...names].map((name) => ({ ...endpoints, name })));
    const bare = new Bare(log, way, partitions);
    const each = Array.from({ length: partitions }, (_, partition) => bare.#read(partition));
    bare.#reading = Promise.all(each);
    // Told by close; until then the log may be closed for another reason.
    bare.#reading.catch(() => undefined);
    return bare;
  }

  /**
   * Resolves when it was read: what this process does next must not be in the way of its being
   * read.
   */
  async roundTrip(): Promise<void> {
    const read = this.#news.next();
    const value = Buffer.from(JSON.stringify({ stamp: stampNow(), padding }));
    const partition = this.#last++ % this.#partitions;
    const topic = this.#way.to;
    await this.#log.append([{ topic, partition, key: 'bare', value, headers: {} }]);
    await Promise.race([read, this.#reading]);
  }

  mark(): void {
    this.#latencies = [];
  }

  /** Milliseconds since the mark, ascending. */
  latencies(): readonly number[] {
    return this.#latencies.toSorted((a, b) => a - b);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#reading;
  }

  async #read(partition: number): Promise<void> {
    const { signal } = this.#stop;
    for await (const { records } of this.#log.read(this.#way.from, partition, undefined, signal)) {
      for (const { value } of records) {
        const { stamp } = JSON.parse(Buffer.from(value ?? []).toString()) as { stamp: number };
        this.#latencies.push((stampNow() - stamp) / 10);
      }
      if (records.length > 0) this.#news.tell();
    }
  }
}
