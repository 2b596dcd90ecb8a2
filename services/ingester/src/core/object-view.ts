/** Objects as people see them. */
import type { RawObject } from '../kind.ts';
import { said, type Diagnostics, type Step, type Subject } from './diagnostics.ts';
import type { Ghosts } from './ghosts.ts';
import type { Holds } from './holds.ts';
import { rawOf, type ObjectEntry } from './objects.ts';

export interface ObjectView extends Subject {
  /** As it is written at the place that counts; what is written nowhere, as it was last. */
  readonly raw: RawObject | undefined;
  readonly origin: string;
  /**
   * `held`: written nowhere any more. `refused`: no version of it was ever good, or the log does
   * not take what it gives, and keeps what it has.
   */
  readonly state: 'good' | 'last good' | 'refused' | 'held';
  /** Why it is not good. */
  readonly reason?: string | undefined;
}

export interface Judges {
  readonly diagnostics: Pick<Diagnostics, 'of'>;
  readonly holds: Pick<Holds, 'get'>;
  readonly ghosts: Pick<Ghosts, 'has'>;
}

export function viewOf(entry: ObjectEntry, judges: Judges): ObjectView {
  const { subject, origin } = entry;
  return { ...subject, raw: rawOf(entry), origin, ...judged(entry, judges) };
}

function judged(
  { id, subject, lastGood }: ObjectEntry,
  { diagnostics, holds, ghosts }: Judges,
): Pick<ObjectView, 'state' | 'reason'> {
  const held = holds.get(id);
  if (held !== undefined) return { state: 'held', reason: held.reason };
  const found = diagnostics.of(subject);
  const errorOf = (...steps: readonly Step[]): string | undefined => {
    const error = found.find(({ severity, step }) => severity === 'error' && steps.includes(step));
    return error && said(error);
  };
  const untaken = errorOf('append');
  if (untaken !== undefined) return { state: 'refused', reason: untaken };
  const bad = errorOf('decode', 'parse');
  if (lastGood === undefined) return { state: 'refused', reason: bad };
  const kept = ghosts.has(id) ? found.find(({ step }) => step === 'kept')?.reason : undefined;
  const reason = kept ?? bad;
  return reason === undefined ? { state: 'good' } : { state: 'last good', reason };
}
