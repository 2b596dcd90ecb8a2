/** The bench in the ingester's place: it writes endpoints as an ingester does, without files. */
import { EventLog } from '@watershed/ingester/event-log.ts';
import { Event, type Endpoints } from '@watershed/model/gen/model.ts';
import { topics } from '@watershed/model/keys.ts';
import type { Log } from '@watershed/log/port.ts';
import { systemTime } from '@watershed/runtime/clock.ts';
import { noTracing } from '@watershed/runtime/tracing.ts';
import { stampedAddress, stampNow, type Source, type Target } from './messages.ts';

interface Host extends Target {
  readonly key: string;
  readonly owner: string;
  readonly endpoints: Endpoints;
}

export class Writer implements Source<Host> {
  readonly #log: EventLog;
  readonly targets: readonly Host[];

  private constructor(log: EventLog, hosts: readonly Host[]) {
    this.#log = log;
    this.targets = hosts;
  }

  /** Takes over from the ingester, which must have stopped. */
  static async open(log: Log, partitions: number): Promise<Writer> {
    const events = await EventLog.open({
      log,
      cluster: 'Kubernetes',
      partitions: { endpoints: partitions, history: 1 },
      writer: 'bench',
      time: systemTime,
      tracing: noTracing,
    });
    const hosts: Host[] = [];
    for (const { topic, key, value, owner } of events.stored().events) {
      if (topic !== topics.endpoints) continue;
      const { object } = Event.decode(value);
      if (object?.$case !== 'endpoints') continue;
      const endpoints = object.value;
      hosts.push({ name: `outbound|80||${endpoints.host}`, key, owner, endpoints, stamp: 0 });
    }
    return new Writer(events, hosts);
  }

  async write(hosts: readonly Host[]): Promise<void> {
    const stamp = stampNow();
    const events = hosts.map((one) => {
      one.stamp = stamp;
      const [first, ...others] = one.endpoints.endpoints;
      if (first === undefined) throw new Error(`${one.name} has no endpoint`);
      const changed = { ...first, address: stampedAddress(stamp) };
      const endpoints = { ...one.endpoints, endpoints: [...others, changed] };
      const value = Event.encode({ object: { $case: 'endpoints', value: endpoints } }).finish();
      const rest = { unit: 'bench', version: String(stamp), traceparent: undefined };
      return { topic: topics.endpoints, key: one.key, value, owner: one.owner, ...rest };
    });
    await this.#log.write(events);
  }

  close(): Promise<void> {
    return this.#log.close();
  }
}
