/** The engine's outputs on the log: one owned partition of `xds` for each that the shard owns. */
import { OwnedPartition } from '@watershed/log/owned.ts';
import { isRetriable } from '@watershed/log/port.ts';
import type { Log } from '@watershed/log/port.ts';
import { topics } from '@watershed/model/keys.ts';
import type { Time } from '@watershed/runtime/clock.ts';
import { watershedMetrics } from '@watershed/runtime/metric-names.ts';
import type { Metrics } from '@watershed/runtime/metrics.ts';
import { extractTraceparent, traced } from '@watershed/runtime/tracing.ts';
import type { SpanOptions, Tracing } from '@watershed/runtime/tracing.ts';
import type { Current, OutputRecord, Outputs } from './engine/published.ts';
import { retry } from './engine/retry.ts';

export interface LogOutputsOptions {
  readonly log: Log;
  /** Who owns them, for people who read the log. */
  readonly writer: string;
  /** Unique for ever; see `OwnedPartitionOptions`. */
  readonly newClaimId?: () => string;
  readonly time: Time;
  readonly metrics: Metrics;
  readonly tracing: Tracing;
  /** Aborted: nothing is tried again. */
  readonly signal: AbortSignal;
}

export class LogOutputs implements Outputs {
  readonly #options: LogOutputsOptions;
  readonly #partitions = new Map<number, OwnedPartition>();

  constructor(options: LogOutputsOptions) {
    this.#options = options;
  }

  /**
   * Takes a partition over from whoever had it, and gives what it holds. Waits while the log is
   * away. `lost` is called when another process takes it, or the log is gone for good.
   */
  async open(partition: number, lost: (reason: unknown) => void): Promise<Current> {
    const owned = await this.#persist(() =>
      OwnedPartition.open({ ...this.#options, topic: topics.xds, partition }),
    );
    this.#partitions.set(partition, owned);
    const tell = (): void => {
      if (this.#partitions.get(partition) === owned) lost(owned.lost.reason);
    };
    owned.lost.addEventListener('abort', tell, { once: true });
    if (owned.lost.aborted) tell();
    return owned.entries();
  }

  /** All that it should hold is on the log: what is left there of other keys is taken back. */
  async complete(partition: number): Promise<void> {
    await this.#partitions.get(partition)?.complete();
  }

  /** What is appended to it from now on is dropped. */
  async close(partition: number): Promise<void> {
    const owned = this.#partitions.get(partition);
    this.#partitions.delete(partition);
    await owned?.close();
  }

  async append(
    records: readonly OutputRecord[],
    headers: Readonly<Record<string, string>>,
  ): Promise<void> {
    const { time, metrics, tracing } = this.#options;
    const sinceMs = time.monotonic();
    const byPartition = Map.groupBy(records, (record) => record.partition);
    const writes = [...byPartition].map(async ([partition, changes]) => {
      const owned = this.#partitions.get(partition);
      if (owned === undefined) return;
      const writes = changes.map(({ key, value }) => ({ key, value, headers }));
      try {
        // Written again, it waits until the owner has brought what was not durable to the log.
        await this.#persist(() => owned.write(writes));
      } catch (error) {
        // Whoever is told of the loss decides what follows from it.
        if (!owned.lost.aborted) throw error;
      }
    });
    await traced(tracing, 'append', appendSpan(records, headers), () => Promise.all(writes));
    const topic = topics.xds;
    const seconds = metrics.histogram(watershedMetrics.appendSeconds).with({ topic });
    seconds.observe((time.monotonic() - sinceMs) / 1_000);
    metrics.counter(watershedMetrics.recordsAppended).with({ topic }).add(records.length);
  }

  #persist<T>(call: () => Promise<T>): Promise<T> {
    const { time: timers, signal } = this.#options;
    return retry(call, { timers, signal, retriable: isRetriable });
  }
}

function appendSpan(
  records: readonly OutputRecord[],
  headers: Readonly<Record<string, string>>,
): SpanOptions {
  const attributes = { 'watershed.topic': topics.xds, 'watershed.records': records.length };
  return { parent: extractTraceparent(headers), attributes };
}
