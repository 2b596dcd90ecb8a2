/** What the log itself says, read from its beginning by a reader of its own. */
import { Fold } from '@watershed/log/fold.ts';
import { openKafkaLog } from '@watershed/log/kafka.ts';
import type { Log } from '@watershed/log/port.ts';
import { Event } from '@watershed/model/gen/model.ts';
import { parseConfigKey, parseEndpointsKey, topics } from '@watershed/model/keys.ts';
import { systemTime } from '@watershed/runtime/clock.ts';
import { namespace } from './churn.ts';

const suffix = `.${namespace}.svc.cluster.local`;

export interface LogState {
  /** Names of services, from `config`. */
  readonly services: ReadonlySet<string>;
  /** Service → ports of its workloads, from `endpoints`. */
  readonly endpoints: ReadonlyMap<string, readonly number[]>;
}

export async function readLog(brokers: readonly string[], partitions: number): Promise<LogState> {
  const log = await openKafkaLog({ brokers, time: systemTime });
  try {
    const services = new Set<string>();
    for (const [key] of (await foldOf(log, topics.config, 0)).entries()) {
      const { kind, namespace: of, name } = parseConfigKey(key);
      if (kind === 'service' && of === namespace) services.add(name.replace(suffix, ''));
    }
    const endpoints = new Map<string, readonly number[]>();
    const numbers = Array.from({ length: partitions }, (_, at) => at);
    const folds = await Promise.all(numbers.map((at) => foldOf(log, topics.endpoints, at)));
    for (const [key, value] of folds.flatMap((fold) => [...fold.entries()])) {
      const { host, kind } = parseEndpointsKey(key);
      if (kind === 'instance' || !host.endsWith(suffix)) continue;
      const name = host.slice(0, -suffix.length);
      endpoints.set(name, [...(endpoints.get(name) ?? []), ...portsOf(value)]);
    }
    return { services, endpoints };
  } finally {
    await log.close();
  }
}

/** How many records were ever appended to what ingesters write. */
export async function eventsOn(brokers: readonly string[], partitions: number): Promise<number> {
  const log = await openKafkaLog({ brokers, time: systemTime });
  try {
    const numbers = Array.from({ length: partitions }, (_, at) => at);
    const ends = await Promise.all([
      log.end(topics.config, 0),
      ...numbers.map((at) => log.end(topics.endpoints, at)),
    ]);
    return ends.reduce((sum, { offset }) => sum + offset, 0);
  } finally {
    await log.close();
  }
}

async function foldOf(log: Log, topic: string, partition: number): Promise<Fold> {
  const fold = new Fold();
  const stop = new AbortController();
  for await (const batch of log.read(topic, partition, undefined, stop.signal)) {
    fold.apply(batch);
    if (batch.caughtUp) break;
  }
  stop.abort();
  return fold;
}

function portsOf(value: Uint8Array): readonly number[] {
  const { object } = Event.decode(value);
  if (object?.$case !== 'endpoints') return [];
  return object.value.endpoints.flatMap(({ ports }) => Object.values(ports));
}
