/** The engine's outputs on the log: one owned partition of `xds` for each that the shard owns. */
import { OwnedPartition } from '@watershed/log/owned.ts';
import { LogError } from '@watershed/log/port.ts';
import type { Log } from '@watershed/log/port.ts';
import { topics } from '@watershed/model/keys.ts';
import type { Time } from '@watershed/runtime/clock.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import { watershedMetrics } from '@watershed/runtime/metric-names.ts';
import type { Metrics } from '@watershed/runtime/metrics.ts';
import type { OutputRecord, Outputs } from './engine/published.ts';
import { retry } from './engine/retry.ts';

export interface LogOutputsOptions {
  readonly log: Log;
  readonly owned: ReadonlySet<number>;
  /** Who owns them, for people who read the log. */
  readonly writer: string;
  readonly time: Time;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Aborted: nothing is tried again. */
  readonly signal: AbortSignal;
}

export class LogOutputs implements Outputs {
  readonly #options: LogOutputsOptions;
  readonly #partitions: ReadonlyMap<number, OwnedPartition>;

  private constructor(options: LogOutputsOptions, partitions: ReadonlyMap<number, OwnedPartition>) {
    this.#options = options;
    this.#partitions = partitions;
  }

  /**
   * Takes the partitions over from whoever had them, and reads what they hold. Waits while the log
   * is away. `lost` is called when another process takes one of them.
   */
  static async open(
    options: LogOutputsOptions,
    lost: (reason: unknown) => void,
  ): Promise<LogOutputs> {
    const partitions = new Map<number, OwnedPartition>();
    for (const partition of options.owned) {
      const { log, writer, time } = options;
      const owned = await persist(options, () =>
        OwnedPartition.open({ log, topic: topics.xds, partition, writer, time }),
      );
      partitions.set(partition, owned);
      owned.lost.addEventListener('abort', () => lost(owned.lost.reason), { once: true });
    }
    return new LogOutputs(options, partitions);
  }

  *current(): IterableIterator<OutputRecord> {
    for (const [partition, owned] of this.#partitions) {
      for (const key of owned.keys()) yield { partition, key, value: owned.get(key) };
    }
  }

  async append(
    records: readonly OutputRecord[],
    headers: Readonly<Record<string, string>>,
  ): Promise<void> {
    const { time, metrics } = this.#options;
    const sinceMs = time.monotonic();
    const byPartition = Map.groupBy(records, (record) => record.partition);
    const writes = [...byPartition].map(async ([partition, changes]) => {
      const owned = this.#partitions.get(partition);
      if (owned === undefined) throw new RangeError(`partition ${partition} is not owned`);
      const writes = changes.map(({ key, value }) => ({ key, value, headers }));
      // Written again, it waits until the owner itself has brought what was not durable to the log.
      await persist(this.#options, () => owned.write(writes));
    });
    await Promise.all(writes);
    const topic = topics.xds;
    const seconds = metrics.histogram(watershedMetrics.appendSeconds).with({ topic });
    seconds.observe((time.monotonic() - sinceMs) / 1_000);
    metrics.counter(watershedMetrics.recordsAppended).with({ topic }).add(records.length);
  }

  async close(): Promise<void> {
    for (const owned of this.#partitions.values()) await owned.close();
  }
}

function persist<T>(options: LogOutputsOptions, call: () => Promise<T>): Promise<T> {
  return retry(call, {
    timers: options.time,
    signal: options.signal,
    retriable: (error) => error instanceof LogError && error.retriable,
    onRetry: (error, attempt) => {
      options.logger.warn('outputs could not be written, trying again', { attempt, error });
    },
  });
}
