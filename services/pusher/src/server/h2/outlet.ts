import type { FirstBlocks } from './hpack-decoder.ts';
import type { ConnectionLimits } from './limits.ts';
import type { RequestHeaders } from './request-headers.ts';
import type { SharedFrames } from './shared-frames.ts';
import type { Stream } from './stream.ts';

/** What a connection's bytes go through, and whom it tells what came. */
export interface Outlet {
  /** In order. */
  send(bytes: Uint8Array): void;
  /** Whether more than what has to be may be sent; `Connection.proceed` when again it may. */
  readonly writable: boolean;
  /** What was sent is to leave now. */
  flush(): void;
  /** Whether anything is to be read of the client. */
  read(on: boolean): void;
  /** A stream was opened. It is read from when it is resumed. */
  request(stream: Stream, headers: RequestHeaders): void;
  /** Nothing more is read or sent. */
  over(): void;
}

/** What connections make once for all. */
export interface Shared {
  readonly frames: SharedFrames;
  readonly firstBlocks: FirstBlocks;
  /** What they begin with (see `greetingOf`). */
  readonly greeting: Buffer;
}

export interface ConnectionOptions {
  readonly limits: ConnectionLimits;
  readonly outlet: Outlet;
  readonly shared: Shared;
  /** In ms. */
  readonly now: () => number;
}
