import { Connection, deleteTopicsV6 } from '@platformatic/kafka';
import { startTestKafka } from '../../../test/components/kafka.ts';
import { openKafkaLog } from '../src/kafka.ts';
import type { Log } from '../src/port.ts';
import { describeLogConformance } from './conformance.ts';
import { bytes, fillerPrefix, readAll, realTime, sleep, until } from './support.ts';

const tombstoneMs = 4_000;
const keptMs = 1_500;
const maxRecordBytes = 1024 * 1024;
const segmentMs = 100;
const waitMs = 60_000;

/**
 * So that compaction is no matter of minutes. Not for more than a few partitions: each look at all
 * of them has the lock of each, which is two fifths of a processor for some hundred.
 */
const eagerCleaning = {
  'log.cleaner.backoff.ms': '100',
  'log.retention.check.interval.ms': '200',
  'log.initial.task.delay.ms': '100',
  'log.segment.delete.delay.ms': '0',
};

describeLogConformance('kafka', async () => {
  const kafka = await startTestKafka({ config: eagerCleaning });
  let filler = 0;

  /**
   * Makes what is there a closed segment: Kafka compacts and expires no other, and closes one at an
   * append.
   */
  async function roll(log: Log, topic: string, partition: number): Promise<void> {
    for (let i = 0; i < 2; i++) {
      const key = `${fillerPrefix}${filler++}`;
      await log.append([{ topic, partition, key, value: bytes('filler') }]);
      await sleep(segmentMs + 20);
    }
  }

  return {
    tombstoneMs,
    keptMs,
    maxRecordBytes,
    open: () =>
      openKafkaLog({
        brokers: kafka.brokers,
        time: realTime,
        maxRecordBytes,
        topicConfig: {
          'segment.ms': String(segmentMs),
          'min.cleanable.dirty.ratio': '0.0001',
          'file.delete.delay.ms': '0',
        },
      }),
    compact: async (log, topic, partition) => {
      const before = (await log.end(topic, partition)).offset;
      await roll(log, topic, partition);
      await until(
        'Kafka has compacted',
        async () => {
          const { records } = await readAll(log, topic, partition);
          const old = records.filter(({ offset }) => offset < before);
          return new Set(old.map(({ key }) => key)).size === old.length;
        },
        waitMs,
      );
    },
    expireTombstones: async (log, topic, partition) => {
      const before = (await log.end(topic, partition)).offset;
      await until(
        'Kafka has removed the tombstones',
        async () => {
          await roll(log, topic, partition);
          const { records } = await readAll(log, topic, partition);
          return !records.some(({ value, offset }) => value === undefined && offset < before);
        },
        waitMs,
      );
    },
    expireRecords: async (log, topic, partition) => {
      const before = (await log.end(topic, partition)).offset;
      await until(
        'Kafka has removed the old records',
        async () => {
          await roll(log, topic, partition);
          const { records } = await readAll(log, topic, partition);
          return !records.some(({ offset }) => offset < before);
        },
        waitMs,
      );
    },
    deleteTopic: async (log, topic) => {
      await log.close();
      const connection = new Connection('test');
      const [host = '', port = ''] = kafka.brokers[0]!.split(':');
      await connection.connect(host, Number(port));
      await deleteTopicsV6.api.async(connection, [{ name: topic }], 5_000);
      await connection.close();
    },
    stop: () => kafka.stop(),
  };
});
