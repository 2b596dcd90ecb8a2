import type { Plan } from './frame.ts';
import type { SessionOptions } from './session-options.ts';
import { defaultLimits } from './session-options.ts';
import type { NameList } from './subscription.ts';
import type { Targets } from './targets.ts';
import type { TypeState } from './type-state.ts';

/**
 * A client that has asked for no clusters yet, though it may hold some. Envoy asks for none while
 * it warms one, on a new stream either, where it would ask for them first; it has not those that
 * new routes may need: they wait until it asks. What it says that it has may be what it waits for:
 * it is given that again, and soon told of what there is not, for nobody else tells it so.
 */
export class Unasked {
  readonly #targets: Targets;
  readonly #options: SessionOptions;
  readonly #sinceMs: number;
  /** For all that can be seen it came back and warms some. */
  warms = false;
  /** What it may wait for then and was not given yet. */
  #ungiven: NameList | undefined;

  constructor(targets: Targets, options: SessionOptions, nowMs: number) {
    this.#targets = targets;
    this.#options = options;
    this.#sinceMs = nowMs;
  }

  /** When to look again; `undefined`: it has asked, or it has had its time. */
  look(nowMs: number): number | undefined {
    let assignments: TypeState | undefined;
    let resumed = false;
    for (const state of this.#targets.types) {
      if (state.traits.stage === 'clusters') return undefined;
      resumed ||= state.resumed;
      if (state.traits.stage === 'assignments') assignments = state;
    }
    const { resumeGraceMs, gateWaitMs } = this.#options.limits ?? defaultLimits;
    const [graceMs, untilMs] = [this.#sinceMs + resumeGraceMs, this.#sinceMs + gateWaitMs];
    this.warms = resumed && assignments !== undefined;
    // Of delta, who has had none yet is told what there is not as soon as it asks (rule 39).
    if (assignments !== undefined && (this.#options.mode === 'sotw' || assignments.resumed)) {
      this.#give(assignments, nowMs >= graceMs);
    }
    if (nowMs >= untilMs) {
      // What the view lacks may be what it waits for: the next one may have it.
      this.warms = false;
      return this.#targets.goal?.missing === undefined ? undefined : Number.POSITIVE_INFINITY;
    }
    if (assignments === undefined) return Number.POSITIVE_INFINITY;
    return nowMs < graceMs ? graceMs : untilMs;
  }

  /** Assignments were sent: what is only owed may be gone by the time that it can be sent. */
  gave({ entries, removed, unknown }: Plan): void {
    if (this.#ungiven === undefined) return;
    const given = new Set([...entries.map(({ name }) => name), ...removed, ...unknown]);
    this.#ungiven = this.#ungiven.without(given);
  }

  #give(assignments: TypeState, all: boolean): void {
    const { subscriptions } = this.#targets.context;
    this.#ungiven ??= subscriptions.namesOf(assignments.subscription);
    if (this.#ungiven.length > 0) this.#targets.give(assignments, this.#ungiven, all);
  }
}
