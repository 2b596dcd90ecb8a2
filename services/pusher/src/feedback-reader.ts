import { Fold, type Change } from '@watershed/log/fold.ts';
import type { ReadBatch } from '@watershed/log/port.ts';
import { Feedback, type Demand, type Nack, type Pusher } from '@watershed/model/gen/record.ts';
import { topics } from '@watershed/model/keys.ts';
import { unreadable } from '@watershed/model/schema.ts';
import { follow, type FollowOptions } from './follow.ts';

export interface FeedbackReaderOptions extends FollowOptions {
  /** Of the topic `feedback`. Default 1. */
  readonly partitions?: number | undefined;
  /** `told`: false, it is taken back. */
  readonly onNack: (pusher: string, nack: Nack, told: boolean) => void;
  /** `undefined`: it has left. */
  readonly onPusher: (name: string, pusher: Pusher | undefined) => void;
  /** `undefined`: what was told by that key is taken back. */
  readonly onDemand: (key: string, demand: Demand | undefined) => void;
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

  #read(partition: number): Promise<void> {
    const fold = new Fold();
    const take = (batch: ReadBatch): void => {
      for (const change of fold.apply(batch)) this.#take(change);
    };
    const { signal } = this.#stop;
    return follow(this.#options, { topic: topics.feedback, partition, fold, take }, signal);
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
      this.#options.onDemand(key, demand);
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
