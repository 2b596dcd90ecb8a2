import { printable } from '../printable.ts';
import type { Entry } from '../view/type-view.ts';
import type { SessionContext } from './context.ts';
import type { Outstanding } from './outstanding.ts';
import { culprits, type Quarantined } from './quarantine.ts';
import type { ErrorDetail } from './request.ts';
import type { SessionNack } from './session-options.ts';
import { NameList } from './subscription.ts';
import type { TypeState } from './type-state.ts';

const maxMessageLength = 1_024;
/** How often the rest of a refused response is sent again, until something changes. */
const maxSiblingResends = 8;
/** And what is doubtful of it, in parts. */
const maxResends = 32;

/**
 * What follows from a NACK: the refused versions are put aside for this stream, and nothing is sent
 * again until something changes (rule 9). Where the client names the culprit, the rest of that
 * response goes on without it: a client may have dropped the whole.
 */
export function answerTo(
  context: SessionContext,
  state: TypeState,
  refused: Outstanding,
  error: ErrorDetail,
): SessionNack {
  const { plan } = refused.frame;
  const message = printable(error.message.slice(0, maxMessageLength));
  const refusals = state.refusing;
  refusals.count++;
  refusals.probeDueMs = undefined;
  // That there is an error tells a NACK, whatever it says (rule 7); and pages go by this text.
  refusals.lastError = message === '' ? `no message, gRPC code ${error.code}` : message;
  refusals.probeSize = refused.probed === 0 ? 0 : Math.max(1, refused.probed >> 1);
  if (plan.heartbeat) {
    // What it does not hold any more, it is sent whole.
    if (refusals.resends++ < maxSiblingResends) {
      state.owe(new NameList(plan.entries.map((entry) => entry.name)));
    }
    const { typeUrl } = state.traits;
    const what = { code: error.code, message };
    return { typeUrl, error: what, culprits: [], sure: false, frame: refused.frame };
  }
  const named = culprits(message, plan.entries);
  const bad = named.length > 0 ? named : plan.changed;
  const known = new Map(refusals.quarantine?.all.map((one) => [one.name, one]));
  // Of a set, what is new need not be it, unless the client took all else of it before.
  const isWhole = plan.mode === 'sotw' && state.traits.fullSet;
  const wasTaken = (entry: Entry): boolean =>
    plan.changed.includes(entry) || state.taken?.lookup(entry)?.version === entry.version;
  const isAlone = plan.changed.length === 1 && (!isWhole || plan.entries.every(wasTaken));
  const sure = named.length > 0 || isAlone;
  const stuck = bad.filter((entry) => refused.before?.lookup(entry)?.version === entry.version);
  // Where it refuses what it is said to have, no other can be put in its place; what that stood in
  // for is still refused.
  const anew = bad.filter((entry) => !stuck.includes(entry) || !known.has(entry.name));
  const quarantined = anew.map((entry): Quarantined => {
    const { name, version } = entry;
    const held = refused.before?.lookup(entry);
    const before = known.get(name);
    // What stands in for a version that it is spared, or was sent before that: it is spared still.
    if (before?.spared === true && before.refused !== version) {
      return before.held?.version === version ? { ...before, held } : before;
    }
    return { name, refused: version, held, unsure: !sure, spared: false };
  });
  refusals.quarantine = context.quarantines.add(refusals.quarantine, quarantined);
  refusals.checkedFor = undefined;
  // The client is where it was, as far as these go.
  state.held = state.held?.replacing(refusals.quarantine).with(kept(state, refused));
  if (state.traits.stage === 'clusters') state.warming = undefined;
  const names = new Set(named.map((entry) => entry.name));
  const siblings = plan.changed.filter((entry) => !names.has(entry.name));
  // The full set, that is, which would have those again.
  const again = isWhole && stuck.length > 0;
  if (named.length > 0 && siblings.length > 0 && !again && refusals.resends < maxSiblingResends) {
    refusals.resends++;
    state.owe(new NameList(siblings.map((entry) => entry.name)));
  }
  return {
    typeUrl: state.traits.typeUrl,
    error: { code: error.code, message },
    culprits: named.map(({ name, version }) => ({ name, version })),
    sure,
    frame: refused.frame,
  };
}

/**
 * What was told to go with what was refused, which the client may have dropped as a whole. Of a
 * response that only removes, nothing is left to leave out: the same would be refused again.
 */
function kept({ held }: TypeState, { before, frame }: Outstanding): readonly Entry[] {
  const { changed, removed } = frame.plan;
  if (changed.length === 0) return [];
  return removed.flatMap((name) => {
    const entry = held?.get(name) === undefined ? before?.get(name) : undefined;
    return entry ?? [];
  });
}

/**
 * When doubtful versions are to be tried again, so many as `probeSize` says: once the client has
 * taken something, or after a while, since what was refused with others must not wait for a change
 * that may never come. `Infinity`: when something happens.
 */
export function probeAtMs(state: TypeState, nowMs: number, afterMs: number): number {
  const { refusals, outstanding } = state;
  if (refusals === undefined || refusals.doubtful.length === 0 || outstanding.length > 0) {
    return Number.POSITIVE_INFINITY;
  }
  if (refusals.resends >= maxResends) return Number.POSITIVE_INFINITY;
  if (refusals.probeSize > 0) return nowMs;
  refusals.probeDueMs ??= nowMs + afterMs;
  if (nowMs < refusals.probeDueMs) return refusals.probeDueMs;
  refusals.probeDueMs = undefined;
  refusals.probeHalf();
  return nowMs;
}
