/**
 * Steps of streams that ask for a few names: they are looked up, where to compare two views would
 * cost whatever else has changed between them.
 */
import type { Entry, TypeView } from '../view/type-view.ts';
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
