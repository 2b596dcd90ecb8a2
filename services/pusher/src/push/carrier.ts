/** What a stream stands on: whatever carries its bytes. */
import { describeError, toOperatingError } from '@watershed/runtime/errors.ts';
import type { PeerIdentity } from '../identity/authenticator.ts';
import type { Caller } from '../identity/caller.ts';
import type { Client } from '../session/kept-names.ts';
import type { Mode } from '../session/request.ts';
import { LimitError, WireError } from '../wire.ts';

/** Why a stream ends, in gRPC's words. */
export interface StreamEnd {
  readonly code:
    | 'invalid-argument'
    | 'permission-denied'
    | 'resource-exhausted'
    | 'internal'
    | 'unavailable'
    | 'ok';
  readonly message: string;
}

export interface StreamHow {
  readonly mode: Mode;
  /** Of one type; absent: aggregated. */
  readonly onlyType?: string;
  /** State of the world: the one request is answered whole, whatever the client says it has. */
  readonly once?: boolean;
}

/** What carries a stream's bytes. */
export interface Carrier {
  readonly peer: PeerIdentity;
  /** Says which node it may be. */
  readonly caller: Caller;
  /** `false`: no more until `XdsStream.drain` is called. `compressible`: it holds no secrets. */
  write(framed: Uint8Array, compressible: boolean): boolean;
  /** Whether what is written now leaves at once. */
  readonly isReady: boolean;
  end(end: StreamEnd): void;
}

/** For what is counted of streams together. */
export function clientOf({ peer, caller }: Carrier): Client {
  const { address, port } = peer;
  return { address, port, identity: caller.account || address };
}

/** What a stream ends with that cannot go on. */
export function endOf(error: unknown): StreamEnd {
  return { code: codeOf(error), message: describeError(error) };
}

function codeOf(error: unknown): StreamEnd['code'] {
  if (error instanceof LimitError) return 'resource-exhausted';
  const code = error instanceof WireError ? 'invalid' : toOperatingError(error).code;
  if (code === 'denied') return 'permission-denied';
  return code === 'invalid' ? 'invalid-argument' : 'internal';
}
