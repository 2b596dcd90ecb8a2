import type { TypeView } from '../view/type-view.ts';
import type { Mode } from './request.ts';
import type { NameList, Subscription } from './subscription.ts';

/** Where a stream is, of one type, and where it goes. All parts are compared by identity. */
export interface Step {
  readonly mode: Mode;
  /** What the client holds; `undefined`: nothing that is known. */
  readonly held: TypeView | undefined;
  readonly target: TypeView;
  readonly subscription: Subscription;
  /** Names to be sent, or to be said to be absent, though nothing changed. */
  readonly owed: NameList | undefined;
  /** Answer even if there is nothing to say. */
  readonly mustAnswer: boolean;
  /** See `Plan`. */
  readonly ttlMs: number;
  readonly heartbeat: boolean;
}

export function isSame(a: Step, b: Step): boolean {
  return (
    a.target === b.target &&
    a.held === b.held &&
    a.subscription === b.subscription &&
    a.owed === b.owed &&
    a.mustAnswer === b.mustAnswer &&
    a.ttlMs === b.ttlMs &&
    a.heartbeat === b.heartbeat &&
    a.mode === b.mode
  );
}
