/** The log of processes that share the work. */
import { openAwaited, type AwaitedLogOptions } from '../awaited.ts';
import { openKafkaLog } from '../kafka.ts';
import type { Log, LogError } from '../port.ts';
import { topicSpecs } from '../topics.ts';

/** Its part of a process's options. */
export interface SharedLogConfig {
  readonly kafkaBrokers: readonly string[];
  readonly partitions: number;
}

export interface SharedLogOptions extends Pick<AwaitedLogOptions, 'time' | 'progress' | 'onFatal'> {
  /** Told when a reader's call fails and is made again. */
  readonly onReadError: (error: LogError) => void;
}

/** Resolves though it is away; see `openAwaited`. Its topics are created where they are absent. */
export function openSharedLog(
  { kafkaBrokers: brokers, partitions }: SharedLogConfig,
  { time, progress, onFatal, onReadError }: SharedLogOptions,
): Promise<Log> {
  return openAwaited({
    open: () => openKafkaLog({ brokers, time, onReadError }),
    topics: topicSpecs({ shards: partitions }),
    time,
    progress,
    onFatal,
  });
}
