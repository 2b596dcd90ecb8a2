import type { SourceObject } from '../../kind.ts';
import { byCodeUnit } from './hosts.ts';

type Aged = Pick<SourceObject<unknown>, 'createdMs' | 'ref'>;

/** The older one, then by namespace and name: as the translator orders routes, by their keys. */
export function byPrecedence(a: Aged, b: Aged): number {
  return a.createdMs - b.createdMs || byCodeUnit(keyOf(a), keyOf(b));
}

/** Why it does. */
export function whyFirst(first: Aged, second: Aged): string {
  return first.createdMs < second.createdMs ? 'it is older' : 'by namespace and name';
}

function keyOf({ ref: { namespace, name } }: Aged): string {
  return `${namespace}|${name}`;
}
