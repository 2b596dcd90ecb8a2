/** Many runs, one seed after the other, and what they came to. */
import { run, type RunResult } from './run.ts';

export interface SeedsOptions {
  readonly first: number;
  /** Of each run. */
  readonly steps: number;
  /** Asked before each run, with how many there were. */
  readonly isMore: (ran: number) => boolean;
  readonly say: (line: string) => void;
  /** Given what failed so far, and before each run this one too: it may never end. */
  readonly note?: (failures: readonly string[]) => void;
  /** Default: the simulation. */
  readonly runOne?: typeof run;
}

/** Says how many ran, how often each fault was hit, and what failed. Returns that, a line each. */
export async function runSeeds(options: SeedsOptions): Promise<readonly string[]> {
  const { first, steps, isMore, say, note, runOne = run } = options;
  const hits = new Map<string, number>();
  const failures: string[] = [];
  say(`seeds from ${first} on`);
  let ran = 0;
  for (; isMore(ran); ran++) {
    const seed = first + ran;
    note?.([...failures, `${replayOf(seed, steps)}: it did not end`]);
    const result = await runOne({ seed, steps });
    for (const [what, count] of result.hits) hits.set(what, (hits.get(what) ?? 0) + count);
    if (result.failure === undefined) continue;
    sayResult(seed, result, say);
    failures.push(`${replayOf(seed, steps)}: ${result.failure.split('\n')[0]}`);
    say(`  replay: ${replayOf(seed, steps)}`);
  }
  note?.(failures);
  for (const [what, count] of [...hits].sort()) say(`${String(count).padStart(8)}  ${what}`);
  say(`${ran} seeds of ${steps} steps, ${failures.length} failed`);
  return failures;
}

export function sayResult(seed: number, result: RunResult, say: (line: string) => void): void {
  const { digest, failure, lines, virtualMs } = result;
  const took = `${lines} lines in ${(virtualMs / 1_000).toFixed(1)} virtual s`;
  say(`${failure === undefined ? '✓' : '✗'} seed ${seed}: ${digest}, ${took}`);
  if (failure !== undefined) say(`  ${failure}`);
}

function replayOf(seed: number, steps: number): string {
  return `npm run sim -- --seed ${seed} --steps ${steps}`;
}
