import type { Logger } from './logger.ts';

/** Of one flush; debug pages have them all. */
const maxLines = 20;

/**
 * Tells the log's readers of problems as they come and go: each once, and a mass of them in one
 * line. What is taken back and found again before the flush has not changed.
 */
export class ProblemLog {
  readonly #logger: Logger;
  readonly #what: string;
  #arisen = new Set<string>();
  #over = new Set<string>();

  /** `what`: `a problem in the configuration` */
  constructor(logger: Logger, what: string) {
    this.#logger = logger;
    this.#what = what;
  }

  arose(problem: string): void {
    if (!this.#over.delete(problem)) this.#arisen.add(problem);
  }

  ended(problem: string): void {
    if (!this.#arisen.delete(problem)) this.#over.add(problem);
  }

  flush(): void {
    const over = [...this.#over];
    const arisen = [...this.#arisen];
    this.#over = new Set();
    this.#arisen = new Set();
    const logger = this.#logger;
    for (const problem of over.slice(0, maxLines)) {
      logger.info(`${this.#what} is over`, { problem });
    }
    if (over.length > maxLines) {
      logger.info('more problems are over', { more: over.length - maxLines });
    }
    for (const problem of arisen.slice(0, maxLines)) logger.warn(this.#what, { problem });
    if (arisen.length > maxLines) {
      const more = arisen.length - maxLines;
      logger.warn('more problems: /debug/diagnosticz has them', { more });
    }
  }
}
