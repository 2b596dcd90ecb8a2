/**
 * `npm run faults`: the distributed set under faults. Without arguments the few that every test run
 * has; `--all`: each alone, then pairs, and the table is written to docs/faults.md; `--only TEXT`:
 * those whose names have it, each `--times N`; `--seed N` repeats what was chosen by chance;
 * `--keep` leaves the processes' logs on the disk.
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { allAway } from './all-away.ts';
import { Bed } from './bed.ts';
import { allFaults, someFaults, type Fault } from './faults.ts';
import { Random } from './random.ts';
import { runFaults, type Outcome } from './run.ts';
import { faultsPage, outcomeLine } from './table.ts';

const { values } = parseArgs({
  options: {
    all: { type: 'boolean', default: false },
    only: { type: 'string' },
    seed: { type: 'string', default: '1' },
    pairs: { type: 'string', default: '5' },
    times: { type: 'string', default: '1' },
    keep: { type: 'boolean', default: false },
  },
});
const page = new URL('../../docs/faults.md', import.meta.url);
const seed = Number(values.seed);

function chosen(): readonly (readonly Fault[])[] {
  const { only } = values;
  if (only !== undefined) {
    const asked = only.toLowerCase();
    const faults = [...allFaults, allAway];
    const some = faults.filter(({ name }) => name.toLowerCase().includes(asked));
    if (some.length === 0) {
      const names = faults.map(({ name }) => name).join('; ');
      throw new RangeError(`--only "${only}": no fault is named so; there are ${names}`);
    }
    return some.flatMap((fault) => Array.from({ length: Number(values.times) }, () => [fault]));
  }
  if (!values.all) return someFaults.map((fault) => [fault]);
  const random = new Random(seed);
  const pairs = new Map<string, readonly Fault[]>();
  for (let tries = 0; tries < 1_000 && pairs.size < Number(values.pairs); tries++) {
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
  return [...[...allFaults, allAway].map((fault) => [fault]), ...pairs.values()];
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function main(): Promise<boolean> {
  const outcomes: Outcome[] = [];
  let bed: Bed | undefined;
  try {
    for (const faults of chosen()) {
      bed ??= await Bed.start({ seed, progress: say, keep: values.keep });
      const outcome = await runFaults(bed, faults);
      outcomes.push(outcome);
      if (values.all) await writeFile(page, faultsPage(outcomes, seed));
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
  return outcomes.every(({ problems }) => problems.length === 0);
}

process.exitCode = (await main()) ? 0 : 1;
