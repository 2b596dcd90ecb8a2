import type { Clock } from '@watershed/runtime/clock.ts';
import type { LogFields } from '@watershed/runtime/log-fields.ts';
import type { Logger } from '@watershed/runtime/logger.ts';

/** Of one message. */
const maxPerSecond = 10;

interface Said {
  second: number;
  lines: number;
  unsaid: number;
}

/**
 * Warnings that clients cause, a thousand at once or again and again: of each message a few lines a
 * second, the next of which tells how many were left out.
 */
export class FewLines {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #logger: Logger;
  /** By message: those that the code has. */
  readonly #said = new Map<string, Said>();

  constructor(clock: Pick<Clock, 'monotonic'>, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
  }

  /** What is so for good, and each client would say again. */
  warnOnce(message: string, fields: LogFields): void {
    if (this.#said.has(message)) return;
    this.warn(message, fields);
  }

  warn(message: string, fields: LogFields): void {
    const second = Math.floor(this.#clock.monotonic() / 1_000);
    const said = this.#said.get(message) ?? { second, lines: 0, unsaid: 0 };
    this.#said.set(message, said);
    if (said.second !== second) Object.assign(said, { second, lines: 0 });
    if (said.lines++ >= maxPerSecond) {
      said.unsaid++;
      return;
    }
    const { unsaid } = said;
    said.unsaid = 0;
    this.#logger.warn(message, unsaid === 0 ? fields : { ...fields, unsaid });
  }
}
