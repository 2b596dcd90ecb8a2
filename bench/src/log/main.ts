/**
 * The log's benchmark: appends in batches that are waited for one after the other, single appends
 * of many callers at once, replay, and (embedded) compaction, on both adapters. Beside Kafka's, in
 * turns on the same broker, kafkajs does the same (decision 1).
 *
 *     node bench/src/log/main.ts [--records 200000] [--bytes 1024] [--batch 100] [--keys 5000]
 *     [--rounds 3] [--no-kafka]
 *
 * Prints a row per step: records per second, CPU microseconds per record of this process and
 * (Kafka) of the broker, and the longest stall of the event loop.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { openEmbeddedLog } from '@watershed/log/embedded.ts';
import { openKafkaLog } from '@watershed/log/kafka.ts';
import type { Append, Log } from '@watershed/log/port.ts';
import { systemTime } from '@watershed/runtime/clock.ts';
import { startTestKafka } from '../../../test/components/kafka.ts';
import { KafkaJs } from './kafkajs.ts';

const { values } = parseArgs({
  allowNegative: true,
  options: {
    records: { type: 'string', default: '200000' },
    bytes: { type: 'string', default: '1024' },
    batch: { type: 'string', default: '100' },
    keys: { type: 'string', default: '5000' },
    rounds: { type: 'string', default: '3' },
    kafka: { type: 'boolean', default: true },
  },
});
const records = Number(values.records);
const batch = Number(values.batch);
const keys = Number(values.keys);
const value = new Uint8Array(Number(values.bytes)).map((_, i) => i % 251);
const callers = 500;
const topic = 'bench';
const retention = { kind: 'compact', tombstoneMs: 86_400_000 } as const;

function record(i: number): Append {
  const headers = { epoch: '12', traceparent: `00-${i}` };
  return { topic, partition: 0, key: `cluster|service|ns|name-${i % keys}`, value, headers };
}

/** Runs one step and prints its row. `count`: how many records it was about. */
async function measure(
  label: string,
  step: () => Promise<number>,
  brokerSeconds?: () => Promise<number>,
): Promise<void> {
  const loop = monitorEventLoopDelay({ resolution: 1 });
  const brokerBefore = await brokerSeconds?.();
  const cpuBefore = process.cpuUsage();
  const sinceMs = performance.now();
  loop.enable();
  const count = await step();
  loop.disable();
  const seconds = (performance.now() - sinceMs) / 1_000;
  const cpu = process.cpuUsage(cpuBefore);
  const columns = [
    label.padEnd(44),
    `${Math.round(count / seconds)}/s`.padStart(12),
    `${((cpu.user + cpu.system) / count).toFixed(1)} us`.padStart(12),
    brokerBefore === undefined || brokerSeconds === undefined
      ? ''.padStart(12)
      : `${((((await brokerSeconds()) - brokerBefore) * 1e6) / count).toFixed(1)} us`.padStart(12),
    `${(loop.max / 1e6).toFixed(0)} ms`.padStart(12),
  ];
  console.log(columns.join(''));
}

/** What is measured of a log. */
interface Subject {
  append(records: readonly Append[]): Promise<unknown>;
  replay(): Promise<number>;
}

async function appendBatches(log: Subject): Promise<number> {
  for (let i = 0; i < records; i += batch) {
    await log.append(Array.from({ length: batch }, (_, j) => record(i + j)));
  }
  return records;
}

async function appendSingly(log: Subject): Promise<number> {
  const each = Math.ceil(records / 4 / callers);
  await Promise.all(
    Array.from({ length: callers }, async (_, caller) => {
      for (let i = 0; i < each; i++) await log.append([record(caller * each + i)]);
    }),
  );
  return each * callers;
}

async function replay(log: Log): Promise<number> {
  let count = 0;
  for await (const { records, caughtUp } of log.read(
    topic,
    0,
    undefined,
    new AbortController().signal,
  )) {
    count += records.length;
    if (caughtUp) break;
  }
  return count;
}

async function subjectOf(log: Log): Promise<Subject> {
  await log.ensureTopics([{ name: topic, partitions: 1, retention }]);
  return { append: (some) => log.append(some), replay: () => replay(log) };
}

async function steps(name: string, log: Subject, broker?: () => Promise<number>): Promise<void> {
  await measure(`${name}: append, batches of ${batch}`, () => appendBatches(log), broker);
  await measure(`${name}: append, ${callers} single callers`, () => appendSingly(log), broker);
  await measure(`${name}: replay`, () => log.replay(), broker);
  await measure(`${name}: replay again`, () => log.replay(), broker);
}

console.log(
  `${records} records of ${value.length} bytes over ${keys} keys, Node ${process.version}`,
);
console.log(
  ''.padEnd(44) +
    ['records', 'CPU', 'broker CPU', 'stall'].map((title) => title.padStart(12)).join(''),
);

const dir = await mkdtemp(join(tmpdir(), 'watershed-bench-log-'));
try {
  const log = await openEmbeddedLog({ dir, time: systemTime, compactEveryMs: 3_600_000 });
  await steps('embedded', await subjectOf(log));
  await measure('embedded: compaction', async () => {
    await log.compact();
    return (await log.end(topic, 0)).offset;
  });
  await log.close();
} finally {
  await rm(dir, { recursive: true, force: true });
}

if (values.kafka) {
  await using kafka = await startTestKafka({ fullJit: true, heapMb: 512 });
  const log = await openKafkaLog({ brokers: kafka.brokers, time: systemTime });
  const ours = await subjectOf(log);
  const theirs = await KafkaJs.open(kafka.brokers, 'bench-kafkajs');
  for (let round = 1; round <= Number(values.rounds); round++) {
    await steps(`kafka ${round}`, ours, () => kafka.cpuSeconds());
    await steps(`kafkajs ${round}`, theirs, () => kafka.cpuSeconds());
  }
  await theirs.close();
  await log.close();
}
