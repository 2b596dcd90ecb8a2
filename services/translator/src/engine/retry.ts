import { sleep } from '@watershed/runtime/clock.ts';
import type { Timers } from '@watershed/runtime/clock.ts';
import type { Outage } from '@watershed/runtime/outage.ts';

export interface RetryOptions {
  readonly timers: Timers;
  readonly signal: AbortSignal;
  /** Whether the same call may succeed later; what is not rejects at once. */
  readonly retriable: (error: unknown) => boolean;
  /** Of what is called, where nobody else tells of it. */
  readonly outage?: Pick<Outage, 'failed' | 'worked'>;
}

const firstDelayMs = 50;
const lastDelayMs = 5_000;

/** Calls until it succeeds, waiting twice as long each time. Rejects when the signal aborts. */
export async function retry<T>(call: () => Promise<T>, options: RetryOptions): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    options.signal.throwIfAborted();
    try {
      const result = await call();
      options.outage?.worked();
      return result;
    } catch (error) {
      if (options.signal.aborted || !options.retriable(error)) throw error;
      options.outage?.failed(error);
    }
    const delayMs = Math.min(lastDelayMs, firstDelayMs * 2 ** (attempt - 1));
    await sleep(options.timers, delayMs, options.signal);
  }
}
