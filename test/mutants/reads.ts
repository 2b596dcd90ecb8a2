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
  readonly noticed: boolean;
  /** How many changes made the query read that source again. */
  readonly tried: number;
}

/** Each object of the corpus gone, and each of its fields changed. */
function stepsOf(corpus: Corpus): readonly Step[] {
  return corpus.inputs.flatMap((input) => {
    const { object, key } = input;
    if (object === undefined) return [];
    const steps: Step[] = [
      { what: `${key} gone`, change: { ...input, object: undefined }, back: input },
    ];
    const paths = new Set<string>();
    for (const { path, value } of perturb(object.value)) {
      // The first way to change a field is enough to have it read again.
      if (paths.has(path)) continue;
      paths.add(path);
      const changed = { $case: object.$case, value } as EventObject;
      if (encodes(changed)) {
        steps.push({ what: `${key} ${path}`, change: { ...input, object: changed }, back: input });
      }
    }
    return steps;
  });
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
  /** What was read again. */
  readonly pairs: ReadonlySet<string>;
  /** Queries that had another outcome. */
  readonly changed: ReadonlySet<string>;
}

/** What every single change brings about when nothing is forgotten. */
async function expectations(
  plans: PlansOf,
  corpus: Corpus,
): Promise<{ readonly expected: readonly Expected[]; readonly pairs: ReadonlySet<string> }> {
  const pairs = new Set<string>();
  let recent = new Set<string>();
  let changed = new Set<string>();
  const forget = (reader: string, source: string): boolean => {
    pairs.add(pairOf(reader, source));
    recent.add(pairOf(reader, source));
    return false;
  };
  const onCompute = (query: string, _key: string, hasChanged: boolean): void => {
    if (hasChanged) changed.add(query);
  };
  const bed = await Bed.open(plans, corpus, { forget, onCompute });
  const expected: Expected[] = [];
  for (const step of stepsOf(corpus)) {
    recent = new Set();
    changed = new Set();
    const there = await bed.apply([step.change]);
    const back = await bed.apply([step.back]);
    await bed.forget();
    expected.push({ step, outcomes: [there, back], pairs: recent, changed });
  }
  await bed.close();
  if (bed.fatal.length > 0) throw new Error('the engine stopped', { cause: bed.fatal[0] });
  return { expected, pairs };
}

export async function readMutants(plans: PlansOf, corpus: Corpus): Promise<readonly ReadVerdict[]> {
  const { expected, pairs } = await expectations(plans, corpus);
  const verdicts: ReadVerdict[] = [];
  for (const pair of pairs) {
    const [reader = '', source = ''] = pair.split(' → ');
    const candidates = candidatesOf(expected, reader, pair);
    const noticed = await isNoticed(plans, corpus, pair, candidates);
    verdicts.push({ reader, source, noticed, tried: candidates.length });
  }
  return verdicts;
}

/** Of changes that make a query read a source again, so many are tried. */
const maxCandidates = 60;

/** Those that have consequences; first those that make little else be read again, and so hide least. */
function candidatesOf(
  expected: readonly Expected[],
  reader: string,
  pair: string,
): readonly Expected[] {
  const telling = expected.filter(
    ({ pairs, changed, outcomes }) =>
      pairs.has(pair) && changed.has(reader) && outcomes.some((outcome) => outcome !== Bed.nothing),
  );
  return telling.sort((a, b) => a.pairs.size - b.pairs.size).slice(0, maxCandidates);
}

async function isNoticed(
  plans: PlansOf,
  corpus: Corpus,
  pair: string,
  candidates: readonly Expected[],
): Promise<boolean> {
  if (candidates.length === 0) return false;
  const forget = (reader: string, source: string): boolean => pairOf(reader, source) === pair;
  const bed = await Bed.open(plans, corpus, { forget });
  try {
    for (const { step, outcomes } of candidates) {
      if ((await bed.apply([step.change])) !== outcomes[0]) return true;
      if ((await bed.apply([step.back])) !== outcomes[1]) return true;
      await bed.forget();
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
    await live.forget();
    if (!live.failed) {
      const inputs = corpus.inputs.map((input) => (input.key === change.key ? change : input));
      const fresh = await Bed.open(plans, { ...corpus, inputs });
      if (!isDeepStrictEqual(fresh.content(), live.content())) stale.push(what);
      await fresh.close();
    }
    await live.apply([back]);
    await live.forget();
  }
  await live.close();
  return stale;
}
