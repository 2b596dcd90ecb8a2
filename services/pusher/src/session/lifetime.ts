import type { TypeView } from '../view/type-view.ts';
import { NameList, type Subscription } from './subscription.ts';

/** Heartbeats in one TTL: two may be late before a client drops what it holds. */
const beats = 3;

/**
 * What a client is told of how long it may keep resources of one type without hearing of them
 * (rules 45–47). Only where it can: a client that cannot would ignore it, or refuse it.
 */
export class Lifetime {
  /** 0: none any more; said once to a client that may have one from before. */
  readonly ttlMs: number;
  /** When the next heartbeat is due; `undefined`: nothing was said on this stream yet. */
  dueMs: number | undefined;
  /**
   * The view of the last response. State of the world: a heartbeat carries the `version_info` of
   * the last response, else the client takes it for an update.
   */
  sent: TypeView | undefined;

  constructor(ttlMs: number) {
    this.ttlMs = ttlMs;
  }

  /** A response was sent, which restarts the TTL of what is in it alone. */
  said(view: TypeView, nowMs: number): void {
    this.sent = view;
    this.dueMs ??= this.#next(nowMs);
  }

  beat(nowMs: number): void {
    this.dueMs = this.#next(nowMs);
  }

  /** The heartbeat is so late that the client may have dropped what it had. */
  expired(nowMs: number): boolean {
    return this.ttlMs > 0 && this.dueMs !== undefined && nowMs - this.dueMs >= this.#slackMs;
  }

  get #slackMs(): number {
    return (this.ttlMs * (beats - 1)) / beats;
  }

  #next(nowMs: number): number {
    return this.ttlMs === 0 ? Number.POSITIVE_INFINITY : nowMs + this.ttlMs / beats;
  }
}

/** Names that a client with a subscription holds of a view. */
export function namesHeld(view: TypeView, subscription: Subscription): NameList {
  const names: string[] = [];
  view.each((entry) => {
    if (subscription.has(entry)) names.push(entry.name);
  });
  return new NameList(names);
}
