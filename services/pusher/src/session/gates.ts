import type { Plan } from './frame.ts';
import { namesHeld } from './lifetime.ts';
import {
  defaultLimits,
  type SessionLimits,
  type SessionObserver,
  type SessionOptions,
} from './session-options.ts';
import type { Targets } from './targets.ts';
import type { TypeState } from './type-state.ts';
import type { Stage } from './type-traits.ts';
import { Unasked } from './unasked.ts';

/** A wait for ACKs. */
interface Wait {
  readonly sinceMs: number;
  /** It went on without them. */
  forced: boolean;
}

/**
 * What of a stream waits for which ACK of the same stream (rules 27–30): listeners and routes for
 * the clusters and assignments that they may need, removals for the routes that named what goes.
 * All waits are bounded, and one that ends without its ACK is told of.
 */
export class Gates {
  readonly #targets: Targets;
  readonly #options: SessionOptions;
  readonly #observer: SessionObserver | undefined;
  /**
   * When to look again, without anything having happened; `undefined`: nothing waits, not for an
   * answer either.
   */
  wakeAtMs: number | undefined;
  #make: Wait | undefined;
  #break: Wait | undefined;
  #startedMs: number | undefined;
  #forced = 0;
  #unasked: Unasked | undefined;

  constructor(targets: Targets, options: SessionOptions, observer: SessionObserver | undefined) {
    this.#targets = targets;
    this.#observer = observer;
    this.#options = options;
  }

  /** Asks to be called again at a time. */
  wake(atMs: number): void {
    if (this.wakeAtMs === undefined || atMs < this.wakeAtMs) this.wakeAtMs = atMs;
  }

  get #limits(): SessionLimits {
    return this.#options.limits ?? defaultLimits;
  }

  /** What it waits for now, and how often such a wait ended without its ACK. */
  get waitsFor(): Stage | undefined {
    if (this.#make !== undefined) return 'clusters';
    const { withheld } = this.#targets;
    if (withheld !== undefined) return withheld;
    return this.#break === undefined ? undefined : 'routes';
  }

  get forced(): number {
    return this.#forced;
  }

  /** A request came. */
  start(nowMs: number): void {
    if (this.#startedMs !== undefined) return;
    this.#startedMs = nowMs;
    if (this.#options.onlyType !== undefined) return;
    this.#unasked = new Unasked(this.#targets, this.#options, nowMs);
  }

  /** All is looked at anew. */
  look(nowMs: number): void {
    this.wakeAtMs = undefined;
    if (this.#unasked === undefined) return;
    const atMs = this.#unasked.look(nowMs);
    if (atMs === undefined) this.#unasked = undefined;
    else if (atMs < Number.POSITIVE_INFINITY) this.wake(atMs);
  }

  /** Assignments were sent. */
  gave(plan: Plan): void {
    this.#unasked?.gave(plan);
  }

  /** Whether the client owes an answer that is worth waiting for. */
  blocks(state: TypeState, nowMs: number): boolean {
    const newest = state.outstanding.at(-1);
    if (newest === undefined) return false;
    return nowMs < newest.sentMs + this.#limits.ackWaitMs;
  }

  /**
   * Whether listeners and routes may change: what they may need was sent and accepted (rules 28,
   * 29).
   */
  mayRoute(nowMs: number): boolean {
    if (!this.#warming(nowMs)) {
      this.#make = undefined;
      return true;
    }
    const wait = (this.#make ??= { sinceMs: nowMs, forced: false });
    const untilMs = wait.sinceMs + this.#limits.gateWaitMs;
    if (nowMs < untilMs) return this.#wait(untilMs);
    // What it lacks itself is not the client's delay.
    if (!wait.forced && this.#targets.withheld !== 'clusters') this.#force('clusters');
    wait.forced = true;
    return true;
  }

  /** Nothing is to be removed, or something else comes first. */
  keep(): undefined {
    this.#break = undefined;
    return undefined;
  }

  /** Whether what is stale may be removed now. */
  mayBreak(nowMs: number): boolean {
    const wait = (this.#break ??= { sinceMs: nowMs, forced: false });
    const limits = this.#limits;
    let resumed = false;
    let routed = false;
    let blocked = false;
    let named = false;
    for (const state of this.#targets.types) {
      named ||= this.#stillNamed(state);
      if (state.traits.stage === 'other' || state.traits.stage === 'secrets') continue;
      resumed ||= state.resumed;
      // A client that comes back asks for its routes after all else.
      routed ||= state.traits.stage === 'routes';
      blocked ||= this.blocks(state, nowMs);
    }
    const untilMs = wait.sinceMs + limits.gateWaitMs;
    if ((blocked || named) && nowMs < untilMs) return this.#wait(untilMs);
    if (blocked && !wait.forced) this.#force('routes');
    wait.forced = blocked;
    const graceMs = (this.#startedMs ?? nowMs) + limits.resumeGraceMs;
    return resumed && !routed && nowMs < graceMs ? this.#wait(graceMs) : true;
  }

  /**
   * Whether a client that names its clusters still names one that is to go. gRPC ACKs a table when
   * it comes, goes on with the clusters of the one before until it has the new ones, and then names
   * them no more.
   */
  #stillNamed(state: TypeState): boolean {
    const { traits, subscription, held } = state;
    if (traits.stage !== 'clusters' || subscription.wildcard || held === undefined) return false;
    const target = this.#targets.of(state);
    return namesHeld(held, subscription).leaves.some((leaf) => !target.serves(leaf));
  }

  #warming(nowMs: number): boolean {
    const { types, withheld } = this.#targets;
    if (withheld === 'clusters') return true;
    for (const state of types) {
      const { stage } = state.traits;
      const precedes = stage === 'clusters' || stage === 'assignments';
      if (precedes && this.blocks(state, nowMs)) return true;
    }
    // What it asks for is known from its answers: before, it may ask for what it has dropped.
    const assignments = types.find((state) => state.traits.stage === 'assignments');
    let waiting = false;
    for (const state of types) {
      if (state.warming === undefined || assignments === undefined) continue;
      if (this.#targets.feeds(state.warming, assignments)) state.warming = undefined;
      else waiting = true;
    }
    return waiting || this.#unasked?.warms === true;
  }

  #force(stage: Stage): void {
    this.#forced++;
    this.#observer?.gateForced?.(stage);
  }

  /** `false`, as in "not before that". */
  #wait(atMs: number): false {
    this.wake(atMs);
    return false;
  }
}
