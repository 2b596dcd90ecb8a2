/**
 * `npm run faults`: the distributed set under faults. Without arguments the few that every test run
 * has; `--help` lists what can be chosen.
 */
import { writeFile } from 'node:fs/promises';
import { runCommand } from '@watershed/runtime/command.ts';
import { defineOptions, type ConfigOf } from '@watershed/runtime/options.ts';
import type { Program } from '@watershed/runtime/options-parse.ts';
import { version } from '@watershed/runtime/version.ts';
import { allAway } from './all-away.ts';
import { Bed } from './bed.ts';
import { allFaults, someFaults, type Fault } from './faults.ts';
import { Random } from './random.ts';
import { runFaults, type Outcome } from './run.ts';
import { faultsPage, outcomeLine } from './table.ts';

const table = defineOptions({
  all: {
    type: 'bool',
    flag: '--all',
    default: false,
    doc: 'Each alone, then pairs; the table is written to docs/faults.md.',
  },
  only: {
    type: 'string',
    flag: '--only',
    placeholder: 'text',
    doc: 'Those whose names have it.',
  },
  times: { type: 'int', flag: '--times', default: 1, min: 1, doc: 'How often each of --only.' },
  pairs: { type: 'int', flag: '--pairs', default: 5, min: 0, doc: 'How many at once in twos.' },
  seed: {
    type: 'int',
    flag: '--seed',
    default: 1,
    min: 0,
    doc: 'Repeats what was chosen by chance.',
  },
  keep: {
    type: 'bool',
    flag: '--keep',
    default: false,
    doc: "Leaves the processes' logs on the disk.",
  },
});
type Config = ConfigOf<typeof table>;

const program: Program<typeof table> = {
  name: 'faults',
  typed: 'npm run faults --',
  description: 'The distributed set under faults: nothing may be lost, come back or fail.',
  version,
  table,
  check: ({ only }) => {
    if (only === undefined || named(only).length > 0) return [];
    const names = everyFault.map(({ name }) => name).join('; ');
    return [`--only: ${JSON.stringify(only)}: no fault is named so; there are ${names}`];
  },
};

const everyFault: readonly Fault[] = [...allFaults, allAway];
const page = new URL('../../docs/faults.md', import.meta.url);

function named(text: string): readonly Fault[] {
  return everyFault.filter(({ name }) => name.toLowerCase().includes(text.toLowerCase()));
}

function chosen({ only, times, all, seed, pairs: count }: Config): readonly (readonly Fault[])[] {
  if (only !== undefined) {
    return named(only).flatMap((fault) => Array.from({ length: times }, () => [fault]));
  }
  if (!all) return someFaults.map((fault) => [fault]);
  const random = new Random(seed);
  const pairs = new Map<string, readonly Fault[]>();
  for (let tries = 0; tries < 1_000 && pairs.size < count; tries++) {
    const pair = [random.pick(allFaults), random.pick(allFaults)] as const;
    if (pair[0].strikes === pair[1].strikes) continue;
    pairs.set(
      pair
        .map(({ name }) => name)
        .toSorted()
        .join(),
      pair,
    );
  }
  return [...everyFault.map((fault) => [fault]), ...pairs.values()];
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function main(config: Config): Promise<number> {
  const { all, seed, keep } = config;
  const outcomes: Outcome[] = [];
  let bed: Bed | undefined;
  try {
    for (const faults of chosen(config)) {
      bed ??= await Bed.start({ seed, progress: say, keep });
      const outcome = await runFaults(bed, faults);
      outcomes.push(outcome);
      if (all) await writeFile(page, faultsPage(outcomes, seed));
      say(outcomeLine(outcome));
      for (const problem of outcome.problems) say(`    ${problem}`);
      // What is broken must not be taken for what the next fault does.
      if (outcome.problems.length > 0) {
        await bed.stop();
        bed = undefined;
      }
    }
  } finally {
    await bed?.stop();
  }
  return outcomes.every(({ problems }) => problems.length === 0) ? 0 : 1;
}

await runCommand(program, { argv: process.argv.slice(2), environment: process.env }, main);
