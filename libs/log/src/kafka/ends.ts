import type { RecordsBatch } from '@platformatic/kafka';
import { pause } from '../time.ts';
import type { LogTime } from '../time.ts';
import type { KafkaClient } from './client.ts';
import { code } from './failure.ts';
import { FetchSession, fewPartitions, keyOf } from './session.ts';
import type { FetchLimits, FetchResponse, PartitionResponse, Standing } from './session.ts';

/** What a broker said of one partition. */
export interface Answer {
  /** Other than `none`: it says nothing else, for this reason. */
  readonly errorCode: number;
  /**
   * May be none though the end is beyond where the reader stands: where other partitions' took all
   * room.
   */
  readonly batches: readonly RecordsBatch[];
  /** Of what readers may read. */
  readonly end: number;
  /** The leader's log ends, under the leader of what was read last, before that. */
  readonly diverges: boolean;
  readonly throttled: boolean;
  /** Before the request was sent. */
  readonly askedMs: number;
}

interface Waiter {
  readonly at: Standing;
  readonly waitMs: number;
  readonly untilMs: number;
  readonly settled: PromiseWithResolvers<Answer>;
  isSettled: boolean;
}

export interface EndsOptions {
  readonly client: KafkaClient;
  readonly time: LogTime;
  /** Of one answer, unless its first batch is bigger. */
  readonly maxBytes: number;
}

/** Of those who wait: until there is something to tell, or hear it late. */
export interface Patience {
  /** At the latest told after so long, with nothing if there is nothing. */
  readonly waitMs: number;
  /** How late the reader may hear of something. */
  readonly lagMs: number;
}

/** Connections to one broker that are kept while nobody waits on them. */
const maxFree = 8;
/**
 * Between an answer that brought something and the next request: what has come meanwhile, in all
 * partitions, comes together.
 */
const gatherMs = 3;

/** All who wait, with the same lag, at ends of partitions that one broker leads. */
class Broker {
  readonly #options: EndsOptions;
  readonly #node: number;
  readonly #lagMs: number;
  readonly #free: FetchSession[] = [];
  #waiting: Waiter[] = [];
  #gathering = false;
  /** Requests that are there. */
  #asking = 0;

  constructor(options: EndsOptions, node: number, lagMs: number) {
    this.#options = options;
    this.#node = node;
    this.#lagMs = lagMs;
  }

  add(waiter: Waiter): void {
    this.#waiting.push(waiter);
    this.#gather(0);
  }

  #gather(afterMs: number): void {
    if (this.#gathering || this.#waiting.length === 0) return;
    // Who may hear late can wait for the answer to the others.
    if (this.#lagMs > 0 && this.#asking > 0) return;
    this.#gathering = true;
    void this.#send(afterMs);
  }

  async #send(afterMs: number): Promise<void> {
    await (afterMs > 0 ? pause(this.#options.time, afterMs) : Promise.resolve());
    this.#gathering = false;
    const asked = this.#take();
    if (asked.size === 0) return;
    this.#asking++;
    const hasCome = await this.#ask(asked);
    this.#asking--;
    this.#gather(hasCome ? gatherMs : 0);
  }

  /** Each partition once: a second reader of it asks for itself. */
  #take(): ReadonlyMap<string, Waiter> {
    const taken = new Map<string, Waiter>();
    const left: Waiter[] = [];
    for (const waiter of this.#waiting) {
      if (waiter.isSettled) continue;
      const { key } = waiter.at;
      if (taken.has(key)) left.push(waiter);
      else taken.set(key, waiter);
    }
    this.#waiting = left;
    this.#gather(0);
    return taken;
  }

  /** Gives whether there was something for somebody. */
  async #ask(asked: ReadonlyMap<string, Waiter>): Promise<boolean> {
    const { client, time } = this.#options;
    let session: FetchSession | undefined;
    try {
      session = this.#takeFree(asked.size) ?? new FetchSession(await client.connectTo(this.#node));
      const askedMs = time.now();
      const response = await session.fetch(asked, this.#limits(asked, askedMs));
      const hasCome = this.#tell(asked, response, askedMs);
      if (this.#free.length < maxFree) this.#free.push(session);
      else client.release(session.connection);
      return hasCome;
    } catch (error) {
      if (session !== undefined) client.release(session.connection);
      for (const waiter of asked.values()) settle(waiter, ({ reject }) => reject(error));
      return false;
    }
  }

  /** For many, the one that knows most of them; brokers close what is idle for long. */
  #takeFree(count: number): FetchSession | undefined {
    this.#free.sort((a, b) => a.size - b.size);
    const next = () => (count < fewPartitions ? this.#free.shift() : this.#free.pop());
    let session = next();
    while (session?.connection.isConnected() === false) session = next();
    return session;
  }

  #limits(asked: ReadonlyMap<string, Waiter>, nowMs: number): FetchLimits {
    const { maxBytes } = this.#options;
    let waitMs = this.#lagMs > 0 ? this.#lagMs / 2 : Infinity;
    for (const { untilMs } of asked.values()) waitMs = Math.min(waitMs, untilMs - nowMs);
    const minBytes = this.#lagMs > 0 ? maxBytes / 4 : 1;
    return { minBytes, waitMs: Math.max(1, waitMs), maxBytes };
  }

  /** Who is told nothing new goes on to wait. Gives whether there was something for somebody. */
  #tell(asked: ReadonlyMap<string, Waiter>, response: FetchResponse, askedMs: number): boolean {
    const news = new Set<Waiter>();
    for (const { topicId, partitions } of response.responses) {
      for (const one of partitions) {
        const waiter = asked.get(keyOf(topicId, one.partitionIndex));
        const told = answerOf(one, response, askedMs);
        if (waiter === undefined || !isNew(told, waiter.at)) continue;
        news.add(waiter);
        settle(waiter, ({ resolve }) => resolve(told));
      }
    }
    const nowMs = this.#options.time.now();
    for (const waiter of asked.values()) {
      if (news.has(waiter)) continue;
      const { untilMs, waitMs } = waiter;
      // Those that have waited for long hear together, so that they ask together again; and when
      // there is nothing else to do, if that is soon enough.
      const isLong = untilMs - nowMs <= (news.size > 0 ? 0 : waitMs / 2);
      if (response.errorCode !== code.none || (isLong && response.throttleTimeMs === 0)) {
        settle(waiter, ({ resolve }) => resolve(nothingOf(waiter.at, response, askedMs)));
      } else this.#waiting.push(waiter);
    }
    return news.size > 0;
  }
}

/**
 * Readers that have read all wait at the brokers for more: those that begin together, or were told
 * together, in one request, where one request for each partition would be most of what a flood
 * costs them and the broker. Who begins to wait while a request is there has one of his own, until
 * both are answered; who may hear late waits for the next.
 */
export class Ends {
  readonly #options: EndsOptions;
  readonly #brokers = new Map<string, Broker>();

  constructor(options: EndsOptions) {
    this.#options = options;
  }

  /** Resolves when there is something to tell of the partition. */
  async wait(at: Standing, { waitMs, lagMs }: Patience, signal: AbortSignal): Promise<Answer> {
    const { client, time } = this.#options;
    const node = await client.leaderNode(at.topic, at.partition);
    signal.throwIfAborted();
    const settled = Promise.withResolvers<Answer>();
    const waiter = { at, waitMs, untilMs: time.now() + waitMs, settled, isSettled: false };
    const end = (): void => settle(waiter, ({ reject }) => reject(signal.reason));
    signal.addEventListener('abort', end, { once: true });
    this.#broker(node, lagMs).add(waiter);
    try {
      return await settled.promise;
    } finally {
      signal.removeEventListener('abort', end);
    }
  }

  #broker(node: number, lagMs: number): Broker {
    const key = `${node} ${lagMs}`;
    let broker = this.#brokers.get(key);
    if (broker === undefined) {
      broker = new Broker(this.#options, node, lagMs);
      this.#brokers.set(key, broker);
    }
    return broker;
  }
}

/** Of one partition's part of a response. */
export function answerOf(
  { errorCode, highWatermark, records, divergingEpoch }: PartitionResponse,
  { throttleTimeMs }: FetchResponse,
  askedMs: number,
): Answer {
  return {
    errorCode,
    batches: records ?? [],
    end: Number(highWatermark),
    diverges: divergingEpoch !== undefined && divergingEpoch.epoch >= 0,
    throttled: throttleTimeMs !== 0,
    askedMs,
  };
}

/** Of a partition that is not in a response: the end is where it was. */
function nothingOf({ offset }: Standing, { errorCode }: FetchResponse, askedMs: number): Answer {
  return { errorCode, batches: [], end: offset, diverges: false, throttled: false, askedMs };
}

function isNew({ errorCode, diverges, end, batches }: Answer, { offset }: Standing): boolean {
  return errorCode !== code.none || diverges || end !== offset || batches.length > 0;
}

function settle(waiter: Waiter, how: (settled: PromiseWithResolvers<Answer>) => void): void {
  if (waiter.isSettled) return;
  waiter.isSettled = true;
  how(waiter.settled);
}
