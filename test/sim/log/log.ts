/** One process's connection to the simulated log, with all that a network may do to it. */
import { LogError } from '@watershed/log/port.ts';
import type { Append, Log, Position, ReadBatch, TopicSpec } from '@watershed/log/port.ts';
import { isClaimKey } from '@watershed/log/ownership.ts';
import { checkedBytes } from '@watershed/log/size.ts';
import { pause } from '@watershed/log/time.ts';
import type { LogTime } from '@watershed/log/time.ts';
import { Cursor } from './store.ts';
import type { SimPartition, SimStore } from './store.ts';

/**
 * What becomes of an append: `taken` and answered; `refused`; taken but the answer is `lost`; an
 * error first, and then it arrives after all, `late`, and maybe `twice` (more than a log may do
 * with data, and what it must not do with claims); or a `part` of it arrives.
 */
export type Fate = 'taken' | 'refused' | 'lost' | 'late' | 'twice' | 'part';

/** What the network does to one connection; asked each time. */
export interface LogNetwork {
  /** Whether nothing gets through now. */
  down(): boolean;
  /** Of one message, in one direction, in ms. */
  latencyMs(): number;
  fate(): Fate;
  /** Whether a reader's connection breaks before its next batch. */
  breaks(): boolean;
  /** How long what is late is under way. */
  lateMs(): number;
  /** Of a batch. */
  maxRecords(): number;
}

export const perfectNetwork: LogNetwork = {
  down: () => false,
  latencyMs: () => 0,
  fate: () => 'taken',
  breaks: () => false,
  lateMs: () => 0,
  maxRecords: () => 1_000,
};

export interface SimLogOptions {
  readonly store: SimStore;
  /** The world's: messages under way do not die with their process. */
  readonly time: LogTime;
  readonly network: LogNetwork;
  readonly maxRecordBytes?: number;
}

const maxBatchBytes = 1024 * 1024;

interface Arrival {
  readonly appends: readonly Append[];
  readonly done: (offsets: readonly number[]) => void;
}

export class SimLog implements Log {
  readonly #options: SimLogOptions;
  /** What is under way to each partition: it arrives in the order in which it was sent. */
  readonly #lanes = new Map<SimPartition, Arrival[]>();
  readonly #closing = new AbortController();
  #killed = false;

  constructor(options: SimLogOptions) {
    this.#options = options;
  }

  async ensureTopics(specs: readonly TopicSpec[]): Promise<void> {
    await this.#reach();
    this.#options.store.ensure(specs);
    await this.#return();
  }

  async append(records: readonly Append[]): Promise<readonly number[]> {
    this.#checkOpen();
    const { store, network, maxRecordBytes = 1024 * 1024 } = this.#options;
    const parts = new Map<SimPartition, number[]>();
    for (const [at, record] of records.entries()) {
      checkedBytes(record, maxRecordBytes);
      const partition = store.partition(record.topic, record.partition);
      const part = parts.get(partition);
      if (part === undefined) parts.set(partition, [at]);
      else part.push(at);
    }
    if (parts.size === 0) return [];
    const fate = network.down() ? 'refused' : network.fate();
    const offsets: number[] = [];
    const arrivals = [...parts].map(([partition, part]) =>
      this.#send(fate, partition, part.map((at) => records[at]).filter(isPresent), (given) => {
        for (const [index, at] of part.entries()) offsets[at] = given[index] ?? 0;
      }),
    );
    await Promise.all(arrivals);
    await this.#return();
    if (fate !== 'taken') throw unavailable(`the append was ${fate}`);
    return offsets;
  }

  /** Resolves when nothing more is waited for. */
  #send(
    fate: Fate,
    partition: SimPartition,
    appends: readonly Append[],
    done: (offsets: readonly number[]) => void,
  ): Promise<void> {
    const { network, time } = this.#options;
    if (fate === 'refused') return Promise.resolve();
    if (fate === 'late' || fate === 'twice') {
      const isClaim = appends.some(({ key }) => isClaimKey(key));
      for (let times = fate === 'twice' && !isClaim ? 2 : 1; times > 0; times--) {
        time.after(network.lateMs(), () => this.#arrive(partition, appends));
      }
      return Promise.resolve();
    }
    const sent = fate === 'part' ? appends.slice(0, Math.floor(appends.length / 2)) : appends;
    return new Promise((resolve) => {
      const arrival: Arrival = {
        appends: sent,
        done: (offsets) => {
          done(offsets);
          resolve();
        },
      };
      const lane = this.#lanes.get(partition) ?? [];
      this.#lanes.set(partition, lane);
      lane.push(arrival);
      this.#after(network.latencyMs(), () => this.#next(partition));
    });
  }

  #next(partition: SimPartition): void {
    const arrival = this.#lanes.get(partition)?.shift();
    if (arrival !== undefined) arrival.done(this.#arrive(partition, arrival.appends));
  }

  #arrive(partition: SimPartition, appends: readonly Append[]): readonly number[] {
    const { store, time } = this.#options;
    const offsets = appends.map((append) =>
      store.append(partition, append, Math.floor(time.now())),
    );
    partition.news.tell();
    return offsets;
  }

  async *read(
    topic: string,
    index: number,
    from: Position | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<ReadBatch, void, void> {
    if (signal.aborted) return;
    this.#checkOpen();
    const { store, network, time } = this.#options;
    const partition = store.partition(topic, index);
    const ending = firstOf([signal, this.#closing.signal]);
    const cursor = new Cursor(partition, from, time.now());
    for (let first = true; !signal.aborted; first = false) {
      this.#checkOpen();
      if (network.down() || network.breaks()) {
        await this.#wait(network.latencyMs(), ending);
        throw unavailable('the connection broke');
      }
      cursor.check(time.now());
      const batch = fetch(cursor, partition, network.maxRecords());
      if (first || batch.records.length > 0 || batch.reset !== undefined) {
        await this.#wait(network.latencyMs(), ending);
        if (signal.aborted) return;
        this.#checkOpen();
        yield batch;
      } else await settled(partition.news.next(), ending);
      // A dead process reads no more.
      if (this.#killed) await never();
    }
  }

  async end(topic: string, index: number): Promise<Position> {
    this.#checkOpen();
    await this.#reach();
    const partition = this.#options.store.partition(topic, index);
    const position = { topicId: partition.idWithCuts, offset: partition.next };
    await this.#return();
    return position;
  }

  async close(): Promise<void> {
    for (const [partition, lane] of this.#lanes) while (lane.length > 0) this.#next(partition);
    this.#closing.abort();
  }

  /**
   * The process dies: it hears no more. Of what is under way to a partition, `arrives(n)` tells how
   * much still does.
   */
  kill(arrives: (waiting: number) => number): void {
    this.#killed = true;
    for (const lane of this.#lanes.values()) lane.splice(arrives(lane.length));
  }

  async #reach(): Promise<void> {
    const { network } = this.#options;
    await this.#wait(network.latencyMs());
    if (network.down()) throw unavailable('the log cannot be reached');
  }

  #return(): Promise<void> {
    return this.#closing.signal.aborted
      ? Promise.resolve()
      : this.#wait(this.#options.network.latencyMs(), this.#closing.signal);
  }

  async #wait(delayMs: number, signal?: AbortSignal): Promise<void> {
    if (delayMs > 0) await pause(this.#options.time, delayMs, signal);
    if (this.#killed) await never();
  }

  #after(delayMs: number, callback: () => void): void {
    const { time } = this.#options;
    if (delayMs > 0) time.after(delayMs, callback);
    else time.soon(callback);
  }

  #checkOpen(): void {
    if (!this.#closing.signal.aborted) return;
    throw new LogError('closed', 'the log is closed', { retriable: false });
  }
}

/** One for each who waits: it would keep them all. */
function never(): Promise<never> {
  return new Promise(() => undefined);
}

function fetch(cursor: Cursor, partition: SimPartition, maxRecords: number): ReadBatch {
  const { records, next } = partition.read(cursor.offset, maxRecords, maxBatchBytes);
  cursor.advance(next);
  const { reset, topicId } = cursor;
  cursor.reset = undefined;
  const caughtUp = next === partition.next;
  const position = { topicId, offset: next };
  return { ...(reset === undefined ? {} : { reset }), records, position, caughtUp };
}

function unavailable(message: string): LogError {
  return new LogError('unavailable', message, { retriable: true });
}

function isPresent<T>(value: T | undefined): value is T {
  return value !== undefined;
}

/** Not `AbortSignal.any`: while somebody listens to one, it is kept, with all that is behind it. */
function firstOf(signals: readonly AbortSignal[]): AbortSignal {
  const first = new AbortController();
  for (const signal of signals) {
    signal.addEventListener('abort', () => first.abort(), { once: true });
  }
  return first.signal;
}

/** Resolves with the promise, or when the signal aborts. */
async function settled(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const aborted = Promise.withResolvers<void>();
  const done = (): void => aborted.resolve();
  signal.addEventListener('abort', done, { once: true });
  await Promise.race([promise, aborted.promise]);
  signal.removeEventListener('abort', done);
}
