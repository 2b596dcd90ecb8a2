import type { Domain } from './ownership.ts';
import type { Log, LogRecord } from './port.ts';
import type { LogTime } from './time.ts';

/** How late an owner may hear that it is none any more: readers know from the claim. */
export const watchLagMs = 1_000;

export interface OwnedPartitionOptions {
  readonly log: Log;
  readonly topic: string;
  readonly partition: number;
  /** The keys to own. Default: all of the partition. */
  readonly domain?: Domain;
  /** Who claims, for people who read the log. */
  readonly writer: string;
  readonly time: LogTime;
  /** Unique for ever. Default: a version 4 UUID. */
  readonly newClaimId?: () => string;
  /** Told of each valid record of before the claim, in order; a tombstone is one too. */
  readonly takenOver?: (record: LogRecord) => void;
  /** Between two tries while the log is unavailable. Default 500 ms. */
  readonly retryMs?: number;
}

export type Headers = Readonly<Record<string, string>>;

export interface OwnedWrite {
  readonly key: string;
  /** `undefined`: the key is to be gone. */
  readonly value: Uint8Array | undefined;
  readonly headers?: Headers;
}
