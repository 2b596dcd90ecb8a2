import { Connection, metadataV12 } from '@platformatic/kafka';
import type { ConnectionOptions } from '@platformatic/kafka';
import { LogError } from '../port.ts';
import { pause } from '../time.ts';
import type { LogTime } from '../time.ts';
import { answer } from './codec.ts';
import { code, failure, isWorthWaiting, refusal } from './failure.ts';
import { Offsets } from './offsets.ts';
import { tlsOf } from './security.ts';

export interface KafkaClientOptions {
  /** `host:port` of some of the cluster's brokers; the others are learnt. */
  readonly brokers: readonly string[];
  readonly clientId: string;
  readonly time: LogTime;
  readonly tls?: ConnectionOptions['tls'];
  readonly sasl?: ConnectionOptions['sasl'];
  readonly connectTimeoutMs: number;
  readonly requestTimeoutMs: number;
  /** Told when a call fails and is made again. */
  readonly onRetry: (error: LogError) => void;
}

export interface TopicMetadata {
  readonly name: string;
  /** Kafka's own: a topic that was deleted and created again has another one. */
  readonly id: string;
  /** The node that leads each partition; -1: none at present. */
  readonly leaders: readonly number[];
}

interface Address {
  readonly host: string;
  readonly port: number;
}

/** Requests of one connection that may be on their way; the broker answers them one after the other. */
const maxInflights = 64;
const firstBackoffMs = 50;
const maxBackoffMs = 2_000;

/** Doubles from 50 ms to 2 s. */
export class Backoff {
  readonly #time: LogTime;
  #nextMs = firstBackoffMs;

  constructor(time: LogTime) {
    this.#time = time;
  }

  async wait(signal?: AbortSignal): Promise<void> {
    const delayMs = this.#nextMs;
    this.#nextMs = Math.min(maxBackoffMs, delayMs * 2);
    await pause(this.#time, delayMs, signal);
  }

  reset(): void {
    this.#nextMs = firstBackoffMs;
  }
}

/**
 * The cluster: which node leads what, and connections to the nodes. One connection per node carries
 * all short calls; a broker handles a connection's requests one by one, so whoever waits at a
 * broker (a reader at the end of a partition) has a connection of its own.
 */
export class KafkaClient {
  readonly #options: KafkaClientOptions;
  readonly #bootstrap: readonly Address[];
  readonly #nodes = new Map<number, Address>();
  readonly #topics = new Map<string, TopicMetadata>();
  readonly #shared = new Map<string, Promise<Connection>>();
  readonly #all = new Set<Connection>();
  /** By address, when a connection to it closed last, counted. */
  readonly #closings = new Map<string, number>();
  #closingCount = 0;
  readonly #offsets = new Offsets();
  readonly #refreshing = new Map<string, Promise<TopicMetadata | undefined>>();
  #closed = false;

  constructor(options: KafkaClientOptions) {
    this.#options = options;
    this.#bootstrap = options.brokers.map(parseAddress);
  }

  /**
   * As known; asks the cluster if it is not. Fails with `unknown-topic` when the cluster has no
   * such topic.
   */
  async topic(name: string): Promise<TopicMetadata> {
    const known = this.#topics.get(name) ?? (await this.refresh(name));
    if (known !== undefined) return known;
    throw new LogError('unknown-topic', `there is no topic ${name}`, { retriable: false });
  }

  /**
   * Asks the cluster. `undefined`: it has no such topic (a broker that starts may say so for a
   * moment).
   */
  refresh(name: string): Promise<TopicMetadata | undefined> {
    const asking = this.#refreshing.get(name) ?? this.#ask(name);
    this.#refreshing.set(name, asking);
    return asking.finally(() => this.#refreshing.delete(name));
  }

  async #ask(name: string): Promise<TopicMetadata | undefined> {
    const found = await this.#metadata(name).catch(async () => {
      // Its connection is known to be closed then, and another broker is asked.
      await pause(this.#options.time, firstBackoffMs);
      return this.#metadata(name);
    });
    for (const { nodeId, host, port } of found.brokers) this.#nodes.set(nodeId, { host, port });
    const topic = found.topics[0];
    if (topic === undefined || topic.errorCode === code.unknownTopicOrPartition) {
      this.#topics.delete(name);
      return undefined;
    }
    if (topic.errorCode !== code.none) {
      throw refusal(topic.errorCode, `find topic ${name}`, { needs: 'DESCRIBE' });
    }
    const metadata = { name, id: topic.topicId, leaders: leadersOf(topic.partitions) };
    this.#topics.set(name, metadata);
    return metadata;
  }

  async #metadata(name: string): ReturnType<typeof metadataV12.api.async> {
    const connection = await this.any();
    return await answer(metadataV12.api.async(connection, [name], false, false));
  }

  /** The shared connection to whoever leads the partition. */
  async leader(topic: string, partition: number): Promise<Connection> {
    return this.#sharedTo(await this.#leaderOf(topic, partition));
  }

  /** A connection of its own; `release` it. */
  async ownLeader(topic: string, partition: number): Promise<Connection> {
    return this.#connect(await this.#leaderOf(topic, partition));
  }

  /** The node that leads the partition, as known. */
  async leaderNode(name: string, partition: number): Promise<number> {
    const topic = await this.topic(name);
    const leader = topic.leaders[partition];
    if (leader === undefined) {
      throw new LogError('unknown-topic', `there is no partition ${partition} of topic ${name}`, {
        retriable: false,
      });
    }
    if (!this.#nodes.has(leader)) {
      throw new LogError('unavailable', `kafka: nobody leads ${name}/${partition} at present`, {
        retriable: true,
      });
    }
    return leader;
  }

  /** A connection of its own to a node; `release` it. */
  async connectTo(node: number): Promise<Connection> {
    return this.#connect(this.#addressOf(node));
  }

  async #leaderOf(name: string, partition: number): Promise<Address> {
    return this.#addressOf(await this.leaderNode(name, partition));
  }

  #addressOf(node: number): Address {
    const address = this.#nodes.get(node);
    if (address !== undefined) return address;
    throw new LogError('unavailable', `kafka: node ${node} is not known`, { retriable: true });
  }

  /**
   * A connection to any broker. Those that closed one, or took none, are tried last: what is
   * between may take connections for a broker that is not there, and one that is gone is waited
   * for.
   */
  async any(): Promise<Connection> {
    let last: unknown;
    const closed = (address: Address): number => this.#closings.get(keyOf(address)) ?? 0;
    const all = [...this.#nodes.values(), ...this.#bootstrap];
    for (const address of all.toSorted((a, b) => closed(a) - closed(b))) {
      try {
        return await this.#sharedTo(address);
      } catch (error) {
        last = error;
      }
    }
    throw failure(`reach any broker of ${this.#options.brokers.join(', ')}`, last);
  }

  #sharedTo(address: Address): Promise<Connection> {
    const key = keyOf(address);
    const open = this.#shared.get(key);
    if (open !== undefined) return open;
    const opening = this.#connect(address).then((connection) => {
      connection.once('close', () => this.#shared.delete(key));
      return connection;
    });
    opening.catch(() => this.#shared.delete(key));
    this.#shared.set(key, opening);
    return opening;
  }

  async #connect({ host, port }: Address): Promise<Connection> {
    if (this.#closed) throw new LogError('closed', 'the log is closed', { retriable: false });
    const { clientId, tls, sasl, connectTimeoutMs, requestTimeoutMs } = this.#options;
    const connection = new Connection(clientId, {
      connectTimeout: connectTimeoutMs,
      requestTimeout: requestTimeoutMs,
      maxInflights,
      ...tlsOf(tls, host),
      ...(sasl === undefined ? {} : { sasl }),
    });
    // Every call in flight fails with the reason; without a listener it would end the process.
    connection.on('error', () => undefined);
    connection.once('close', () => {
      // Of those that were not released: it was closed at the other end, or said nothing.
      if (this.#all.delete(connection)) this.#noteClosing({ host, port });
    });
    this.#all.add(connection);
    try {
      await connection.connect(host, port);
    } catch (error) {
      this.release(connection);
      this.#noteClosing({ host, port });
      throw error;
    }
    return connection;
  }

  #noteClosing(address: Address): void {
    this.#closings.set(keyOf(address), ++this.#closingCount);
  }

  /** Ends it at once; calls in flight fail. */
  release(connection: Connection): void {
    this.#all.delete(connection);
    connection.socket.destroy();
  }

  /** `timestamp`: -1n for the end that readers may reach, -2n for the beginning. */
  async offset(topic: string, partition: number, timestamp: bigint): Promise<number> {
    const connection = await this.leader(topic, partition);
    return this.#offsets.find(connection, topic, partition, timestamp);
  }

  /** Runs it again, with fresh metadata, until it works, fails for good, or `timeoutMs` is over. */
  async retry<T>(
    what: string,
    topic: string | undefined,
    timeoutMs: number,
    attempt: () => Promise<T>,
  ): Promise<T> {
    const deadline = this.#options.time.now() + timeoutMs;
    const backoff = new Backoff(this.#options.time);
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        const known = failure(what, error);
        const isOver = this.#closed || this.#options.time.now() >= deadline;
        if (isOver || !isWorthWaiting(known)) throw known;
        this.tellRetry(known);
      }
      await backoff.wait();
      if (topic !== undefined) await this.refresh(topic).catch(() => undefined);
    }
  }

  /** A call failed, and is made again. */
  tellRetry(error: LogError): void {
    if (!this.#closed) this.#options.onRetry(error);
  }

  close(): void {
    this.#closed = true;
    for (const connection of this.#all) this.release(connection);
    this.#shared.clear();
  }
}

function keyOf({ host, port }: Address): string {
  return `${host}:${port}`;
}

function leadersOf(
  partitions: readonly { readonly partitionIndex: number; readonly leaderId: number }[],
): readonly number[] {
  const leaders: number[] = [];
  for (const { partitionIndex, leaderId } of partitions) leaders[partitionIndex] = leaderId;
  return leaders;
}

function parseAddress(text: string): Address {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  if (match === null || host === undefined) {
    throw new RangeError(`broker ${JSON.stringify(text)} is not HOST:PORT`);
  }
  return { host, port: Number(match[3]) };
}
