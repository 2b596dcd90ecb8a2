import type { Clock } from '@watershed/runtime/clock.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import { FewLines } from '../few-lines.ts';
import type { PusherMetrics } from '../metrics.ts';

export interface Refused {
  readonly path: string;
  readonly peer: { readonly address: string; readonly secure: boolean };
}

export interface RefusalsOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: PusherMetrics;
}

/** Counts and logs the calls that were refused for who their client is. */
export class Refusals {
  readonly #metrics: PusherMetrics;
  readonly #lines: FewLines;

  constructor({ clock, logger, metrics }: RefusalsOptions) {
    this.#metrics = metrics;
    this.#lines = new FewLines(clock, logger);
  }

  add({ path, peer }: Refused, reason: 'unauthenticated' | 'denied', problem: string): void {
    this.#metrics.refused(reason).add();
    const { address, secure } = peer;
    this.#lines.warn('a client was refused', { reason, problem, peer: address, secure, path });
  }
}
