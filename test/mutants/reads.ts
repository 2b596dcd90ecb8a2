/**
 * Mutants of the graph: a query's reads of one source are not recorded. Each is noticed if some
 * single change of the corpus has other consequences than without the mutant.
 */
import { isDeepStrictEqual } from 'node:util';
import { Event } from '@watershed/model/gen/model.ts';
import type { PlansOf } from '@watershed/translator/plan.ts';
import { Bed } from './bed.ts';
import type { Corpus, EventObject, Input } from './bed.ts';
import { perturb } from './perturb.ts';

/** A change and its opposite. */
export interface Step {
  readonly what: string;
  readonly change: Input;
  readonly back: Input;
}

export interface ReadVerdict {
  readonly reader: string;
  readonly source: string;
  /**
   * - `noticed`: a change had other consequences.
   * - `missed`: a change that only this read tells of had the same consequences.
   * - `covered`: whenever this source changed, another one that the query reads did too, so that
   *   nothing can be told apart: the read is needless, or the corpus lacks a change of it alone.
   * - `idle`: no change of the corpus reaches the query through this source and has consequences.
   */
  readonly verdict: 'noticed' | 'missed' | 'covered' | 'idle';
  /** Sources that changed along with it. */
  readonly by: readonly string[];
}

/** What is extra there, each object of the corpus gone, and each of its fields changed. */
function stepsOf(corpus: Corpus): readonly Step[] {
  const extra = (corpus.extra ?? []).map((change) => {
    const before = corpus.inputs.find((input) => input.key === change.key);
    return {
      what: `${change.key} comes`,
      change,
      back: before ?? { ...change, object: undefined },
    };
  });
  return [...extra, ...corpus.inputs.flatMap(stepsOfInput)];
}

function stepsOfInput(input: Input): readonly Step[] {
  const { object, key } = input;
  if (object === undefined) return [];
  const gone = { ...input, object: undefined };
  const steps: Step[] = [{ what: `${key} gone`, change: gone, back: input }];
  const paths = new Set<string>();
  for (const { path, value } of perturb(object.value)) {
    // The first way to change a field is enough to have it read again.
    if (paths.has(path)) continue;
    paths.add(path);
    const changed = { $case: object.$case, value } as EventObject;
    if (!encodes(changed)) continue;
    steps.push({ what: `${key} ${path}`, change: { ...input, object: changed }, back: input });
  }
  return steps;
}

/** Not everything that can be changed is a message: a list may now hold what is none. */
function encodes(object: EventObject): boolean {
  try {
    Event.encode({ object }).finish();
    return true;
  } catch {
    return false;
  }
}

const pairOf = (reader: string, source: string): string => `${reader} → ${source}`;

/** What a change and its opposite bring about without a mutant. */
interface Expected {
  readonly step: Step;
  readonly outcomes: readonly [string, string];
  /** Pairs of a query with another outcome and the one source that told it so. */
  readonly alone: ReadonlySet<string>;
  /** The same where several told it: each with the others. */
  readonly together: ReadonlyMap<string, readonly string[]>;
}

/** What every single change brings about when nothing is forgotten. */
async function expectations(
  plans: PlansOf,
  corpus: Corpus,
): Promise<{ readonly expected: readonly Expected[]; readonly pairs: ReadonlySet<string> }> {
  const pairs = new Set<string>();
  let alone = new Set<string>();
  let together = new Map<string, readonly string[]>();
  const forget = (reader: string, source: string): boolean => {
    pairs.add(pairOf(reader, source));
    return false;
  };
  const onCompute = (query: string, changed: boolean, causes: readonly string[]): void => {
    if (!changed) return;
    for (const cause of causes) {
      const others = causes.filter((other) => other !== cause);
      if (others.length === 0) alone.add(pairOf(query, cause));
      else together.set(pairOf(query, cause), others);
    }
  };
  const bed = await Bed.open(plans, corpus, { forget, onCompute });
  const expected: Expected[] = [];
  for (const step of stepsOf(corpus)) {
    alone = new Set();
    together = new Map();
    const there = await bed.apply([step.change]);
    const back = await bed.apply([step.back]);
    expected.push({ step, outcomes: [there, back], alone, together });
  }
  await bed.close();
  if (bed.fatal.length > 0) throw new Error('the engine stopped', { cause: bed.fatal[0] });
  return { expected, pairs };
}

/** A mutant is noticed if it is with any of the corpora. */
export async function readMutants(
  plans: PlansOf,
  corpora: readonly Corpus[],
): Promise<readonly ReadVerdict[]> {
  const verdicts = new Map<string, ReadVerdict>();
  for (const corpus of corpora) {
    const { expected, pairs } = await expectations(plans, corpus);
    for (const pair of pairs) {
      const before = verdicts.get(pair);
      if (before?.verdict === 'noticed') continue;
      verdicts.set(pair, stronger(await judge(plans, corpus, pair, expected), before));
    }
  }
  return [...verdicts.values()];
}

async function judge(
  plans: PlansOf,
  corpus: Corpus,
  pair: string,
  expected: readonly Expected[],
): Promise<ReadVerdict> {
  const [reader = '', source = ''] = pair.split(' → ');
  const by = [...new Set(expected.flatMap((one) => one.together.get(pair) ?? []))];
  const candidates = expected.filter((one) => one.alone.has(pair) && hasConsequences(one));
  if (candidates.length === 0) {
    return { reader, source, verdict: by.length > 0 ? 'covered' : 'idle', by };
  }
  const noticed = await isNoticed(plans, corpus, pair, candidates);
  return { reader, source, verdict: noticed ? 'noticed' : 'missed', by };
}

const order = ['idle', 'covered', 'missed', 'noticed'] as const;

/** What one corpus says counts unless another has more to say. */
function stronger(one: ReadVerdict, other: ReadVerdict | undefined): ReadVerdict {
  if (other === undefined) return one;
  const verdict = order.indexOf(one.verdict) > order.indexOf(other.verdict) ? one : other;
  return { ...verdict, by: [...new Set([...one.by, ...other.by])] };
}

function hasConsequences({ outcomes }: Expected): boolean {
  return outcomes.some((outcome) => outcome !== Bed.nothing);
}

/** Of changes that only one read tells of, so many are tried. */
const maxCandidates = 16;

async function isNoticed(
  plans: PlansOf,
  corpus: Corpus,
  pair: string,
  candidates: readonly Expected[],
): Promise<boolean> {
  const forget = (reader: string, source: string): boolean => pairOf(reader, source) === pair;
  const bed = await Bed.open(plans, corpus, { forget });
  try {
    for (const { step, outcomes } of candidates.slice(0, maxCandidates)) {
      if ((await bed.apply([step.change])) !== outcomes[0]) return true;
      if ((await bed.apply([step.back])) !== outcomes[1]) return true;
    }
    return bed.fatal.length > 0;
  } finally {
    await bed.close();
  }
}

/**
 * Changes after which what is kept up to date differs from what a new process makes of the same
 * objects. One in `every` is tried; those that leave something in error are left out, because there
 * the past matters.
 */
export async function staleSteps(
  plans: PlansOf,
  corpus: Corpus,
  every: number,
): Promise<readonly string[]> {
  const live = await Bed.open(plans, corpus);
  const stale: string[] = [];
  for (const [at, { what, change, back }] of stepsOf(corpus).entries()) {
    if (at % every !== 0) continue;
    await live.apply([change]);
    if (!live.failed) {
      const others = corpus.inputs.filter((input) => input.key !== change.key);
      const fresh = await Bed.open(plans, { ...corpus, inputs: [...others, change] });
      if (!isDeepStrictEqual(fresh.content(), live.content())) stale.push(what);
      await fresh.close();
    }
    await live.apply([back]);
  }
  await live.close();
  return stale;
}
