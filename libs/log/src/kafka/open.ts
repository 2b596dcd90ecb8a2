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

type Progress = AwaitedLogOptions['progress'];

/** What is used of a logger. */
export interface WarningLogger {
  warn(message: string, fields: { readonly error: unknown; readonly failures: number }): void;
}

/** A log that is away fails every partition's calls, again and again: that is one line in so long. */
const toldEveryMs = 10_000;

export interface SharedLogOptions<L extends WarningLogger> extends Pick<
  AwaitedLogOptions,
  'time' | 'onFatal'
> {
  readonly logger: L;
  /** Is told that the log is waited for, and how that goes. */
  readonly readiness: { awaits(token: string, logger: L): Progress };
}

/** Resolves though it is away; see `openAwaited`. Its topics are created where they are absent. */
export async function openSharedLog<L extends WarningLogger>(
  config: SharedLogConfig,
  { time, onFatal, logger, readiness }: SharedLogOptions<L>,
): Promise<Log> {
  const { kafkaBrokers: brokers, partitions, kafkaCompression: compression } = config;
  const security = await kafkaSecurity(config);
  const onRetry = retriesTo(logger, time);
  return await openAwaited({
    open: () => openKafkaLog({ brokers, time, onRetry, compression, ...security }),
    topics: topicSpecs({ shards: partitions }),
    time,
    progress: readiness.awaits('the log', logger),
    onFatal,
  });
}

/** The first is told at once; `failures` counts those since the last line. */
export function retriesTo(
  logger: WarningLogger,
  time: Pick<SharedLogOptions<WarningLogger>['time'], 'now'>,
): (error: LogError) => void {
  let toldMs = Number.NEGATIVE_INFINITY;
  let failures = 0;
  return (error) => {
    failures++;
    const nowMs = time.now();
    if (Math.abs(nowMs - toldMs) < toldEveryMs) return;
    logger.warn('calls of the log failed; they are made again', { error, failures });
    toldMs = nowMs;
    failures = 0;
  };
}
