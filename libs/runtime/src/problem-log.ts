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
  /** Where each is written. */
  #arisen = new Map<string, string>();
  #over = new Map<string, string>();

  /** `what`: `a problem in the configuration` */
  constructor(logger: Logger, what: string) {
    this.#logger = logger;
    this.#what = what;
  }

  /** `origin`: where it is written, `shop/routes.yaml:12`; empty if unknown. */
  arose(problem: string, origin = ''): void {
    if (!this.#over.delete(problem)) this.#arisen.set(problem, origin);
  }

  ended(problem: string, origin = ''): void {
    if (!this.#arisen.delete(problem)) this.#over.set(problem, origin);
  }

  flush(): void {
    const over = [...this.#over];
    const arisen = [...this.#arisen];
    this.#over = new Map();
    this.#arisen = new Map();
    const logger = this.#logger;
    for (const [problem, origin] of over.slice(0, maxLines)) {
      logger.info(`${this.#what} is over`, fieldsOf(problem, origin));
    }
    if (over.length > maxLines) {
      logger.info('more problems are over', { more: over.length - maxLines });
    }
    for (const [problem, origin] of arisen.slice(0, maxLines)) {
      logger.warn(this.#what, fieldsOf(problem, origin));
    }
    if (arisen.length > maxLines) {
      const more = arisen.length - maxLines;
      logger.warn('more problems: /debug/diagnosticz has them', { more });
    }
  }
}

function fieldsOf(problem: string, origin: string): Readonly<Record<string, string>> {
  return origin === '' ? { problem } : { problem, origin };
}
