import { fetchV13 } from '@platformatic/kafka';
import type { Connection } from '@platformatic/kafka';
import { answer } from './codec.ts';
import { code } from './failure.ts';

export type FetchResponse = Awaited<ReturnType<typeof fetchV13.api.async>>;
export type PartitionResponse = FetchResponse['responses'][number]['partitions'][number];
type Topics = Parameters<typeof fetchV13.createRequest>[6];

/** Where a reader stands; another object when it stands elsewhere. */
export interface Standing {
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  /** Of the partition, by `keyOf`. */
  readonly key: string;
  readonly offset: number;
  /** Of the last batch that was read; -1: none was. */
  readonly leaderEpoch: number;
}

export function keyOf(topicId: string, partition: number): string {
  return `${topicId}/${partition}`;
}

/** By `keyOf`. */
type Asked = ReadonlyMap<string, { readonly at: Standing }>;

export interface FetchLimits {
  /** Answered when there are so many bytes, in all partitions together; 1: at once. */
  readonly minBytes: number;
  /** At the latest after so long. */
  readonly waitMs: number;
  /** Of the answer, and of each partition in it, unless the first batch is bigger. */
  readonly maxBytes: number;
}

/** Of requests that are no session's. */
const noSession = { id: 0, epoch: -1 };
const maxEpoch = 2 ** 31 - 1;
/** Fewer are named each time: brokers have room for a thousand sessions. */
export const fewPartitions = 8;

/**
 * A connection and the session that the broker keeps for it (KIP-227): a request names the
 * partitions that are others than in the last one, or stand elsewhere, and an answer those of which
 * there is something new. Of a hundred partitions one changes at a time; to name them all would be
 * most of what a change costs.
 *
 * One request at a time. What asks for a few, or finds no room for a session at the broker, names
 * all of them each time.
 */
export class FetchSession {
  readonly connection: Connection;
  /** By key, as the broker has them. */
  readonly #known = new Map<string, Standing>();
  #id = 0;
  #epoch = 0;

  constructor(connection: Connection) {
    this.connection = connection;
  }

  /** How many partitions the broker knows of. */
  get size(): number {
    return this.#known.size;
  }

  /** Its answer has at least those of which there is something new. */
  async fetch(asked: Asked, limits: FetchLimits): Promise<FetchResponse> {
    if (asked.size < fewPartitions) {
      const standings = Array.from(asked.values(), ({ at }) => at);
      return send(this.connection, noSession, standings, [], limits);
    }
    const response = await this.#send(asked, limits);
    if (!isSessionError(response.errorCode)) return response;
    // Brokers forget sessions when they have too many.
    this.#forget();
    return this.#send(asked, limits);
  }

  async #send(asked: Asked, limits: FetchLimits): Promise<FetchResponse> {
    const changed: Standing[] = [];
    for (const [key, { at }] of asked) {
      if (this.#known.get(key) === at) continue;
      changed.push(at);
      this.#known.set(key, at);
    }
    const gone: Standing[] = [];
    if (this.#known.size > asked.size) {
      for (const [key, at] of this.#known) {
        if (asked.has(key)) continue;
        gone.push(at);
        this.#known.delete(key);
      }
    }
    const session = { id: this.#id, epoch: this.#epoch };
    const response = await send(this.connection, session, changed, gone, limits);
    if (response.errorCode !== code.none || response.sessionId === 0) this.#forget();
    else {
      this.#id = response.sessionId;
      this.#epoch = this.#epoch === maxEpoch ? 1 : this.#epoch + 1;
    }
    return response;
  }

  #forget(): void {
    this.#known.clear();
    this.#id = 0;
    this.#epoch = 0;
  }
}

/** One request of no session, about one partition. */
export function fetchOne(
  connection: Connection,
  at: Standing,
  maxBytes: number,
): Promise<FetchResponse> {
  return send(connection, noSession, [at], [], { minBytes: 1, waitMs: 0, maxBytes });
}

function send(
  connection: Connection,
  { id, epoch }: { readonly id: number; readonly epoch: number },
  changed: readonly Standing[],
  gone: readonly Standing[],
  { minBytes, waitMs, maxBytes }: FetchLimits,
): Promise<FetchResponse> {
  const topics: Topics = byTopic(changed, (at) => ({
    partition: at.partition,
    currentLeaderEpoch: -1,
    fetchOffset: BigInt(at.offset),
    lastFetchedEpoch: at.leaderEpoch,
    partitionMaxBytes: maxBytes,
  }));
  const forgotten = byTopic(gone, ({ partition }) => partition);
  const call = fetchV13.api.async;
  return answer(call(connection, waitMs, minBytes, maxBytes, 0, id, epoch, topics, forgotten, ''));
}

function byTopic<T>(
  standings: readonly Standing[],
  partitionOf: (at: Standing) => T,
): { topicId: string; partitions: T[] }[] {
  const topics = Map.groupBy(standings, ({ topicId }) => topicId);
  return [...topics].map(([topicId, some]) => ({ topicId, partitions: some.map(partitionOf) }));
}

function isSessionError(errorCode: number): boolean {
  return (
    errorCode === code.fetchSessionIdNotFound ||
    errorCode === code.invalidFetchSessionEpoch ||
    errorCode === code.fetchSessionTopicIdError
  );
}
