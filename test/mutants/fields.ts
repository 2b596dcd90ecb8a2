/**
 * Mutants of the generator cache's key: the digest of an argument without one of its fields. Each
 * is noticed if some two arguments that differ in that field alone make different bytes: then the
 * cache would have given the bytes of the other, and the assertion mode says so.
 */
import { Metrics } from '@watershed/runtime/metrics.ts';
import {
  GeneratorCache,
  GeneratorError,
  ImpureGeneratorError,
} from '@watershed/translator/engine/cache.ts';
import { Canonical } from '@watershed/translator/engine/canonical.ts';
import type { Generator, Job, Plans, PlansOf } from '@watershed/translator/plan.ts';
import { Bed } from './bed.ts';
import type { Corpus } from './bed.ts';
import { pathsOf, perturb } from './perturb.ts';

export interface FieldVerdict {
  readonly generator: string;
  readonly path: string;
  /** `false`: no change of this field that was tried changes any bytes or diagnostics. */
  readonly noticed: boolean;
  /** How many pairs of arguments were tried. */
  readonly tried: number;
}

/** Every job that the plans ask for. */
export async function jobsOf(plans: PlansOf, corpus: Corpus): Promise<readonly Job[]> {
  const jobs = new Set<Job>();
  const bed = await Bed.open((inputs) => listening(plans(inputs), inputs.graph, jobs), corpus);
  await bed.close();
  return [...jobs];
}

function listening(plans: Plans, graph: Parameters<PlansOf>[0]['graph'], jobs: Set<Job>): Plans {
  const note = (parts: readonly Job[] = []): void => {
    for (const part of parts) jobs.add(part);
  };
  return {
    ...plans,
    shared: graph.query({
      ...plans.shared,
      compute: (read, key) => {
        const plan = plans.shared.compute(read, key);
        note(plan?.parts);
        return plan;
      },
    }),
    manifest: graph.query({
      ...plans.manifest,
      compute: (read, scope) => {
        const plan = plans.manifest.compute(read, scope);
        for (const own of plan.types.flatMap((type) => type.own)) note(own.parts);
        return plan;
      },
    }),
  };
}

/** Of arguments with a field, so many are tried before it counts as not noticed. */
const maxArguments = 40;

export function fieldMutants(jobs: readonly Job[]): readonly FieldVerdict[] {
  const verdicts: FieldVerdict[] = [];
  const byGenerator = Map.groupBy(jobs, (job) => job.generator.name);
  for (const [generator, all] of byGenerator) {
    // Those that say most come first: an empty message has little that could be changed.
    const rich = all
      .map((job) => ({ job, paths: pathsOf(job.argument) }))
      .sort((a, b) => b.paths.length - a.paths.length);
    const paths = new Map<string, Job[]>();
    for (const { job, paths: own } of rich) {
      for (const path of own) {
        const having = paths.get(path) ?? [];
        if (having.length < maxArguments) having.push(job);
        paths.set(path, having);
      }
    }
    for (const [path, having] of paths) verdicts.push(judge(generator, path, having));
  }
  return verdicts;
}

function judge(generator: string, path: string, jobs: readonly Job[]): FieldVerdict {
  const omit = (name: string, at: string): boolean => name === generator && at === path;
  let tried = 0;
  for (const job of jobs) {
    for (const { path: at, value } of perturb(job.argument)) {
      if (at !== path && !at.startsWith(`${path}.`) && !at.startsWith(`${path}[`)) continue;
      tried++;
      if (isNoticed(job, { ...job, argument: value, run: runOf(job.generator, value) }, omit)) {
        return { generator, path, noticed: true, tried };
      }
    }
  }
  return { generator, path, noticed: false, tried };
}

function runOf(generator: Generator<never>, argument: object): Job['run'] {
  return () => generator.generate(argument as never);
}

/** Whether the cache, with the mutant's key, is caught giving the bytes of one for the other. */
function isNoticed(
  job: Job,
  other: Job,
  omit: (generator: string, path: string) => boolean,
): boolean {
  const cache = new GeneratorCache({
    maxEntries: 10,
    assertion: 'always',
    metrics: new Metrics(),
    canonical: new Canonical({ omit }),
    made: () => {},
  });
  try {
    cache.fragment(job);
    cache.fragment(other);
    return false;
  } catch (error) {
    if (error instanceof ImpureGeneratorError) return true;
    if (error instanceof GeneratorError) return false;
    throw error;
  }
}
