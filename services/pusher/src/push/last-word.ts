/** A client that says no more: it has asked once, or has ended its side of a stream. */
import type { StreamEnd } from './carrier.ts';

/** How long its answer may take: of its scope nothing may be known yet. */
export const answerWaitMs = 15_000;

export const saidAll: StreamEnd = { code: 'ok', message: '' };
