import type { Rate } from './budget.ts';

export interface ConnectionLimits {
  readonly maxStreams: number;
  /** Of a header list. */
  readonly maxHeaderBytes: number;
  /** Streams that the client resets, or makes us reset. */
  readonly resets: Rate;
  /** Frames that carry nothing. */
  readonly idleFrames: Rate;
  /** Of answers that the client does not read. */
  readonly maxUnsentBytes: number;
}
