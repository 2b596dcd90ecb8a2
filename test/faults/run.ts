/** One fault, or several at once, under churn and load; and what is found afterwards. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bed } from './bed.ts';
import type { Fault } from './faults.ts';

export interface Outcome {
  readonly name: string;
  /** In words; empty: survived. */
  readonly problems: readonly string[];
  /** From the fault's end until everybody held what the configuration said then. */
  readonly convergeMs: number;
  /** Requests through the Envoys, all the while. */
  readonly requests: number;
  /** Objects that users changed, and events that reached the log, from begin to end of the fault. */
  readonly written: number;
  readonly events: number;
  readonly seconds: number;
  /** Processes that ended, by the fault or by themselves, and were started again. */
  readonly restarts: number;
}

/** Of churn before a fault. */
const beforeMs = 1_500;
const apartMs = 2_000;
const convergeTimeoutMs = 60_000;

export async function runFaults(bed: Bed, faults: readonly Fault[]): Promise<Outcome> {
  const { churn } = bed;
  const problems: string[] = [];
  const loads = bed.loads();
  const start = { written: churn.written, restarts: bed.restarts, events: await bed.events() };
  const startedAt = performance.now();
  churn.start();
  const ends: (() => Promise<void>)[] = [];
  try {
    await sleep(beforeMs);
    for (const fault of faults) {
      if (ends.length > 0) await sleep(bed.random.below(apartMs));
      ends.push(await fault.begin(bed));
    }
    await sleep(Math.max(...faults.map(({ lastsMs }) => lastsMs)));
    // Of several at once, each hides what the others do.
    const [only, other] = faults;
    if (other === undefined) problems.push(...((await only?.during?.(bed)) ?? []));
  } catch (error) {
    problems.push(describe(error));
  }
  for (const end of ends) {
    await end().catch((error: unknown) => problems.push(describe(error)));
  }
  const endedAt = performance.now();
  await churn.stop();
  await bed.converged(convergeTimeoutMs).catch((error: unknown) => problems.push(describe(error)));
  const convergeMs = performance.now() - endedAt;
  problems.push(...(await bed.audit().catch((error: unknown) => [describe(error)])));
  let requests = 0;
  for (const load of loads) {
    const result = await load.stop();
    requests += result.requests;
    const [first] = result.failures;
    if (first === undefined) continue;
    problems.push(`${result.failures.length} requests failed: ${first.what} at ${first.atMs} ms`);
  }
  return {
    name: faults.map(({ name }) => name).join(' + '),
    problems,
    convergeMs,
    requests,
    written: churn.written - start.written,
    events: (await bed.events()) - start.events,
    seconds: (endedAt - startedAt) / 1_000,
    restarts: bed.restarts - start.restarts,
  };
}

/** The ends of logs, which some have, tell of the machine. */
function describe(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return (message.split('\n')[0] ?? '').slice(0, 300);
}
