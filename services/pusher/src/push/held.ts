import type { Timer } from '@watershed/runtime/clock.ts';
import { Audience } from './audience.ts';
import type { StreamEnd } from './carrier.ts';
import type { XdsStream } from './stream.ts';

/** A scope in use. */
export interface Held {
  readonly streams: Audience<XdsStream>;
  /** It is known what clients may have been served before: streams may be brought on. */
  ready: boolean;
  /** This machine has served it before. */
  kept: boolean;
  readonly tenant: string;
  idle: Timer | undefined;
}

export function holding(tenant: string): Held {
  return { streams: new Audience(), ready: false, kept: false, tenant, idle: undefined };
}

const notKept: StreamEnd = {
  code: 'unavailable',
  message: 'the log is away, and this replica has never served such a proxy',
};

/** Proxies of a scope that was never served here, as far as that is known. */
export function sendUnknownAway({ streams, ready, kept }: Held): void {
  if (ready && !kept) for (const stream of [...streams]) stream.end(notKept);
}
