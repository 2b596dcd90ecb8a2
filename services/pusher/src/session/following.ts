import type { TypeView } from '../view/type-view.ts';
import type { Plan } from './frame.ts';
import { NameList } from './subscription.ts';
import type { TypeState } from './type-state.ts';

/**
 * Assignments follow their clusters (rule 27). A cluster that comes a second time before its
 * assignment did, on this stream or the one before, or because it is asked for anew, may be what it
 * was at first, and so may that: nothing in it has changed then, but the client warms the cluster
 * and waits for it.
 */
export class Following {
  #hasSentClusters = false;
  /** The client asks for other clusters than those that were sent last. */
  #asksAnew = false;
  /** What clusters need that were sent since the client was last brought up to its assignments. */
  #due: ReadonlySet<string> | undefined;
  /** What of it may be the same again. */
  #doubtful: ReadonlySet<string> | undefined;
  /** For what it was looked at: the next may be the same where this is not. */
  #lookedAt: TypeView | undefined;

  /** The client asks for others of a type than before. */
  asked({ traits }: TypeState): void {
    if (traits.stage === 'clusters') this.#asksAnew = true;
  }

  /** Clusters were sent, those owed though nothing in them may have changed. */
  sentClusters(clusters: TypeState, { needs, view }: Plan, owed: NameList | undefined): void {
    if (needs.size > 0) clusters.warming = needs;
    const asksAnew = this.#asksAnew;
    const all = asksAnew && owed !== undefined ? both(needsOf(owed, view), needs) : needs;
    if (all.size === 0) return;
    const before = this.#due;
    this.#due = both(before, all);
    this.#lookedAt = undefined;
    // Before the first it is not known which clusters the client has: what it was sent is of these.
    // Nor is it where it asks anew: it has dropped those that it did not ask for meanwhile.
    if (before !== undefined || !this.#hasSentClusters || asksAnew) this.#doubt(all);
    this.#hasSentClusters = true;
    this.#asksAnew = false;
  }

  /** A client that came back has said what it holds of a type. */
  resumed({ traits }: TypeState): void {
    if (traits.stage === 'assignments' && this.#due !== undefined) this.#doubt(this.#due);
  }

  /** The client is to be brought up to its assignments. */
  owe(assignments: TypeState, target: TypeView): void {
    const { held, resumed } = assignments;
    const names = resumed ? this.#due : this.#doubtful;
    if (names === undefined || held === undefined || this.#lookedAt === target) return;
    this.#lookedAt = target;
    const same = [...names].filter((name) => {
      const entry = held.get(name);
      if (entry === undefined || entry.version !== target.get(name)?.version) return false;
      // What it only says that it has may be of a cluster that came and went meanwhile.
      return this.#doubtful?.has(name) === true || entry.fragments === undefined;
    });
    assignments.owe(new NameList(same.filter((name) => assignments.names(name))));
  }

  /** It was given these, whether or not it is brought up to all. */
  gave({ entries }: Plan): void {
    if (this.#doubtful === undefined) return;
    const given = new Set(entries.map(({ name }) => name));
    this.#doubtful = new Set([...this.#doubtful].filter((name) => !given.has(name)));
  }

  /** It was. */
  sentAssignments(): void {
    this.#due = undefined;
    this.#doubtful = undefined;
    this.#lookedAt = undefined;
  }

  #doubt(needs: ReadonlySet<string>): void {
    this.#doubtful = both(this.#doubtful, needs);
    this.#lookedAt = undefined;
  }
}

function needsOf(clusters: NameList, view: TypeView): ReadonlySet<string> {
  const needs = new Set<string>();
  for (const leaf of clusters.leaves) {
    view.eachNamed(leaf, ({ refs }) => {
      for (const ref of refs) needs.add(ref);
    });
  }
  return needs;
}

function both(
  before: ReadonlySet<string> | undefined,
  more: ReadonlySet<string>,
): ReadonlySet<string> {
  return before === undefined ? more : new Set([...before, ...more]);
}
