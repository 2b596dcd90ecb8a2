import type { Request } from './request.ts';
import type { SessionLimits, Violation } from './session-options.ts';
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
  if (named.longest > limits.maxNameLength) {
    return invalid(`a resource name has more than ${limits.maxNameLength} characters`);
  }
  return undefined;
}

function invalid(message: string): Violation {
  return { code: 'invalid-argument', message };
}

export function exhausted(message: string): Violation {
  return { code: 'resource-exhausted', message };
}
