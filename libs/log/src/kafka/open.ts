/** The log of processes that share the work. */
import { openAwaited, type AwaitedLogOptions } from '../awaited.ts';
import { openKafkaLog, readWaitMs } from '../kafka.ts';
import type { Log } from '../port.ts';
import type { LogTime } from '../time.ts';
import { prefixed } from '../prefixed.ts';
import { topicSpecs } from '../topics.ts';
import { LogWatch, type Health } from '../watched.ts';
import { healthOf, kafkaSecurity, type KafkaSecurityConfig } from './security.ts';

/** Its part of a process's options. */
export interface SharedLogConfig extends KafkaSecurityConfig {
  readonly kafkaBrokers: readonly string[];
  readonly partitions: number;
  /** Of all names on Kafka. */
  readonly kafkaPrefix: string;
  readonly kafkaCompression: 'none' | 'gzip' | 'zstd';
}

/** How a logger is handed on, whatever it is. */
export interface SharedLogOptions<L> extends Pick<AwaitedLogOptions, 'time' | 'onFatal'> {
  readonly logger: L;
  /** Is told that the log is waited for, how that goes, and how it does from then on. */
  readonly readiness: {
    awaits(name: string, options: { readonly logger: L; readonly time: LogTime }): Health;
  };
}

/** Resolves though it is away; see `openAwaited`. Its topics are created where they are absent. */
export async function openSharedLog<L>(
  config: SharedLogConfig,
  { time, onFatal, logger, readiness }: SharedLogOptions<L>,
): Promise<Log> {
  const { kafkaBrokers: brokers, partitions } = config;
  const { kafkaCompression: compression, kafkaPrefix: prefix } = config;
  const security = await kafkaSecurity(config);
  const health = healthOf(readiness.awaits('the log', { logger, time }), config);
  const open = async (): Promise<Log> => {
    const watch = new LogWatch({ time, health, readWaitMs });
    const onRetry = watch.retried;
    const log = await openKafkaLog({ brokers, time, onRetry, compression, ...security });
    // Outside of the watch, which then tells of topics by their names on Kafka.
    return prefixed(prefix, watch.over(log));
  };
  return await openAwaited({
    open,
    topics: topicSpecs({ shards: partitions }),
    time,
    health,
    onFatal,
  });
}
