import type { Logger } from '@watershed/runtime/logger.ts';
import { describe, type Diagnostic } from './core/diagnostics.ts';

/** Of one batch; the debug page and `xdsctl` have them all. */
const maxLines = 20;

/** Tells the log's readers of problems as they arise: each once, and a mass of them in one line. */
export class ProblemLog {
  readonly #logger: Logger;
  #found: Diagnostic[] = [];
  #held = 0;
  #why = '';
  #more = 0;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  add(found: Diagnostic): void {
    // Of a source as a whole the ingester tells, and when it is well again.
    if (found.step === 'source') return;
    if (found.step === 'held') {
      this.#held++;
      this.#why = found.reason;
    } else if (this.#found.length < maxLines) this.#found.push(found);
    else this.#more++;
  }

  /** A batch is over. */
  flush(): void {
    const found = this.#found;
    this.#found = [];
    for (const one of found) {
      this.#logger.warn('a problem in the configuration', { problem: describe(one) });
    }
    if (this.#more > 0) {
      this.#logger.warn('more problems: /debug/diagnosticz has them', { more: this.#more });
    }
    if (this.#held > 0) {
      this.#logger.warn('deletions are held: `xdsctl confirm` releases them', {
        held: this.#held,
        reason: this.#why,
      });
    }
    this.#more = 0;
    this.#held = 0;
  }
}
