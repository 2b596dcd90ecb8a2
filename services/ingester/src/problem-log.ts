import type { Logger } from '@watershed/runtime/logger.ts';
import { describe, type Diagnostic, type Watcher } from './core/diagnostics.ts';

/** Of one batch; the debug page and `xdsctl` have them all. */
const maxLines = 20;

/**
 * Tells the log's readers of problems as they come and go: each once, and a mass of them in one
 * line.
 */
export class ProblemLog implements Watcher {
  readonly #logger: Logger;
  readonly #xdsctl: (command: string) => string;
  /** Of the batch, by what is said of them. */
  #arisen = new Map<string, Diagnostic>();
  #over = new Map<string, Diagnostic>();

  /** @param xdsctl the command line that asks this process */
  constructor(logger: Logger, xdsctl: (command: string) => string) {
    this.#logger = logger;
    this.#xdsctl = xdsctl;
  }

  arose(found: Diagnostic): void {
    note(this.#arisen, this.#over, found);
  }

  ended(found: Diagnostic): void {
    note(this.#over, this.#arisen, found);
  }

  /** A batch is over. */
  flush(): void {
    const over = sorted(this.#over);
    const arisen = sorted(this.#arisen);
    this.#over = new Map();
    this.#arisen = new Map();
    this.#tellOver(over);
    this.#tellArisen(arisen);
  }

  #tellOver({ told, more, held }: Sorted): void {
    const logger = this.#logger;
    for (const problem of told) {
      logger.info('a problem in the configuration is over', { problem });
    }
    if (more > 0) logger.info('more problems are over', { more });
    if (held.length > 0) logger.info('deletions are held no more', { count: held.length });
  }

  #tellArisen({ told, more, held }: Sorted): void {
    const logger = this.#logger;
    for (const problem of told) logger.warn('a problem in the configuration', { problem });
    if (more > 0) logger.warn('more problems: /debug/diagnosticz has them', { more });
    const reason = held.at(-1)?.reason;
    if (reason === undefined) return;
    const release = this.#xdsctl('confirm');
    logger.warn(`deletions are held: \`${release}\` releases them`, { held: held.length, reason });
  }
}

/** What a batch takes back and finds again has not changed. */
function note(to: Map<string, Diagnostic>, from: Map<string, Diagnostic>, found: Diagnostic): void {
  // Of a source as a whole the ingester tells, and when it is well again.
  if (found.step === 'source') return;
  const text = describe(found);
  if (!from.delete(text)) to.set(text, found);
}

interface Sorted {
  readonly told: readonly string[];
  /** How many there are beside these. */
  readonly more: number;
  readonly held: readonly Diagnostic[];
}

function sorted(found: ReadonlyMap<string, Diagnostic>): Sorted {
  const held = [...found.values()].filter(({ step }) => step === 'held');
  const others = [...found].filter(([, { step }]) => step !== 'held').map(([text]) => text);
  const told = others.slice(0, maxLines);
  return { told, more: others.length - told.length, held };
}
