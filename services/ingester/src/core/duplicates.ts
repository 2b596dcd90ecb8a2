/** What is said of an object that is written in several places. */
import type { Problem } from '../kind.ts';
import { problem, said, type Found, type Subject } from './diagnostics.ts';
import { originOf, type Placement } from './placement.ts';

/** Other places of one object that are told of. */
const maxTold = 16;

interface Written {
  readonly subject: Subject;
  readonly placements: readonly Placement[];
  /** Of the places that were found bad, by digest. */
  readonly refused: ReadonlyMap<string, readonly Problem[]>;
}

/** `counts`: the one of them that does; `isGood`: it is used, too. */
export function duplicatesOf(
  { subject, placements, refused }: Written,
  counts: Placement,
  isGood: boolean,
): Found {
  const times = placements.length === 2 ? 'twice' : `${placements.length} times`;
  const [one, two] = isGood ? ['is used', 'is not'] : ['counts', 'does not'];
  const others = placements.filter((place) => place !== counts).slice(0, maxTold);
  const problems = others.map((other) => {
    // Where none is good, what is wrong with the one that counts is said of the object.
    const bad = isGood ? refused.get(other.digest)?.find(isError) : undefined;
    const why = bad === undefined ? '' : `: ${said(bad)}`;
    const reason = `is written ${times}; ${originOf(counts)} ${one}, ${originOf(other)} ${two}${why}`;
    const at = { field: 'metadata.name', value: subject.name };
    return { ...problem(reason, 'error', at), origin: originOf(other) };
  });
  return { subject, step: 'duplicate', origin: originOf(counts), problems };
}

function isError({ severity }: Problem): boolean {
  return severity === 'error';
}
