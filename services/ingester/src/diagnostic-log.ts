import type { Time, Timer } from '@watershed/runtime/clock.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import { ProblemLog } from '@watershed/runtime/problem-log.ts';
import { describe, subjectId, type Diagnostic, type Watcher } from './core/diagnostics.ts';

/**
 * What comes and goes again in this time is not told of: files that are moved from one source to
 * another are in both for a moment, or in none.
 */
const tellAfterMs = 250;

/** Diagnostics in the log, as they come and go; all deletions that are held are one line. */
export class DiagnosticLog implements Watcher {
  readonly #logger: Logger;
  readonly #xdsctl: (command: string) => string;
  readonly #problems: ProblemLog;
  readonly #time: Pick<Time, 'after'>;
  #due: Timer | undefined;
  /** By subject. */
  readonly #held = new Set<string>();
  readonly #released = new Set<string>();
  #why = '';

  /** @param xdsctl the command line that asks this process */
  constructor(logger: Logger, xdsctl: (command: string) => string, time: Pick<Time, 'after'>) {
    this.#logger = logger;
    this.#time = time;
    this.#xdsctl = xdsctl;
    this.#problems = new ProblemLog(logger, 'a problem in the configuration');
  }

  arose(found: Diagnostic): void {
    this.#tellLater();
    if (found.step === 'held') {
      const id = subjectId(found);
      if (!this.#released.delete(id)) this.#held.add(id);
      this.#why = found.reason;
    } else if (isTold(found)) this.#problems.arose(describe(found), found.origin);
  }

  ended(found: Diagnostic): void {
    this.#tellLater();
    if (found.step === 'held') {
      const id = subjectId(found);
      if (!this.#held.delete(id)) this.#released.add(id);
    } else if (isTold(found)) this.#problems.ended(describe(found), found.origin);
  }

  #tellLater(): void {
    this.#due ??= this.#time.after(tellAfterMs, () => this.flush());
  }

  /** Tells at once of what has changed. */
  flush(): void {
    this.#due?.cancel();
    this.#due = undefined;
    const held = this.#held.size;
    const released = this.#released.size;
    this.#held.clear();
    this.#released.clear();
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
