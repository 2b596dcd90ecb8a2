/**
 * `npm run sim`: fresh seeds, or one that is replayed; it prints a digest of all that happened.
 * `--help` lists what can be chosen.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { runCommand } from '@watershed/runtime/command.ts';
import { defineOptions, type ConfigOf } from '@watershed/runtime/options.ts';
import type { Program } from '@watershed/runtime/options-parse.ts';
import { version } from '@watershed/runtime/version.ts';
import { run } from './run.ts';
import { runSeeds, sayResult } from './seeds.ts';

const seedsOfTree = 200;
const seedLimit = 1_000_000_007;

const table = defineOptions({
  seed: {
    type: 'int',
    flag: '--seed',
    min: 0,
    doc: 'Replays this one: the same seed and steps, the same digest. Default: fresh ones, one after the other.',
  },
  steps: { type: 'int', flag: '--steps', default: 80, min: 0, doc: 'Of each run.' },
  trace: { type: 'bool', flag: '--trace', default: false, doc: 'All that happens, with --seed.' },
  seconds: { type: 'int', flag: '--seconds', default: 60, min: 0, doc: 'For how long fresh ones.' },
  tree: {
    type: 'bool',
    flag: '--tree',
    default: false,
    doc: 'The seeds of what is committed: the same in every clone, and others for the next change.',
  },
  failures: {
    type: 'string',
    flag: '--failures',
    placeholder: 'file',
    doc: 'Takes how to replay what failed, a line each; while they run also what runs, should it never end.',
  },
});

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Of all files that are committed, whatever their history. */
function treeNumber(): number {
  const tree = execFileSync('git', ['rev-parse', 'HEAD^{tree}'], { encoding: 'utf8' });
  return Number.parseInt(tree.slice(0, 12), 16);
}

const program: Program<typeof table> = {
  name: 'sim',
  typed: 'npm run sim --',
  description: 'All tiers in one process, under faults that a seed chooses. None may fail.',
  version,
  table,
};

async function simulate({ seed, steps, ...options }: ConfigOf<typeof table>): Promise<number> {
  if (seed !== undefined) {
    const result = await run({ seed, steps, ...(options.trace ? { trace: say } : {}) });
    sayResult(seed, result, say);
    return result.failure === undefined ? 0 : 1;
  }
  const startMs = Date.now();
  const untilMs = startMs + options.seconds * 1_000;
  const { failures: file, tree } = options;
  const failures = await runSeeds({
    first: (tree ? treeNumber() : startMs) % seedLimit,
    steps,
    isMore: (ran) => (tree ? ran < seedsOfTree : Date.now() < untilMs),
    say,
    ...(file === undefined ? {} : { note: (lines) => writeFileSync(file, lines.join('\n')) }),
  });
  return failures.length === 0 ? 0 : 1;
}

await runCommand(program, { argv: process.argv.slice(2), environment: process.env }, simulate);
