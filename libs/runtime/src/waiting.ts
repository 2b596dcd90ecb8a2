import type { Timers } from './clock.ts';
import type { Logger } from './logger.ts';
import type { Readiness } from './readiness.ts';

export interface WaitingOptions {
  readonly readiness: Pick<Readiness, 'ready' | 'missing' | 'remarks' | 'whenReady'>;
  readonly timers: Timers;
  readonly logger: Logger;
}

const firstMs = 5_000;
const maxMs = 300_000;

/**
 * What a process that starts waits for, in its log as well: whoever looks there when it does
 * nothing need not know of `/ready`. After 5 s, 10 s more, 20 s more, at last every 5 minutes,
 * until nothing is missing.
 */
export function tellWaiting({ readiness, timers, logger }: WaitingOptions): void {
  let waitedMs = 0;
  const wait = (delayMs: number) =>
    timers.after(delayMs, () => {
      waitedMs += delayMs;
      const { ready, missing, remarks } = readiness;
      // Where something stands in for what is missing, that was told when it began to.
      const seconds = waitedMs / 1_000;
      const said = remarks.length === 0 ? {} : { remarks };
      if (!ready) logger.warn('not ready yet', { seconds, missing, ...said });
      timer = wait(Math.min(maxMs, 2 * delayMs));
    });
  let timer = wait(firstMs);
  void readiness.whenReady().then(() => timer.cancel());
}
