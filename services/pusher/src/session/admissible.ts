import { countedOf } from './kept-names.ts';
import type { Request } from './request.ts';
import type { SessionLimits, SessionObserver, Violation } from './session-options.ts';
import type { TypeState } from './type-state.ts';
import { traitsOf } from './type-traits.ts';

export interface Bounds {
  readonly limits: SessionLimits;
  /** Where the stream is of one type. */
  readonly onlyType: string | undefined;
  /** Of the stream, so far. */
  readonly types: readonly TypeState[];
}

/** Why a request ends its stream; `undefined`: it does not. */
export function violationOf(
  request: Request,
  typeUrl: string,
  { limits, onlyType, types }: Bounds,
): Violation | undefined {
  if (typeUrl === '') return invalid('type_url is required on an aggregated stream');
  if (onlyType !== undefined && typeUrl !== onlyType) {
    return invalid(`this stream is of ${onlyType} alone`);
  }
  if (request.mode === 'sotw' && traitsOf(typeUrl).stage === 'hosts') {
    return invalid(`${typeUrl} is served over delta only`);
  }
  const isNew = types.every(({ traits }) => traits.typeUrl !== typeUrl);
  if (isNew && types.length >= limits.maxTypes) {
    return exhausted(`more than ${limits.maxTypes} types on one stream`);
  }
  const named = request.mode === 'sotw' ? request.names : request.subscribe;
  const longest = Math.max(named.longest, longestOther(request), typeUrl.length);
  if (longest <= limits.maxNameLength) return undefined;
  return invalid(`a name or version has more than ${limits.maxNameLength} characters`);
}

/** What else of a request is kept. */
function longestOther(request: Request): number {
  return request.mode === 'sotw' ? request.versionInfo.length : (request.initial?.longest ?? 0);
}

/** Whether a stream has asked for too much, of all types together. */
export function excessOf(
  types: readonly TypeState[],
  asked: TypeState,
  { maxNames }: SessionLimits,
  observer: SessionObserver | undefined,
): Violation | undefined {
  let names = 0;
  for (const { subscription } of types) names += subscription.size;
  if (names > maxNames) return exhausted(`more than ${maxNames} names subscribed`);
  const excess = observer?.keeps?.(countedOf(types));
  if (excess !== undefined) return exhausted(excess);
  // They may be dropped as fast as they are named; which are the same is looked at now and then.
  const owesMuch = asked.owedCount > 2 * maxNames && (asked.owed?.length ?? 0) > maxNames;
  return owesMuch ? exhausted(`more than ${maxNames} names without an answer`) : undefined;
}

function invalid(message: string): Violation {
  return { code: 'invalid-argument', message };
}

function exhausted(message: string): Violation {
  return { code: 'resource-exhausted', message };
}
