import type { Logger } from '@watershed/runtime/logger.ts';
import { ProblemLog } from '@watershed/runtime/problem-log.ts';
import { describe, type Diagnostic, type Watcher } from './core/diagnostics.ts';

/** Diagnostics in the log, as they come and go; all deletions that are held are one line. */
export class DiagnosticLog implements Watcher {
  readonly #logger: Logger;
  readonly #xdsctl: (command: string) => string;
  readonly #problems: ProblemLog;
  #held = 0;
  #released = 0;
  #why = '';

  /** @param xdsctl the command line that asks this process */
  constructor(logger: Logger, xdsctl: (command: string) => string) {
    this.#logger = logger;
    this.#xdsctl = xdsctl;
    this.#problems = new ProblemLog(logger, 'a problem in the configuration');
  }

  arose(found: Diagnostic): void {
    if (found.step === 'held') {
      this.#held++;
      this.#why = found.reason;
    } else if (isTold(found)) this.#problems.arose(describe(found), found.origin);
  }

  ended(found: Diagnostic): void {
    if (found.step === 'held') this.#released++;
    else if (isTold(found)) this.#problems.ended(describe(found), found.origin);
  }

  /** A batch is over. */
  flush(): void {
    const held = this.#held;
    const released = this.#released;
    this.#held = 0;
    this.#released = 0;
    this.#problems.flush();
    const logger = this.#logger;
    if (released > 0) logger.info('deletions are held no more', { count: released });
    if (held > 0) {
      const reason = this.#why;
      const release = this.#xdsctl('confirm');
      logger.warn(`deletions are held: \`${release}\` releases them`, { held, reason });
    }
  }
}

/** Of a source as a whole the ingester tells, and when it is well again. */
function isTold({ step }: Diagnostic): boolean {
  return step !== 'source';
}
