import { setTimeout as sleep } from 'node:timers/promises';

const everyMs = 25;

export interface Quiet {
  readonly quietMs: number;
  /** It is not quiet before it counts so many. */
  readonly least: number;
}

/** Waits until what `count` counts has not changed for a while. */
export async function untilQuiet(
  what: string,
  count: () => Promise<number> | number,
  { quietMs, least }: Quiet,
): Promise<void> {
  let before = Number.NaN;
  let since = performance.now();
  await until(`${what} have ended`, async () => {
    const now = await count();
    if (now !== before) since = performance.now();
    before = now;
    return now >= least && performance.now() - since > quietMs;
  });
}

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
