import { Kafka, logLevel, type Message } from 'kafkajs';
import type { Append } from '@watershed/log/port.ts';

/**
 * kafkajs, as the adapter would use it: all replicas, one batch of a partition under way, and
 * records of many callers in one batch, which it does not gather by itself. It reads by a consumer
 * group only.
 */
export class KafkaJs {
  readonly #topic: string;
  readonly #kafka: Kafka;
  readonly #producer: ReturnType<Kafka['producer']>;
  #waiting: { readonly messages: Message[]; readonly sent: (error?: unknown) => void }[] = [];
  #sending = false;
  #groups = 0;

  private constructor(kafka: Kafka, topic: string) {
    this.#kafka = kafka;
    this.#topic = topic;
    this.#producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
  }

  static async open(brokers: readonly string[], topic: string): Promise<KafkaJs> {
    const kafka = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING });
    const admin = kafka.admin();
    await admin.connect();
    const configEntries = [{ name: 'cleanup.policy', value: 'compact' }];
    await admin.createTopics({ topics: [{ topic, numPartitions: 1, configEntries }] });
    await admin.disconnect();
    const made = new KafkaJs(kafka, topic);
    await made.#producer.connect();
    return made;
  }

  append(records: readonly Append[]): Promise<void> {
    const messages = records.map(({ key, value, headers, partition }) => ({
      ...{ key, partition },
      headers: { ...headers },
      value: value === undefined ? null : Buffer.from(value.buffer, value.byteOffset, value.length),
    }));
    return new Promise((resolve, reject) => {
      const sent = (error?: unknown): void =>
        error === undefined ? resolve() : reject(error instanceof Error ? error : new Error('no'));
      this.#waiting.push({ messages, sent });
      if (!this.#sending) void this.#send();
    });
  }

  async #send(): Promise<void> {
    this.#sending = true;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      const messages = batch.flatMap((one) => one.messages);
      try {
        await this.#producer.send({ topic: this.#topic, acks: -1, messages });
        for (const { sent } of batch) sent();
      } catch (error) {
        for (const { sent } of batch) sent(error);
      }
    }
    this.#sending = false;
  }

  /** Reads all there is; gives how many records that was. */
  async replay(): Promise<number> {
    const consumer = this.#kafka.consumer({ groupId: `bench-${++this.#groups}` });
    await consumer.connect();
    await consumer.subscribe({ topic: this.#topic, fromBeginning: true });
    let count = 0;
    await new Promise<void>((resolve, reject) => {
      consumer
        .run({
          eachBatch: ({ batch }) => {
            // As the adapter gives them: decoded.
            for (const { key, value, headers } of batch.messages) {
              if (key === null || value === null || headers === undefined) continue;
              key.toString();
              for (const header of Object.values(headers)) header?.toString();
              count++;
            }
            if (Number(batch.lastOffset()) + 1 >= Number(batch.highWatermark)) resolve();
            return Promise.resolve();
          },
        })
        .catch(reject);
    });
    await consumer.disconnect();
    return count;
  }

  async close(): Promise<void> {
    await this.#producer.disconnect();
  }
}
