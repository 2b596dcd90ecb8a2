/**
 * A process that hands on what it reads, as it is: of the way of a change what two topics cost,
 * with nothing done between them.
 *
 *     relay.ts --brokers HOST:PORT,... --partitions 64
 */
import { parseArgs } from 'node:util';
import { openKafkaLog } from '@watershed/log/kafka.ts';
import { systemTime } from '@watershed/runtime/clock.ts';
import { relayWay } from './messages.ts';

const { values } = parseArgs({
  options: { brokers: { type: 'string' }, partitions: { type: 'string' } },
});
const log = await openKafkaLog({ brokers: values.brokers?.split(',') ?? [], time: systemTime });
const { signal } = new AbortController();

async function handOn(partition: number): Promise<void> {
  for await (const { records } of log.read(relayWay.to, partition, undefined, signal)) {
    const topic = relayWay.from;
    await log.append(records.map(({ key, value }) => ({ topic, partition, key, value })));
  }
}

process.on('disconnect', () => process.exit());
process.send?.('open');
await Promise.all(Array.from({ length: Number(values.partitions) }, (_, at) => handOn(at)));
