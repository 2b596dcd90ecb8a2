import { Fold, type Change } from '@watershed/log/fold.ts';
import { LogError, type Log } from '@watershed/log/port.ts';
import { Feedback, type Demand, type Nack, type Pusher } from '@watershed/model/gen/record.ts';
import { topics } from '@watershed/model/keys.ts';
import { unreadable } from '@watershed/model/schema.ts';
import { sleep, type Time } from '@watershed/runtime/clock.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import { Outage } from '@watershed/runtime/outage.ts';

export interface FeedbackReaderOptions {
  readonly log: Log;
  readonly time: Time;
  readonly logger: Logger;
  /** Of the topic `feedback`. Default 1. */
  readonly partitions?: number | undefined;
  /** `told`: false, it is taken back. */
  readonly onNack: (pusher: string, nack: Nack, told: boolean) => void;
  /** `undefined`: it has left. */
  readonly onPusher: (name: string, pusher: Pusher | undefined) => void;
  /** `undefined`: what was told by that key is taken back. */
  readonly onDemand: (key: string, pusher: string, demand: Demand | undefined) => void;
  /** Between two tries to read a log that is unavailable. Default 1 s. */
  readonly retryMs?: number;
}

/**
 * Hears what pushers, this one too, say: of their proxies' NACKs, of scopes, of themselves (see
 * `FeedbackWriter`).
 */
export class FeedbackReader {
  readonly #options: FeedbackReaderOptions;
  readonly #stop = new AbortController();
  readonly #reading: Promise<void>[] = [];
  /** By key, what was told last: a tombstone does not say what of. */
  readonly #told = new Map<string, Nack>();

  constructor(options: FeedbackReaderOptions) {
    this.#options = options;
  }

  start(): void {
    const { partitions = 1 } = this.#options;
    for (let at = 0; at < partitions; at++) this.#reading.push(this.#read(at));
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.allSettled(this.#reading);
  }

  async #read(partition: number): Promise<void> {
    const { log, time, logger, retryMs = 1_000 } = this.#options;
    const { signal } = this.#stop;
    const fold = new Fold();
    const outage = new Outage({
      logger,
      away: 'the feedback topic cannot be read now',
      back: 'the feedback topic is read again',
      fields: { partition },
    });
    while (!signal.aborted) {
      try {
        for await (const batch of log.read(topics.feedback, partition, fold.position, signal)) {
          outage.worked();
          for (const change of fold.apply(batch)) this.#take(change);
        }
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof LogError && !error.retriable) {
          logger.error('the feedback topic cannot be read any more', { partition, error });
          return;
        }
        outage.failed(error);
      }
      await sleep(time, retryMs, signal).catch(() => undefined);
    }
  }

  #take({ key, value, record }: Change): void {
    const reason = unreadable(record?.headers);
    if (reason !== undefined) {
      this.#options.logger.warn('a record of the feedback topic is ignored', { key, reason });
      return;
    }
    const [kind, pusher = ''] = key.split('|', 2);
    if (kind !== 'n' && kind !== 'p' && kind !== 'd') return;
    const report = value === undefined ? undefined : this.#decode(key, value);
    const name = decodeURIComponent(pusher);
    if (kind === 'n') this.#nack(key, name, report?.$case === 'nack' ? report.value : undefined);
    else if (kind === 'p') {
      this.#options.onPusher(name, report?.$case === 'pusher' ? report.value : undefined);
    } else {
      const demand = report?.$case === 'demand' ? report.value : undefined;
      this.#options.onDemand(key, name, demand);
    }
  }

  #nack(key: string, pusher: string, now: Nack | undefined): void {
    const before = this.#told.get(key);
    if (before !== undefined && !isSame(before, now)) this.#options.onNack(pusher, before, false);
    if (now === undefined) this.#told.delete(key);
    else {
      this.#told.set(key, now);
      this.#options.onNack(pusher, now, true);
    }
  }

  #decode(key: string, value: Uint8Array): Feedback['report'] {
    try {
      return Feedback.decode(value).report;
    } catch (error) {
      this.#options.logger.error('a record of the feedback topic cannot be read', { key, error });
      return undefined;
    }
  }
}

/** The same version of the same resource. */
function isSame(a: Nack, b: Nack | undefined): boolean {
  return b !== undefined && Buffer.compare(a.version, b.version) === 0;
}
