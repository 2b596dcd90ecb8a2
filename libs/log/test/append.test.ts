import { initProducerIdV4, produceV9, type Connection } from '@platformatic/kafka';
import { expect, test } from 'vitest';
import { PartitionAppender } from '../src/kafka/append.ts';
import type { KafkaClient } from '../src/kafka/client.ts';
import { code } from '../src/kafka/failure.ts';
import type { Append, LogError } from '../src/port.ts';
import type { LogTime } from '../src/time.ts';
import { bytes } from './support.ts';

const networkException = 13;
const notEnoughReplicas = 19;

/** A leader that answers appends with these errors, one after the other, and then takes them. */
function appenderTo(errors: number[]) {
  const waits: number[] = [];
  const told: string[] = [];
  let producerId = 0n;
  const answers = new Map<number, () => object>([
    [
      initProducerIdV4.api.key,
      () => ({ errorCode: 0, producerId: ++producerId, producerEpoch: 0 }),
    ],
    [
      produceV9.api.key,
      () => {
        const errorCode = errors.shift() ?? code.none;
        const result = { errorCode, baseOffset: 7n, errorMessage: null, recordErrors: [] };
        return { responses: [{ partitionResponses: [result] }] };
      },
    ],
  ]);
  const connection = {
    send: (...call: readonly unknown[]): void => {
      const done = call.at(-1) as (error: null, answer: unknown) => void;
      done(null, answers.get(Number(call[0]))?.());
    },
  } as unknown as Connection;
  const client = {
    leader: async () => connection,
    any: async () => connection,
    refresh: async () => undefined,
    tellRetry: ({ message }: LogError) => void told.push(message),
  } as unknown as KafkaClient;
  const time: LogTime = {
    now: () => 0,
    after: (delayMs, callback) => {
      waits.push(delayMs);
      queueMicrotask(callback);
      return { cancel: () => undefined };
    },
    soon: () => ({ cancel: () => undefined }),
  };
  const appender = new PartitionAppender(client, time, 't', 0, 30_000, 'none');
  const record: Append = { topic: 't', partition: 0, key: 'k', value: bytes('1') };
  const append = (): Promise<readonly number[]> =>
    new Promise((resolve, reject) => {
      appender.push({ records: [record], sizes: [1], resolve, reject });
    });
  return { append, waits, told };
}

test('an append that is made again is told of, with what the leader said', async () => {
  const { append, told } = appenderTo([notEnoughReplicas, networkException]);
  expect(await append()).toEqual([7]);
  expect(told).toEqual([
    expect.stringContaining('append to t/0 (NOT_ENOUGH_REPLICAS'),
    expect.stringContaining('append to t/0 (NETWORK_EXCEPTION'),
  ]);
});

test('a leader that has forgotten the producer, after a long wait for it, is asked again soon', async () => {
  const { append, waits } = appenderTo([
    ...Array.from({ length: 7 }, () => notEnoughReplicas),
    code.outOfOrderSequenceNumber,
  ]);
  await append();
  expect(waits.slice(-2)).toEqual([2_000, 50]);
});
