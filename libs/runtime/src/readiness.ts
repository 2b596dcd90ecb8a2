import { describeError } from './errors.ts';
import type { Logger } from './logger.ts';

/** Something that is waited for. */
export interface Awaited {
  /** A try failed; others follow. */
  failed(error: unknown): void;
  done(): void;
}

/**
 * Whether a process can do its work, by named tokens: each part names what it waits for, and takes
 * the name back when it has it. Ready is when none is left; `/ready` lists the rest.
 */
export class Readiness {
  readonly #missing = new Set<string>();
  readonly #waiting: (() => void)[] = [];
  readonly #remarks: (() => string | undefined)[] = [];
  #standIns = 0;

  /**
   * Not ready until the returned function is called. A name that is waited for already is a
   * mistake.
   */
  expect(token: string): () => void {
    if (this.#missing.has(token)) throw new RangeError(`readiness token ${token} is taken`);
    this.#missing.add(token);
    return () => {
      this.#missing.delete(token);
      if (this.#missing.size === 0) for (const resolve of this.#waiting.splice(0)) resolve();
    };
  }

  /**
   * As `expect`, for what may stay away: `/ready` then says why, and the log, when the reason
   * changes.
   */
  awaits(token: string, logger: Logger): Awaited {
    let reason = '';
    let met = this.expect(token);
    return {
      failed: (error) => {
        const now = error instanceof Error ? error.message : describeError(error);
        if (now === reason) return;
        reason = now;
        logger.warn(`${token} is not there; it is tried again`, { error });
        // Expected anew before it is met: in between it would look ready.
        const before = met;
        met = this.expect(`${token} (${now})`);
        before();
      },
      done: () => {
        if (reason !== '') logger.info(`${token} is there`);
        met();
      },
    };
  }

  /**
   * What is waited for may stay away, and the work is done without: ready until the returned
   * function is called. `/ready` goes on saying what is waited for.
   */
  standIn(): () => void {
    this.#standIns++;
    let isOver = false;
    return () => {
      if (!isOver) this.#standIns--;
      isOver = true;
    };
  }

  /** `/ready` says it, whether ready or not, while it returns something. */
  remark(say: () => string | undefined): void {
    this.#remarks.push(say);
  }

  get remarks(): readonly string[] {
    return this.#remarks.flatMap((say) => say() ?? []);
  }

  /** In the order in which they were named. */
  get missing(): readonly string[] {
    return [...this.#missing];
  }

  get ready(): boolean {
    return this.#missing.size === 0 || this.#standIns > 0;
  }

  /** Resolves when (or at once, if) nothing is waited for. */
  whenReady(): Promise<void> {
    if (this.#missing.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }
}
