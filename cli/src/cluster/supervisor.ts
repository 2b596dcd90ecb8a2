import { sleep, type Clock, type Timers } from '@watershed/runtime/clock.ts';
import { formatDuration } from '@watershed/runtime/duration.ts';
import { describeError } from '@watershed/runtime/errors.ts';
import type { Exit } from '../components/child.ts';
import type { ClusterProcess } from '../components/cluster-process.ts';

export interface SupervisorOptions {
  /** How long it stays away. */
  readonly delayMs: number;
  readonly time: Clock & Timers;
  readonly say: (line: string) => void;
  /** When it is aborted, what ends is meant to. */
  readonly signal: AbortSignal;
}

/** What ends sooner after its start is likely to do so again. */
const soonMs = 10_000;
const maxDelayMs = 60_000;

/**
 * As an orchestrator does: when the process has ended it says so, and starts it again after a
 * while.
 */
export async function supervise(one: ClusterProcess, options: SupervisorOptions): Promise<void> {
  const { delayMs: firstMs, time, say, signal } = options;
  let delayMs = firstMs;
  for (let round = 0; ; round++) {
    const startedMs = time.monotonic();
    const exit = await one.ended;
    if (signal.aborted) return;
    const isSoon = round > 0 && time.monotonic() - startedMs < soonMs;
    delayMs = isSoon ? Math.max(firstMs, Math.min(2 * delayMs, maxDelayMs)) : firstMs;
    const { name, logFile } = one;
    const again = `it is started again in ${formatDuration(delayMs)}`;
    say(`${name} has ended (${describe(exit)}); ${again}; its log: ${logFile}`);
    try {
      await sleep(time, delayMs, signal);
      await one.start();
      say(`${name} runs again (pid ${one.pid})`);
    } catch (error) {
      if (signal.aborted) return;
      // Of what it said last, its log has all.
      say(`${name} is not well: ${describeError(error).split('\n')[0]}`);
    }
  }
}

function describe({ status, signal }: Exit): string {
  return signal ?? (status === null ? 'it could not be started' : `exit code ${status}`);
}
