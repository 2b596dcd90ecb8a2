import type { Clock } from '@watershed/runtime/clock.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
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

/** Of log lines; a client that is refused comes back for ever. */
const maxLinesPerSecond = 10;

/** Counts and logs the calls that were refused for who their client is. */
export class Refusals {
  readonly #options: RefusalsOptions;
  #second = Number.NEGATIVE_INFINITY;
  #lines = 0;
  #unsaid = 0;

  constructor(options: RefusalsOptions) {
    this.#options = options;
  }

  add({ path, peer }: Refused, reason: 'unauthenticated' | 'denied', problem: string): void {
    const { clock, logger, metrics } = this.#options;
    metrics.refused(reason).add();
    const second = Math.floor(clock.monotonic() / 1_000);
    if (second !== this.#second) this.#lines = 0;
    this.#second = second;
    if (this.#lines++ >= maxLinesPerSecond) {
      this.#unsaid++;
      return;
    }
    const { address, secure } = peer;
    const more = this.#unsaid === 0 ? {} : { unsaid: this.#unsaid };
    this.#unsaid = 0;
    logger.warn('a client was refused', { reason, problem, peer: address, secure, path, ...more });
  }
}
