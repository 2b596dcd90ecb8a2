import type { Frame } from './frame.ts';
import type { ScopeView } from '../view/scope-view.ts';
import type { Cost, KeptLimits } from './kept-names.ts';
import type { ErrorDetail, Mode } from './request.ts';
import type { Stage } from './type-traits.ts';

/** What sessions of a kind have in common. */
export interface SessionOptions {
  readonly mode: Mode;
  /**
   * Where the stream is of one type: requests may leave the type out (rule 5) and must not name
   * another.
   */
  readonly onlyType?: string;
  /** Each request is answered, with nothing if there is nothing: the client does not wait. */
  readonly alwaysAnswer?: boolean;
  /** Whether the client's identity was verified to own the scope's secrets. */
  readonly mayHaveSecrets: boolean;
  /**
   * How long the client may keep resources without hearing of them, by type; 0: what it was told
   * before is taken back. Absent where the client does not know TTLs (rule 45).
   */
  readonly ttlsMs?: ReadonlyMap<string, number>;
  /** The client takes the virtual hosts of its route tables apart from them (VHDS); delta only. */
  readonly hostsApart?: boolean;
  /** Of those, the ones that it names. */
  readonly hostsOnDemand?: boolean;
  readonly limits?: SessionLimits;
}

export interface SessionLimits extends KeptLimits {
  /** Of one stream. Default 16. */
  readonly maxTypes: number;
  /** Subscribed by name, of all types together. Default 100,000. */
  readonly maxNames: number;
  /** Of one name, type or version, in characters. Default 1,024. */
  readonly maxNameLength: number;
  /** Responses of one type without an answer; more wait. Default 8. */
  readonly maxOutstanding: number;
  /**
   * How long routes wait for the clusters that they need, and removals for routes. Default 5 s.
   */
  readonly gateWaitMs: number;
  /** After which a response that was never answered holds nothing back any more. Default 10 s. */
  readonly ackWaitMs: number;
  /** After which doubtful versions are tried again though nothing else was accepted. Default 5 s. */
  readonly probeAfterMs: number;
  /**
   * How long a resumed stream waits for what it would ask for with all else: removals for its
   * routes, and empty assignments, where there is none, for its clusters. Default 500 ms.
   */
  readonly resumeGraceMs: number;
}

export const defaultLimits: SessionLimits = {
  maxTypes: 16,
  maxNames: 100_000,
  maxNameBytes: 128 * 1024 * 1024,
  maxIdentityBytes: Number.POSITIVE_INFINITY,
  maxNameLength: 1_024,
  maxOutstanding: 8,
  gateWaitMs: 5_000,
  ackWaitMs: 10_000,
  probeAfterMs: 5_000,
  resumeGraceMs: 500,
};

/** What happens on a stream, for metrics, logs and feedback. */
export interface SessionObserver {
  /** The newest view of the stream's scope; asked for by a session that holds none (`park`). */
  newest?(): ScopeView | undefined;
  /** These names are kept for it now. Gives what is too much, with others of its client. */
  keeps?(kept: readonly Cost[]): string | undefined;
  /**
   * The first of a type is to be sent, and not encoded yet; `exceeds`: whether its resources are
   * more than so many bytes. `false`: not now; `next` is to be called again when there is room.
   */
  mayBegin?(exceeds: (bytes: number) => boolean): boolean;
  sent?(frame: Frame): void;
  /** A view changed and the stream had nothing to be told. */
  suppressed?(typeUrl: string): void;
  acked?(typeUrl: string, frame: Frame): void;
  /** A subscription that came with versions was answered: with nothing, or with what differs. */
  resumed?(typeUrl: string, unchanged: boolean): void;
  /** A request answers a response that is not the newest. */
  stale?(typeUrl: string): void;
  nacked?(nack: SessionNack): void;
  /** A bounded wait ended without the ACK that it waited for. */
  gateForced?(stage: Stage): void;
}

export interface SessionNack {
  readonly typeUrl: string;
  /** Its message is printable, and bounded. */
  readonly error: ErrorDetail;
  /** That the message names; empty if it names none of what was sent. */
  readonly culprits: readonly { readonly name: string; readonly version: string }[];
  /** It is known what is bad: named, or the only thing that was new. */
  readonly sure: boolean;
  readonly frame: Frame;
}

/** Why a stream must end. */
export interface Violation {
  readonly code: 'invalid-argument' | 'resource-exhausted';
  readonly message: string;
}
