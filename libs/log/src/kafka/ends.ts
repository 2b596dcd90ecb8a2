import { fetchV13 } from '@platformatic/kafka';
import type { Connection } from '@platformatic/kafka';
import { pause } from '../time.ts';
import type { LogTime } from '../time.ts';
import type { KafkaClient } from './client.ts';
import { answer } from './codec.ts';
import { code } from './failure.ts';

type Response = Awaited<ReturnType<typeof fetchV13.api.async>>;
type PartitionResponse = Response['responses'][number]['partitions'][number];

/** Where a reader stands. */
export interface Standing {
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  readonly offset: number;
  /** Of the last batch that was read; -1: none was. */
  readonly leaderEpoch: number;
}

/** What a broker said of one partition. */
export interface Answer {
  /**
   * `undefined`: nothing, for the reason of `errorCode`. It may be without records, though there
   * are some: where other partitions' took all room.
   */
  readonly result: PartitionResponse | undefined;
  readonly errorCode: number;
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

/** Connections to one broker that are kept while nobody waits on them. */
const maxFree = 8;
/**
 * Between an answer that brought something and the next request: what has come meanwhile, in all
 * partitions, comes together.
 */
const gatherMs = 3;

/** All who wait at ends of partitions that one broker leads. */
class Broker {
  readonly #options: EndsOptions;
  readonly #node: number;
  readonly #free: Connection[] = [];
  #waiting: Waiter[] = [];
  #gathering = false;

  constructor(options: EndsOptions, node: number) {
    this.#options = options;
    this.#node = node;
  }

  add(waiter: Waiter): void {
    this.#waiting.push(waiter);
    this.#gather(0);
  }

  #gather(afterMs: number): void {
    if (this.#gathering || this.#waiting.length === 0) return;
    this.#gathering = true;
    void this.#send(afterMs);
  }

  async #send(afterMs: number): Promise<void> {
    await (afterMs > 0 ? pause(this.#options.time, afterMs) : Promise.resolve());
    this.#gathering = false;
    const asked = this.#take();
    if (asked.length > 0) await this.#ask(asked);
  }

  /** Each partition once: a second reader of it asks for itself. */
  #take(): readonly Waiter[] {
    const taken = new Map<string, Waiter>();
    const left: Waiter[] = [];
    for (const waiter of this.#waiting) {
      if (waiter.isSettled) continue;
      const key = keyOf(waiter.at.topicId, waiter.at.partition);
      if (taken.has(key)) left.push(waiter);
      else taken.set(key, waiter);
    }
    this.#waiting = left;
    this.#gather(0);
    return [...taken.values()];
  }

  async #ask(asked: readonly Waiter[]): Promise<void> {
    const { client, time } = this.#options;
    let connection: Connection | undefined;
    let hasCome = false;
    try {
      connection = this.#takeFree() ?? (await client.connectTo(this.#node));
      const askedMs = time.now();
      const response = await this.#fetch(connection, asked, askedMs);
      hasCome = this.#tell(asked, response, askedMs);
      if (this.#free.length < maxFree) this.#free.push(connection);
      else client.release(connection);
    } catch (error) {
      if (connection !== undefined) client.release(connection);
      for (const waiter of asked) settle(waiter, ({ reject }) => reject(error));
    }
    this.#gather(hasCome ? gatherMs : 0);
  }

  /** Brokers close what is idle for long. */
  #takeFree(): Connection | undefined {
    const connection = this.#free.pop();
    return connection?.isConnected() === true ? connection : undefined;
  }

  #fetch(connection: Connection, asked: readonly Waiter[], nowMs: number): Promise<Response> {
    const { maxBytes } = this.#options;
    const topics = [...Map.groupBy(asked, ({ at }) => at.topicId)].map(([topicId, waiters]) => ({
      topicId,
      partitions: waiters.map(({ at }) => requestOf(at, maxBytes)),
    }));
    const waitMs = Math.min(...asked.map(({ untilMs }) => untilMs - nowMs));
    return fetchFrom(connection, Math.max(1, waitMs), maxBytes, topics);
  }

  /** Who is told nothing new goes on to wait. Gives whether there was something for somebody. */
  #tell(asked: readonly Waiter[], response: Response, askedMs: number): boolean {
    const results = new Map<string, PartitionResponse>();
    for (const { topicId, partitions } of response.responses) {
      for (const one of partitions) results.set(keyOf(topicId, one.partitionIndex), one);
    }
    const nowMs = this.#options.time.now();
    const throttled = response.throttleTimeMs !== 0;
    let hasCome = false;
    for (const waiter of asked) {
      const { at, untilMs, waitMs } = waiter;
      const result = results.get(keyOf(at.topicId, at.partition));
      const errorCode = result?.errorCode ?? response.errorCode;
      const isNews = result === undefined || errorCode !== code.none || isNew(result, at);
      hasCome ||= isNews;
      // Those that have waited for long hear with the others: so that they ask together again.
      if (isNews || untilMs - nowMs <= waitMs / 2) {
        settle(waiter, ({ resolve }) => resolve({ result, errorCode, throttled, askedMs }));
      } else this.#waiting.push(waiter);
    }
    return hasCome;
  }
}

/**
 * Readers that have read all wait at the brokers for more: all of a process in one request to each
 * broker, where one request for each partition would be most of what a flood costs them and the
 * broker. Who begins to wait while a request is there has one of his own, until the next.
 */
export class Ends {
  readonly #options: EndsOptions;
  readonly #brokers = new Map<number, Broker>();

  constructor(options: EndsOptions) {
    this.#options = options;
  }

  /** Resolves when there is something to tell of the partition, at the latest after `waitMs`. */
  async wait(at: Standing, waitMs: number, signal: AbortSignal): Promise<Answer> {
    const { client, time } = this.#options;
    const node = await client.leaderNode(at.topic, at.partition);
    signal.throwIfAborted();
    let broker = this.#brokers.get(node);
    if (broker === undefined) this.#brokers.set(node, (broker = new Broker(this.#options, node)));
    const settled = Promise.withResolvers<Answer>();
    const waiter = { at, waitMs, untilMs: time.now() + waitMs, settled, isSettled: false };
    const end = (): void => settle(waiter, ({ reject }) => reject(signal.reason));
    signal.addEventListener('abort', end, { once: true });
    broker.add(waiter);
    try {
      return await settled.promise;
    } finally {
      signal.removeEventListener('abort', end);
    }
  }
}

type Topics = Parameters<typeof fetchV13.createRequest>[6];

/** Answered when there is a byte for one of the partitions, at the latest after `waitMs`. */
export function fetchFrom(
  connection: Connection,
  waitMs: number,
  maxBytes: number,
  topics: Topics,
): Promise<Response> {
  return answer(fetchV13.api.async(connection, waitMs, 1, maxBytes, 0, 0, -1, topics, [], ''));
}

export function requestOf(
  { partition, offset, leaderEpoch }: Standing,
  partitionMaxBytes: number,
): Topics[number]['partitions'][number] {
  return {
    partition,
    currentLeaderEpoch: -1,
    fetchOffset: BigInt(offset),
    lastFetchedEpoch: leaderEpoch,
    partitionMaxBytes,
  };
}

function isNew(result: PartitionResponse, at: Standing): boolean {
  const diverges = result.divergingEpoch !== undefined && result.divergingEpoch.epoch >= 0;
  return (
    diverges || Number(result.highWatermark) !== at.offset || (result.records?.length ?? 0) > 0
  );
}

function keyOf(topicId: string, partition: number): string {
  return `${topicId}/${partition}`;
}

function settle(waiter: Waiter, how: (settled: PromiseWithResolvers<Answer>) => void): void {
  if (waiter.isSettled) return;
  waiter.isSettled = true;
  how(waiter.settled);
}
