import { setTimeout as sleep } from 'node:timers/promises';

const everyMs = 25;

/**
 * Polls until `check` gives something else than undefined or false; fails with what was waited for
 * and with the last failure of `check` itself.
 */
export async function until<T>(
  what: string,
  check: () => Promise<T | false | undefined> | T | false | undefined,
  timeoutMs = 20_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let cause: unknown;
  for (;;) {
    try {
      const found = await check();
      if (found !== undefined && found !== false) return found;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    if (performance.now() > deadline) {
      throw new Error(`waited ${timeoutMs} ms until ${what}`, { cause });
    }
    await sleep(everyMs);
  }
}
