import { namesHeld } from './lifetime.ts';
import {
  defaultLimits,
  type SessionLimits,
  type SessionObserver,
  type SessionOptions,
} from './session-options.ts';
import { NameList } from './subscription.ts';
import { isNamed, type Targets } from './targets.ts';
import type { TypeState } from './type-state.ts';
import type { Stage } from './type-traits.ts';

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
  #makeSinceMs: number | undefined;
  #makeReported = false;
  #breakSinceMs: number | undefined;
  #breakReported = false;
  #startedMs: number | undefined;
  #forced = 0;
  /** The client may hold clusters, and has asked for none. */
  #mayWarmUnasked: boolean;
  /** It does, for all that can be seen. */
  #warmsUnasked = false;
  /** What it may wait for then and could not be given yet. */
  #ungiven: NameList | undefined;
  #hasSentClusters = false;
  /** What clusters need that were sent since the client was last brought up to its assignments. */
  #unfed: ReadonlySet<string> | undefined;

  constructor(targets: Targets, options: SessionOptions, observer: SessionObserver | undefined) {
    this.#targets = targets;
    this.#observer = observer;
    this.#options = options;
    this.#mayWarmUnasked = options.onlyType === undefined;
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
    if (this.#makeSinceMs !== undefined) return 'clusters';
    return this.#breakSinceMs === undefined ? undefined : 'routes';
  }

  get forced(): number {
    return this.#forced;
  }

  /** The first request came. */
  start(nowMs: number): void {
    this.#startedMs ??= nowMs;
  }

  /** All is looked at anew. */
  look(nowMs: number): void {
    this.wakeAtMs = undefined;
    if (this.#mayWarmUnasked) this.#lookForUnasked(nowMs);
  }

  /** Clusters were sent that need these assignments. */
  sentClusters(clusters: TypeState, needs: ReadonlySet<string>): void {
    if (needs.size === 0) return;
    clusters.warming = needs;
    const before = this.#unfed;
    this.#unfed = before === undefined ? needs : new Set([...before, ...needs]);
    // Before the first it is not known which clusters the client has: what it was sent is of these.
    if (before !== undefined || !this.#hasSentClusters) this.#oweSame(needs);
    this.#hasSentClusters = true;
  }

  /** A client that came back has said what it holds of a type. */
  resumed({ traits }: TypeState): void {
    if (traits.stage === 'assignments' && this.#unfed !== undefined) this.#oweSame(this.#unfed);
  }

  /**
   * A cluster that comes a second time before its assignment did, on this stream or the one before,
   * may be what it was at first, and so may that: nothing in it has changed then, but the client
   * warms the cluster and waits for it (rule 27).
   */
  #oweSame(needs: ReadonlySet<string>): void {
    const assignments = this.#targets.types.find(({ traits }) => traits.stage === 'assignments');
    const held = assignments?.held;
    if (assignments === undefined || held === undefined) return;
    const target = this.#targets.raw(assignments);
    const same = [...needs].filter((name) => {
      const version = held.get(name)?.version;
      return version !== undefined && version === target.get(name)?.version;
    });
    assignments.owe(new NameList(same.filter((name) => isNamed(assignments, name))));
  }

  /**
   * Envoy asks for no clusters while it warms one, on a new stream either, where it would ask for
   * them first. It has not those that new routes may need: they wait until it asks. What it says
   * that it has may be what it waits for: it is given that again, and soon what there is not too,
   * for nobody else tells it so.
   */
  #lookForUnasked(nowMs: number): void {
    let assignments: TypeState | undefined;
    let asked = false;
    let resumed = false;
    for (const state of this.#targets.types) {
      asked ||= state.traits.stage === 'clusters';
      resumed ||= state.resumed;
      if (state.traits.stage === 'assignments') assignments = state;
    }
    const { resumeGraceMs, gateWaitMs } = this.#limits;
    const sinceMs = this.#startedMs ?? nowMs;
    const [emptyMs, untilMs] = [sinceMs + resumeGraceMs, sinceMs + gateWaitMs];
    this.#mayWarmUnasked = !asked && nowMs < untilMs;
    this.#warmsUnasked = this.#mayWarmUnasked && resumed && assignments !== undefined;
    if (asked || assignments === undefined) return;
    if (this.#mayWarmUnasked) this.wake(nowMs < emptyMs ? emptyMs : untilMs);
    // Of delta, who has had none yet is told what there is not as soon as it asks (rule 39).
    if (this.#options.mode === 'sotw' || assignments.resumed) {
      this.#feed(assignments, nowMs >= emptyMs);
    }
  }

  #feed(assignments: TypeState, empty: boolean): void {
    const { subscriptions } = this.#targets.context;
    const names = this.#ungiven ?? subscriptions.namesOf(assignments.subscription);
    if (names.length > 0) this.#ungiven = this.#targets.feed(assignments, names, empty);
  }

  /** The client was brought up to its assignments. */
  sentAssignments(): void {
    this.#unfed = undefined;
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
      this.#makeSinceMs = undefined;
      this.#makeReported = false;
      return true;
    }
    this.#makeSinceMs ??= nowMs;
    const untilMs = this.#makeSinceMs + this.#limits.gateWaitMs;
    if (nowMs < untilMs) return this.#wait(untilMs);
    if (!this.#makeReported) this.#force('clusters');
    this.#makeReported = true;
    return true;
  }

  /** Nothing is to be removed, or something else comes first. */
  keep(): undefined {
    this.#breakSinceMs = undefined;
    this.#breakReported = false;
    return undefined;
  }

  /** Whether what is stale may be removed now. */
  mayBreak(nowMs: number): boolean {
    this.#breakSinceMs ??= nowMs;
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
    const untilMs = this.#breakSinceMs + limits.gateWaitMs;
    if ((blocked || named) && nowMs < untilMs) return this.#wait(untilMs);
    if (blocked && !this.#breakReported) this.#force('routes');
    this.#breakReported = blocked;
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
    const { types } = this.#targets;
    let unanswered = false;
    let waiting = false;
    const assignments = types.find((state) => state.traits.stage === 'assignments');
    for (const state of types) {
      const { stage } = state.traits;
      const precedes = stage === 'clusters' || stage === 'assignments';
      unanswered ||= precedes && this.blocks(state, nowMs);
      if (state.warming === undefined || assignments === undefined) continue;
      if (this.#targets.feeds(state.warming, assignments)) state.warming = undefined;
      else waiting = true;
    }
    return unanswered || waiting || this.#warmsUnasked;
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
