import type { Log } from '@watershed/log/port.ts';
import { Notice } from '@watershed/log/time.ts';
import { stampNow } from './messages.ts';

const topic = 'bare';
/** About as much as one endpoint record. */
const padding = 'x'.repeat(400);

/** A record that is produced and consumed, and nothing else: what the broker and the client cost. */
export class Bare {
  readonly #log: Log;
  readonly #stop = new AbortController();
  readonly #news = new Notice();
  #latencies: number[] = [];
  #reading: Promise<void> = Promise.resolve();

  private constructor(log: Log) {
    this.#log = log;
  }

  static async open(log: Log): Promise<Bare> {
    await log.ensureTopics([
      { name: topic, partitions: 1, retention: { kind: 'time', ms: 3_600_000 } },
    ]);
    const bare = new Bare(log);
    bare.#reading = bare.#read();
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
    await this.#log.append([{ topic, partition: 0, key: 'bare', value, headers: {} }]);
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

  async #read(): Promise<void> {
    for await (const { records } of this.#log.read(topic, 0, undefined, this.#stop.signal)) {
      for (const { value } of records) {
        const { stamp } = JSON.parse(Buffer.from(value ?? []).toString()) as { stamp: number };
        this.#latencies.push((stampNow() - stamp) / 10);
      }
      if (records.length > 0) this.#news.tell();
    }
  }
}
