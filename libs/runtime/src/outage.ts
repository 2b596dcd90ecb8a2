import { describeError } from './errors.ts';
import type { Logger } from './logger.ts';

export interface OutageOptions {
  readonly logger: Logger;
  /** What is said when it begins, and when it is over. */
  readonly away: string;
  readonly back: string;
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** What is tried again and again is told of once, however long it takes, and once when it works. */
export class Outage {
  readonly #options: OutageOptions;
  #isAway = false;

  constructor(options: OutageOptions) {
    this.#options = options;
  }

  failed(error: unknown): void {
    if (this.#isAway) return;
    this.#isAway = true;
    const { logger, away, fields } = this.#options;
    logger.warn(away, { ...fields, reason: reasonOf(error) });
  }

  worked(): void {
    if (!this.#isAway) return;
    this.#isAway = false;
    const { logger, back, fields } = this.#options;
    logger.info(back, fields);
  }
}

/** In a line: what operation brings needs no stack. */
export function reasonOf(error: unknown): string {
  return error instanceof Error && error.message !== '' ? error.message : describeError(error);
}
