/**
 * Brings what should be on the log there: one write at a time, the newest value of each key, in the
 * order of `turnOf` however many writes it takes, tried again for as long as the log may come back.
 * What waits is bounded by the number of keys.
 */
import { isRetriable, LogError } from '@watershed/log/port.ts';
import { topics } from '@watershed/model/keys.ts';
import { sleep, type Time } from '@watershed/runtime/clock.ts';
import type { Counters } from './counters.ts';
import type { PublishedEvent, Stored } from './ingest.ts';
import { eventId } from './outbox.ts';
import { sameBytes } from './registry.ts';
import { Waiting } from './waiting.ts';

export interface EventWrite extends PublishedEvent {
  readonly traceparent: string | undefined;
}

export interface EventWriter {
  /** Resolves when all are durable. Writing the same again is safe. Throws LogErrors. */
  write(batch: readonly EventWrite[]): Promise<void>;
}

export interface PublisherOptions {
  readonly writer: EventWriter;
  readonly time: Time;
  readonly counters: Pick<Counters, 'suppressed' | 'published' | 'retried'>;
  /** The log takes this never (too large). An event's last value stays; an object's goes. */
  readonly refused: (event: PublishedEvent, reason: string) => void;
  /** It has what comes after one that it refused: that is gone, or the same as before. */
  readonly taken: (event: PublishedEvent) => void;
  /** The log takes nothing any more: another process owns it, or it is closed. */
  readonly failed: (error: unknown) => void;
}

const maxBatch = 1_000;
const firstRetryMs = 100;
const maxRetryMs = 5_000;

export class Publisher {
  readonly #options: PublisherOptions;
  readonly #known = new Map<string, Uint8Array>();
  /** A write of these failed: the log may have it, or get it yet, whatever is known. */
  readonly #doubtful = new Set<string>();
  readonly #waiting = new Waiting<EventWrite>();
  /** The log did not take the last value of these. */
  readonly #refused = new Set<string>();
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;

  /** `stored`: what the log holds already. */
  constructor(options: PublisherOptions, { events, objects }: Stored) {
    this.#options = options;
    for (const { topic, key, value } of [...events, ...objects]) {
      this.#known.set(eventId(topic, key), value);
    }
  }

  /** How many keys wait. */
  get waiting(): number {
    return this.#waiting.size;
  }

  publish(events: readonly PublishedEvent[], traceparent: string | undefined): void {
    if (this.#stop.signal.aborted) return;
    for (const event of events) this.#waiting.put({ ...event, traceparent });
    if (this.#running !== undefined || this.waiting === 0) return;
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** Resolves when all that was published so far (and since) is durable, or never will be. */
  async flushed(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  /**
   * Lets what waits be written until the signal aborts: then a write that is under way, which may
   * be tried for long inside of the log, is not waited for, and none comes after it.
   */
  async stop(signal: AbortSignal): Promise<void> {
    const { promise: isOver, resolve: over } = Promise.withResolvers<undefined>();
    const cut = (): void => {
      this.#stop.abort();
      over(undefined);
    };
    if (signal.aborted) cut();
    signal.addEventListener('abort', cut, { once: true });
    await Promise.race([this.flushed(), isOver]);
    signal.removeEventListener('abort', cut);
    cut();
  }

  async #run(): Promise<void> {
    let retryMs = firstRetryMs;
    while (this.waiting > 0 && !this.#stop.signal.aborted) {
      const batch = this.#take();
      if (batch.length === 0) continue;
      try {
        await this.#write(batch);
        retryMs = firstRetryMs;
      } catch (error) {
        if (!isRetriable(error)) {
          this.#stop.abort();
          this.#options.failed(error);
          return;
        }
        this.#options.counters.retried();
        this.#giveBack(batch);
        await sleep(this.#options.time, retryMs, this.#stop.signal).catch(() => undefined);
        retryMs = Math.min(maxRetryMs, 2 * retryMs);
      }
    }
  }

  /** The next events that differ from what the log holds, as far as that is known. */
  #take(): readonly EventWrite[] {
    const batch: EventWrite[] = [];
    for (const event of this.#waiting.take()) {
      const id = eventId(event.topic, event.key);
      const known = this.#known.get(id);
      const { value } = event;
      const isSame =
        value === undefined ? known === undefined : known !== undefined && sameBytes(known, value);
      if (!isSame || this.#doubtful.has(id)) {
        batch.push(event);
        if (batch.length >= maxBatch) break;
        continue;
      }
      this.#settled(event);
      if (isEvent(event)) this.#options.counters.suppressed('log', kindOf(event), 1);
    }
    return batch;
  }

  #giveBack(batch: readonly EventWrite[]): void {
    for (const event of batch) {
      this.#doubtful.add(eventId(event.topic, event.key));
      if (!this.#waiting.has(event)) this.#waiting.put(event);
    }
  }

  /**
   * A batch with an event that is too large is written one by one, so that only that one is lost.
   */
  async #write(batch: readonly EventWrite[]): Promise<void> {
    try {
      await this.#options.writer.write(batch);
    } catch (error) {
      if (!(error instanceof LogError && error.code === 'record-too-large')) throw error;
      const [only, ...others] = batch;
      if (only === undefined) return;
      if (others.length === 0) {
        const id = eventId(only.topic, only.key);
        // None is better than an older version: what the object gives is of this one.
        if (!isEvent(only) && (this.#known.has(id) || this.#doubtful.has(id))) {
          await this.#options.writer.write([{ ...only, value: undefined }]);
          this.#known.delete(id);
        }
        // It may be what `history` alone did not take.
        if (isEvent(only)) this.#doubtful.add(id);
        this.#refused.add(id);
        this.#options.refused(only, error.message);
        return;
      }
      for (const event of batch) await this.#write([event]);
      return;
    }
    for (const event of batch) this.#written(event);
  }

  #written(event: EventWrite): void {
    const id = eventId(event.topic, event.key);
    this.#doubtful.delete(id);
    if (event.value === undefined) this.#known.delete(id);
    else this.#known.set(id, event.value);
    this.#settled(event);
    if (!isEvent(event)) return;
    const operation = event.value === undefined ? 'tombstone' : 'upsert';
    this.#options.counters.published(kindOf(event), operation);
  }

  #settled(event: EventWrite): void {
    if (this.#refused.delete(eventId(event.topic, event.key))) this.#options.taken(event);
  }
}

/** Whether anybody but its own source is told. */
function isEvent({ topic }: PublishedEvent): boolean {
  return topic !== topics.objects;
}

/** The kind of the object that an event comes from. */
function kindOf({ owner }: PublishedEvent): string {
  return owner.split('/')[1] ?? owner;
}
