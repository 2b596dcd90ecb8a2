import type { Fold } from '@watershed/log/fold.ts';
import { isRetriable, LogError, type Log, type ReadBatch } from '@watershed/log/port.ts';
import { sleep, type Time } from '@watershed/runtime/clock.ts';
import { describeError } from '@watershed/runtime/errors.ts';
import type { Logger } from '@watershed/runtime/logger.ts';

export interface FollowOptions {
  readonly log: Log;
  readonly time: Time;
  readonly logger: Logger;
  /** Between two tries to read a log that is unavailable. Default 1 s. */
  readonly retryMs?: number | undefined;
}

export interface Followed {
  readonly topic: string;
  readonly partition: number;
  /** Tells where to begin, and where to go on after an outage: `take` applies each batch to it. */
  readonly fold: Fold;
  readonly take: (batch: ReadBatch) => void;
}

/**
 * Reads a partition until the signal aborts, or the log is closed. What can only be mended from
 * outside may be mended while proxies are served what there is.
 */
export async function follow(
  { log, time, logger, retryMs = 1_000 }: FollowOptions,
  { topic, partition, fold, take }: Followed,
  signal: AbortSignal,
): Promise<void> {
  let told = '';
  while (!signal.aborted) {
    try {
      for await (const batch of log.read(topic, partition, fold.position, signal)) {
        take(batch);
        told = '';
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof LogError && error.code === 'closed') return;
      const reason = describeError(error);
      if (!isRetriable(error) && reason !== told) {
        logger.error(`the ${topic} topic cannot be read; it is tried again`, { partition, error });
        told = reason;
      }
    }
    await sleep(time, retryMs, signal).catch(() => undefined);
  }
}
