import type { SourceObject } from '../../kind.ts';
import { byCodeUnit } from './hosts.ts';

type Aged = Pick<SourceObject<unknown>, 'createdMs' | 'ref'>;

/** The older one, then by namespace and name: as the translator orders routes, by their keys. */
function byPrecedence(a: Aged, b: Aged): number {
  return a.createdMs - b.createdMs || byCodeUnit(keyOf(a), keyOf(b));
}

/**
 * Of those that go before the object and count, the very first. Who counts is asked of few: of
 * those alone that go before all that were found until then.
 */
export function firstBefore<T extends Aged>(
  object: Aged,
  others: Iterable<{ readonly value: T }>,
  counts: (other: T) => boolean,
): T | undefined {
  let first: T | undefined;
  for (const { value } of others) {
    if (byPrecedence(value, first ?? object) < 0 && counts(value)) first = value;
  }
  return first;
}

/** Why it does. */
export function whyFirst(first: Aged, second: Aged): string {
  return first.createdMs < second.createdMs ? 'it is older' : 'by namespace and name';
}

function keyOf({ ref: { namespace, name } }: Aged): string {
  return `${namespace}|${name}`;
}
