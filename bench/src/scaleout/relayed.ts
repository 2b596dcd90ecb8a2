import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { openKafkaLog } from '@watershed/log/kafka.ts';
import type { Log } from '@watershed/log/port.ts';
import { systemTime } from '@watershed/runtime/clock.ts';
import { Bare } from './bare.ts';
import { relayWay } from './messages.ts';

/** Bare records that a process hands on to a second topic: the log's part of a change's way. */
export class Relayed {
  readonly records: Bare;
  readonly #log: Log;
  readonly #process: ChildProcess;

  private constructor(log: Log, records: Bare, process: ChildProcess) {
    this.#log = log;
    this.records = records;
    this.#process = process;
  }

  static async open(brokers: readonly string[], partitions: number): Promise<Relayed> {
    // A log of its own: one that was just told of something waits a little before it asks again.
    const log = await openKafkaLog({ brokers, time: systemTime });
    const records = await Bare.open(log, relayWay, partitions);
    const script = fileURLToPath(new URL('relay.ts', import.meta.url));
    const args = ['--brokers', brokers.join(','), '--partitions', String(partitions)];
    const process = fork(script, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    await once(process, 'message');
    return new Relayed(log, records, process);
  }

  async close(): Promise<void> {
    this.#process.disconnect();
    await this.records.close();
    await this.#log.close();
  }
}
