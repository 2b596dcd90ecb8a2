import type { Missing } from './missing.ts';
import type { TypeView } from './type-view.ts';

/** All that the proxies of one scope get, at one cut. Immutable. */
export interface ScopeView {
  readonly scope: string;
  /** Grows with every view that this process makes; for people. */
  readonly sequence: number;
  /** The config epoch that it reflects. */
  readonly epoch: number;
  /** By type URL; an absent type is empty. */
  readonly types: ReadonlyMap<string, TypeView>;
  /** Not all of it is here yet; `undefined`: it is. */
  readonly missing?: Missing | undefined;
  /** When the process began to make it, on the monotonic clock; for the time until a client has it. */
  readonly sinceMs: number;
  /** The `traceparent` of the change that it came from. */
  readonly trace: string | undefined;
}
