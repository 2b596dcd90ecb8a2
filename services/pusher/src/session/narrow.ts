/**
 * Steps of streams that ask for a few names: they are looked up, where to compare two views would
 * cost whatever else has changed between them.
 */
import { hash } from 'node:crypto';
import { isEmptied, type Entry, type TypeView } from '../view/type-view.ts';
import type { Subscription } from './subscription.ts';

interface NarrowStep {
  readonly held: TypeView;
  readonly target: TypeView;
  readonly subscription: Subscription;
}

interface AnyStep extends Omit<NarrowStep, 'held'> {
  readonly held: TypeView | undefined;
}

/** Called for each name asked for that is absent on one side, or whose versions differ. */
type Visitor = (before: Entry | undefined, after: Entry | undefined) => void;

export function isNarrow(step: AnyStep): step is NarrowStep {
  const { held, target, subscription } = step;
  return subscription.isNarrow && held !== undefined && held.isPlain && target.isPlain;
}

export function eachDifference({ held, target, subscription }: NarrowStep, visit: Visitor): void {
  subscription.eachName((leaf) => {
    const before = held.lookup(leaf);
    const after = target.lookup(leaf);
    if (before?.version !== after?.version) visit(before, after);
  });
}

/** Nothing that is asked for goes, or loses all that it had: there is no second half of the way. */
export function takesNothing(step: AnyStep): boolean {
  if (!isNarrow(step)) return false;
  let takes = false;
  eachDifference(step, (before, after) => {
    takes ||= after === undefined || isEmptied(before, after);
  });
  return !takes;
}

/**
 * The digest of all that a client holds after the step (of one resource, its version), where that
 * is a few resources: the whole
 * view's costs what has changed of everything. `undefined`: it is not.
 */
export function narrowDigest({ target, subscription }: AnyStep): string | undefined {
  if (!subscription.isNarrow || !target.isPlain) return undefined;
  const held: Entry[] = [];
  subscription.eachName((leaf) => {
    const entry = target.lookup(leaf);
    if (entry !== undefined) held.push(entry);
  });
  const [only] = held;
  if (only !== undefined && held.length === 1) return only.version;
  const all = held.map(({ version, name }) => `${version}\0${name}`);
  return hash('sha256', all.join('\n'), 'hex').slice(0, 32);
}
