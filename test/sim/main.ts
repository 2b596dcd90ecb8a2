/**
 * `npm run sim -- --seed N [--steps K] [--trace]` replays a run. It prints a digest of all that
 * happened: the same seed, the same digest. Without a seed fresh ones are run for `--seconds S`,
 * and none may fail. `--tree` runs the seeds that belong to what is committed instead: the same in
 * every clone, and others for the next change. `--failures FILE`: how to replay what failed, a line
 * each; while they run also what runs, should it never end.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { run } from './run.ts';
import { runSeeds, sayResult } from './seeds.ts';

const defaultSteps = 80;
const seedsOfTree = 200;
const seedLimit = 1_000_000_007;

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Of all files that are committed, whatever their history. */
function treeNumber(): number {
  const tree = execFileSync('git', ['rev-parse', 'HEAD^{tree}'], { encoding: 'utf8' });
  return Number.parseInt(tree.slice(0, 12), 16);
}

function whole(name: string, text: string): number {
  if (!/^\d{1,15}$/u.test(text)) throw new RangeError(`--${name} "${text}": not a whole number`);
  return Number(text);
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string' },
      steps: { type: 'string', default: String(defaultSteps) },
      seconds: { type: 'string', default: '60' },
      tree: { type: 'boolean', default: false },
      trace: { type: 'boolean', default: false },
      failures: { type: 'string' },
    },
  });
  const steps = whole('steps', values.steps);
  if (values.seed !== undefined) {
    const seed = whole('seed', values.seed);
    const result = await run({ seed, steps, ...(values.trace ? { trace: say } : {}) });
    sayResult(seed, result, say);
    return result.failure === undefined ? 0 : 1;
  }
  const startMs = Date.now();
  const untilMs = startMs + whole('seconds', values.seconds) * 1_000;
  const { failures: file } = values;
  const failures = await runSeeds({
    first: (values.tree ? treeNumber() : startMs) % seedLimit,
    steps,
    isMore: (ran) => (values.tree ? ran < seedsOfTree : Date.now() < untilMs),
    say,
    ...(file === undefined ? {} : { note: (lines) => writeFileSync(file, lines.join('\n')) }),
  });
  return failures.length === 0 ? 0 : 1;
}

process.exitCode = await main();
