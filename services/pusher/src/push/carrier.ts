/** What a stream stands on: whatever carries its bytes. */
import type { PeerIdentity } from '../identity/authenticator.ts';
import type { Caller } from '../identity/caller.ts';
import type { Mode } from '../session/request.ts';

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
  /** `false`: no more until `writable` is called. `compressible`: it holds no secrets. */
  write(framed: Uint8Array, compressible: boolean): boolean;
  end(end: StreamEnd): void;
}
