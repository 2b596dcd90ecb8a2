import { sleep, type Timers } from './clock.ts';
import { describeError, OperatingError, toOperatingError } from './errors.ts';
import type { Logger } from './logger.ts';

/** A part of a process that is started and stopped. */
export interface Part {
  readonly name: string;
  /** Resolves when what depends on it may start. */
  start?(): Promise<void>;
  /**
   * Ends its work in order; `signal` aborts when the deadline has passed: then it must let go at
   * once.
   */
  stop?(signal: AbortSignal): Promise<void>;
}

export interface LifecycleOptions {
  readonly timers: Timers;
  readonly logger: Logger;
  /** For all parts together. */
  readonly drainMs: number;
}

/** What sends signals: `process`. */
export interface SignalSource {
  on(signal: 'SIGTERM' | 'SIGINT', listener: () => void): unknown;
}

/** After the deadline, how long a part may take to let go before it is left behind. */
const letGoMs = 1_000;

/**
 * What comes so soon after the first signal is the same request: at Ctrl-C a terminal tells all of
 * its processes, and then npm, or whatever else started this one, hands on what it was told.
 */
const sameRequestMs = 500;

/**
 * Starts parts in order and stops them in the reverse order: what was started last depends on what
 * was started first. A part that fails to start stops those before it.
 */
export class Lifecycle {
  readonly #options: LifecycleOptions;
  readonly #started: Part[] = [];
  readonly #ended = Promise.withResolvers<void>();
  #ending = false;
  #stopping: Promise<void> | undefined;

  constructor(options: LifecycleOptions) {
    this.#options = options;
  }

  /** @throws OperatingError naming the part that did not start. */
  async start(parts: readonly Part[]): Promise<void> {
    for (const part of parts) {
      if (this.#stopping !== undefined) {
        throw new OperatingError('cancelled', `stopped before ${part.name} was started`);
      }
      try {
        // In order: each may need those before it.
        await part.start?.();
      } catch (error) {
        await this.stop();
        const { code } = toOperatingError(error);
        throw new OperatingError(code, `cannot start ${part.name}`, { cause: error });
      }
      this.#started.push(part);
    }
  }

  /**
   * Stops all that was started, once; never rejects: what goes wrong is logged and the rest goes
   * on.
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#drain();
    return this.#stopping;
  }

  async #drain(): Promise<void> {
    const { timers, drainMs } = this.#options;
    const deadline = new AbortController();
    const timer = timers.after(drainMs, () => {
      deadline.abort(new OperatingError('timeout', `not stopped in ${drainMs} ms`));
    });
    for (let part = this.#started.pop(); part !== undefined; part = this.#started.pop()) {
      await this.#stopPart(part, deadline.signal);
    }
    timer.cancel();
  }

  async #stopPart(part: Part, signal: AbortSignal): Promise<void> {
    const { logger, timers } = this.#options;
    const stopped = new AbortController();
    const stop = async (): Promise<void> => part.stop?.(signal);
    try {
      await Promise.race([stop(), leftBehind(timers, signal, stopped.signal)]);
    } catch (error) {
      logger.error('a part did not stop in order', { part: part.name, error });
    } finally {
      stopped.abort();
    }
  }

  /** Stops in order, and says so; `why`: fields of that line. */
  end(why: Readonly<Record<string, unknown>>): void {
    if (this.#ending) return;
    this.#ending = true;
    const { logger, drainMs } = this.#options;
    logger.info('stopping', { ...why, drainMs });
    void this.stop().then(this.#ended.resolve);
  }

  /**
   * Resolves when everything has stopped, by `end` or because a signal asked for it. A second
   * signal, unless it is the same request, does not wait: `force` is called, to leave at once.
   */
  runUntilEnd(source: SignalSource, force: (signal: string) => void): Promise<void> {
    const { logger, timers } = this.#options;
    const { promise: ended } = this.#ended;
    let asked = false;
    let askedOnce = false;
    const onSignal = (signal: 'SIGTERM' | 'SIGINT'): void => {
      if (askedOnce) {
        logger.warn('forced to stop at once', { signal });
        force(signal);
      }
      if (asked) return;
      asked = true;
      this.end({ signal });
      const timer = timers.after(sameRequestMs, () => {
        askedOnce = true;
      });
      void ended.then(() => timer.cancel());
    };
    source.on('SIGTERM', () => onSignal('SIGTERM'));
    source.on('SIGINT', () => onSignal('SIGINT'));
    return ended;
  }
}

/** Rejects when the deadline passed and the part did not let go in time after it. */
async function leftBehind(
  timers: Timers,
  deadline: AbortSignal,
  stopped: AbortSignal,
): Promise<void> {
  await new Promise<void>((resolve) => {
    if (deadline.aborted) resolve();
    deadline.addEventListener('abort', () => resolve(), { once: true, signal: stopped });
  });
  try {
    await sleep(timers, letGoMs, stopped);
  } catch {
    return;
  }
  throw new OperatingError('timeout', describeError(deadline.reason));
}
