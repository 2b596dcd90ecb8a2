/**
 * What the adapters need of time, as an argument. A part of `Time` of
 * `@watershed/runtime/clock.ts`, which this room does not import.
 */
export interface LogTime {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Calls back once, not before `delayMs`. */
  after(delayMs: number, callback: () => void): { cancel(): void };
  /** Calls back in a turn of its own, after pending I/O. */
  soon(callback: () => void): { cancel(): void };
}

/** Resolves after `delayMs`, or at once when `signal` aborts. Never rejects. */
export function pause(time: LogTime, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) {
      resolve();
      return;
    }
    const done = (): void => {
      timer.cancel();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = time.after(delayMs, done);
    signal?.addEventListener('abort', done, { once: true });
  });
}

/** As the promise, or `undefined` after so long: it goes on, and nobody waits for it. */
export async function within<T>(
  time: LogTime,
  ms: number,
  promise: Promise<T>,
): Promise<T | undefined> {
  const isOver = new AbortController();
  try {
    return await Promise.race([promise, pause(time, ms, isOver.signal).then(() => undefined)]);
  } finally {
    isOver.abort();
  }
}

/** As the promise, or rejects with the signal's reason as soon as that aborts: nobody waits then. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  return Promise.race([promise, aborted.promise]).finally(() => {
    signal.removeEventListener('abort', abort);
  });
}

/** Lets others have a turn of the event loop. */
export function turn(time: LogTime): Promise<void> {
  return new Promise((resolve) => {
    time.soon(resolve);
  });
}

/** Told to all who wait at that moment. */
export class Notice {
  #next = Promise.withResolvers<void>();

  next(): Promise<void> {
    return this.#next.promise;
  }

  tell(): void {
    this.#next.resolve();
    this.#next = Promise.withResolvers<void>();
  }
}
