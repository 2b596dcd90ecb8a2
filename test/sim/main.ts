/**
 * `npm run sim -- --seed N [--steps K] [--trace]` replays a run; without a seed fresh ones are run
 * for `--seconds S`, and none may fail. It prints a digest of all that happened: the same seed, the
 * same digest. `--tree` runs the seeds that belong to what is committed: the same in every clone,
 * so that nobody's change is turned down by chance, and others for the next change.
 */
import { execFileSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { run, type RunResult } from './run.ts';

const defaultSteps = 80;
const seedsOfTree = 200;
const seedLimit = 1_000_000_007;

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function report(
  seed: number,
  steps: number,
  { digest, failure, lines, virtualMs }: RunResult,
): void {
  const took = `${lines} lines in ${(virtualMs / 1_000).toFixed(1)} virtual s`;
  say(`${failure === undefined ? '✓' : '✗'} seed ${seed}: ${digest}, ${took}`);
  if (failure === undefined) return;
  say(`  ${failure}`);
  say(`  replay: npm run sim -- --seed ${seed} --steps ${steps}`);
}

/** Of all files that are committed, whatever their history. */
function treeNumber(): number {
  const tree = execFileSync('git', ['rev-parse', 'HEAD^{tree}'], { encoding: 'utf8' });
  return Number.parseInt(tree.slice(0, 12), 16);
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string' },
      steps: { type: 'string', default: String(defaultSteps) },
      seconds: { type: 'string', default: '60' },
      tree: { type: 'boolean', default: false },
      trace: { type: 'boolean', default: false },
    },
  });
  const steps = Number(values.steps);
  if (values.seed !== undefined) {
    const seed = Number(values.seed);
    const result = await run({ seed, steps, ...(values.trace ? { trace: say } : {}) });
    report(seed, steps, result);
    return result.failure === undefined ? 0 : 1;
  }
  const startMs = Date.now();
  const first = (values.tree ? treeNumber() : startMs) % seedLimit;
  const isMore = (ran: number): boolean =>
    values.tree ? ran < seedsOfTree : Date.now() < startMs + Number(values.seconds) * 1_000;
  const hits = new Map<string, number>();
  let seeds = 0;
  let failed = 0;
  for (; isMore(seeds); seeds++) {
    const seed = first + seeds;
    const result = await run({ seed, steps });
    for (const [what, count] of result.hits) hits.set(what, (hits.get(what) ?? 0) + count);
    if (result.failure === undefined) continue;
    failed++;
    report(seed, steps, result);
  }
  for (const [what, count] of [...hits].sort()) say(`${String(count).padStart(8)}  ${what}`);
  say(`${seeds} seeds of ${steps} steps, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main();
