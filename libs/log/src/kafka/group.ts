/**
 * A consumer group on Kafka that shares partitions and reads nothing: readers are the log's own
 * (`reader.ts`). Cooperative and sticky: a member that comes or goes moves what must move, and all
 * others keep theirs.
 */
import { isIP } from 'node:net';
import {
  COOPERATIVE_STICKY_ASSIGNOR,
  Consumer,
  cooperativeStickyAssigner,
} from '@platformatic/kafka';
import type { ConnectionOptions } from '@platformatic/kafka';
import type { PartitionGroup } from '../group.ts';
import { pause, within, type LogTime } from '../time.ts';
import type { Health } from '../watched.ts';
import { failure } from './failure.ts';

export interface KafkaGroupOptions {
  /** `host:port` of some brokers of the cluster. */
  readonly brokers: readonly string[];
  readonly groupId: string;
  /** Its partitions are shared out. */
  readonly topic: string;
  readonly time: LogTime;
  readonly clientId?: string;
  readonly tls?: NonNullable<ConnectionOptions['tls']>;
  readonly sasl?: NonNullable<ConnectionOptions['sasl']>;
  /** A member that was not heard of for so long is out. Default 6 s. */
  readonly sessionTimeoutMs?: number;
  /** Default 1 s. */
  readonly heartbeatMs?: number;
  /** Who has not joined by then tries by another broker. Default 20 s: a rebalance and an answer. */
  readonly joinTimeoutMs?: number;
  /** Is told when the group cannot be reached, and is tried again, and when it is. */
  readonly health?: Health;
}

/** What the client says when the coordinator has not answered for a session's time. */
interface Stalled {
  readonly lastError?: unknown;
  readonly stalledFor: number;
}

/** How long a rebalance waits for a member; it has nothing to finish before it joins again. */
const rebalanceTimeoutMs = 10_000;
/** A coordinator that has not answered by then says nothing any more. */
const requestTimeoutMs = rebalanceTimeoutMs + 2_000;
const firstRetryMs = 200;
const lastRetryMs = 5_000;
/** For the others to hear that this one leaves; without it they wait for the session to end. */
const leaveTimeoutMs = 2_000;

export function createKafkaGroup(options: KafkaGroupOptions): PartitionGroup {
  return new KafkaGroup(options);
}

class KafkaGroup implements PartitionGroup {
  readonly shared = true;
  readonly #options: KafkaGroupOptions;
  readonly #stop = new AbortController();
  #consumer: Consumer | undefined;
  #running: Promise<void> = Promise.resolve();
  #opened = 0;

  constructor(options: KafkaGroupOptions) {
    this.#options = options;
  }

  join(assigned: (partitions: ReadonlySet<number>) => void): void {
    this.#running = this.#stay(assigned);
  }

  async leave(): Promise<void> {
    this.#stop.abort();
    const consumer = this.#consumer;
    this.#consumer = undefined;
    if (consumer !== undefined) {
      const left = promiseOf((done) => consumer.leaveGroup(true, done));
      await within(this.#options.time, leaveTimeoutMs, left);
      await this.#close(consumer);
    }
    await this.#running;
  }

  /** A member until it leaves: one that the group cannot keep joins again as another. */
  async #stay(assigned: (partitions: ReadonlySet<number>) => void): Promise<void> {
    const { time, health } = this.#options;
    const { signal } = this.#stop;
    let retryMs = firstRetryMs;
    while (!signal.aborted) {
      const lost = Promise.withResolvers<unknown>();
      const consumer = this.#open((error) => lost.resolve(error));
      this.#consumer = consumer;
      const joined = new AbortController();
      this.#limitJoin(joined.signal, lost.resolve);
      const tell = (): void => {
        joined.abort();
        if (this.#consumer !== consumer || consumer.assignments === null) return;
        retryMs = firstRetryMs;
        health?.worked();
        const own = consumer.assignments.filter(({ topic }) => topic === this.#options.topic);
        assigned(new Set(own.flatMap(({ partitions }) => partitions)));
      };
      consumer.on('consumer:group:join', tell);
      // Part of a cooperative rebalance: what moves away goes before the others get it.
      consumer.on('consumer:group:rebalance', tell);
      const stopped = (): void => lost.resolve(undefined);
      signal.addEventListener('abort', stopped, { once: true });
      consumer.joinGroup({}).catch((error: unknown) => lost.resolve(error));
      const error = await lost.promise;
      signal.removeEventListener('abort', stopped);
      joined.abort();
      if (signal.aborted) return;
      this.#consumer = undefined;
      await this.#close(consumer);
      health?.failed(failure(`stay in group ${this.#options.groupId}`, error));
      await pause(time, retryMs, signal);
      retryMs = Math.min(lastRetryMs, 2 * retryMs);
    }
  }

  /** The client's own tries, one within the other, would take minutes where a broker says nothing. */
  #limitJoin(joined: AbortSignal, onLost: (error: unknown) => void): void {
    const { time, joinTimeoutMs = 20_000 } = this.#options;
    void pause(time, joinTimeoutMs, joined).then(() => {
      if (!joined.aborted) onLost(new Error(`not joined in ${joinTimeoutMs} ms`));
    });
  }

  #open(onLost: (error: unknown) => void): Consumer {
    const { brokers, groupId, topic, tls, sasl, clientId } = this.#options;
    // The client asks the first that takes a connection, and that may be one without a broker.
    const first = this.#opened++ % brokers.length;
    const consumer = new Consumer({
      clientId: clientId ?? 'watershed',
      groupId,
      bootstrapBrokers: [...brokers.slice(first), ...brokers.slice(0, first)],
      sessionTimeout: this.#options.sessionTimeoutMs ?? 6_000,
      rebalanceTimeout: rebalanceTimeoutMs,
      requestTimeout: requestTimeoutMs,
      heartbeatInterval: this.#options.heartbeatMs ?? 1_000,
      protocols: [{ name: COOPERATIVE_STICKY_ASSIGNOR, version: 1 }],
      partitionAssigner: cooperativeStickyAssigner,
      autocommit: false,
      ...(tls === undefined ? {} : { tls, tlsServerName: hasNames(brokers) }),
      ...(sasl === undefined ? {} : { sasl }),
    });
    consumer.on('error', onLost);
    consumer.on('consumer:heartbeat:stalled', ({ lastError, stalledFor }: Stalled) =>
      onLost(lastError ?? new Error(`no answer to heartbeats for ${stalledFor} ms`)),
    );
    consumer.topics.trackAll(topic);
    return consumer;
  }

  async #close(consumer: Consumer): Promise<void> {
    const closed = consumer.close(true).catch(() => undefined);
    await within(this.#options.time, leaveTimeoutMs, closed);
  }
}

/** Of brokers, as certificates have them. */
function hasNames(brokers: readonly string[]): boolean {
  return brokers.every((broker) => isIP(broker.replace(/:\d+$/u, '').replace(/[[\]]/gu, '')) === 0);
}

function promiseOf(call: (done: () => void) => void): Promise<void> {
  return new Promise((resolve) => {
    call(resolve);
  });
}
