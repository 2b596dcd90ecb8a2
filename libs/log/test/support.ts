import type { Log, LogRecord, Position, ReadBatch, Reset } from '../src/port.ts';
import type { LogTime } from '../src/time.ts';

export const realTime: LogTime = {
  now: () => Date.now(),
  after: (delayMs, callback) => {
    const handle = setTimeout(callback, delayMs);
    return { cancel: () => clearTimeout(handle) };
  },
  soon: (callback) => {
    const handle = setImmediate(callback);
    return { cancel: () => clearImmediate(handle) };
  },
};

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function textOf(value: Uint8Array | undefined): string | undefined {
  return value === undefined ? undefined : new TextDecoder().decode(value);
}

/** Records whose key begins so make Kafka roll a segment; no test looks at them. */
export const fillerPrefix = '~';

export interface Everything {
  readonly reset: Reset | undefined;
  readonly records: readonly LogRecord[];
  readonly batches: readonly ReadBatch[];
  readonly position: Position;
}

/** Reads up to the end as it is then. */
export async function readAll(
  log: Log,
  topic: string,
  partition = 0,
  from?: Position,
): Promise<Everything> {
  const stop = new AbortController();
  const batches: ReadBatch[] = [];
  for await (const batch of log.read(topic, partition, from, stop.signal)) {
    batches.push(batch);
    if (batch.caughtUp) break;
  }
  stop.abort();
  const last = batches.at(-1);
  if (last === undefined) throw new Error('no batch');
  return {
    reset: batches[0]?.reset,
    records: batches.flatMap(({ records }) => records.filter(isData)),
    batches,
    position: last.position,
  };
}

export function isData({ key }: { readonly key: string }): boolean {
  return !key.startsWith(fillerPrefix);
}

/** Keys and values in order, as text: `a=1`, or `a` for a tombstone. */
export function brief(records: readonly LogRecord[]): string[] {
  return records.map(({ key, value }) => (value === undefined ? key : `${key}=${textOf(value)}`));
}

/** Waits until it is true; fails after `withinMs`, saying what was awaited. */
export async function until(
  what: string,
  isTrue: () => boolean | Promise<boolean>,
  withinMs = 10_000,
): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!(await isTrue())) {
    if (Date.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await sleep(5);
  }
}

/** Keeps reading in the background and hands each batch over. */
export function tail(
  log: Log,
  topic: string,
  partition: number,
  from: Position | undefined,
  onBatch: (batch: ReadBatch) => void,
): { stop(): Promise<void> } {
  const stop = new AbortController();
  const done = (async () => {
    for await (const batch of log.read(topic, partition, from, stop.signal)) onBatch(batch);
  })();
  return {
    stop: async () => {
      stop.abort();
      await done;
    },
  };
}

/** A seeded generator of numbers in [0, below): mulberry32. */
export function seeded(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}
