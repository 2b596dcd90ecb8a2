/**
 * Time as an argument. Nothing in the core reads a clock or sets a timer by itself, so a test or a
 * seeded simulation decides when time passes.
 */
export interface Clock {
  /** Milliseconds since the Unix epoch. May jump; for people and records, never for measuring. */
  now(): number;
  /** Milliseconds from an arbitrary origin, with fractions. Never goes back; for measuring. */
  monotonic(): number;
}

export interface Timer {
  /** A cancelled timer never fires; cancelling twice, or after it fired, does nothing. */
  cancel(): void;
}

export interface Timers {
  /** Calls back once, not before `delayMs`. A pending timer keeps the process alive. */
  after(delayMs: number, callback: () => void): Timer;
  /** Calls back in a turn of its own, after pending I/O: cuts long work, so that others get a turn. */
  soon(callback: () => void): Timer;
}

export interface Time extends Clock, Timers {}

/** The machine's own. */
export const systemTime: Time = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: (delayMs, callback) => {
    const handle = setTimeout(callback, delayMs);
    return { cancel: () => clearTimeout(handle) };
  },
  soon: (callback) => {
    const handle = setImmediate(callback);
    return { cancel: () => clearImmediate(handle) };
  },
};

/** Resolves after `delayMs`; rejects with the signal's reason when it aborts first. */
export function sleep(timers: Timers, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(asError(signal.reason));
      return;
    }
    const onAbort = (): void => {
      timer.cancel();
      reject(asError(signal?.reason));
    };
    const timer = timers.after(delayMs, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
