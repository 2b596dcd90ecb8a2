/** The log of processes that share the work. */
import { openAwaited, type AwaitedLogOptions } from '../awaited.ts';
import { openKafkaLog } from '../kafka.ts';
import type { Log, LogError } from '../port.ts';
import { kafkaSecurity, type KafkaSecurityConfig } from './security.ts';
import { topicSpecs } from '../topics.ts';

/** Its part of a process's options. */
export interface SharedLogConfig extends KafkaSecurityConfig {
  readonly kafkaBrokers: readonly string[];
  readonly partitions: number;
  readonly kafkaCompression: 'none' | 'gzip' | 'zstd';
}

export interface SharedLogOptions extends Pick<AwaitedLogOptions, 'time' | 'progress' | 'onFatal'> {
  /** Told when a reader's call fails and is made again. */
  readonly onReadError: (error: LogError) => void;
}

/** Resolves though it is away; see `openAwaited`. Its topics are created where they are absent. */
export async function openSharedLog(
  config: SharedLogConfig,
  { time, progress, onFatal, onReadError }: SharedLogOptions,
): Promise<Log> {
  const { kafkaBrokers: brokers, partitions, kafkaCompression: compression } = config;
  const security = await kafkaSecurity(config);
  return await openAwaited({
    open: () => openKafkaLog({ brokers, time, onReadError, compression, ...security }),
    topics: topicSpecs({ shards: partitions }),
    time,
    progress,
    onFatal,
  });
}
