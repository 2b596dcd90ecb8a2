import type { TypeView } from '../view/type-view.ts';
import type { Plan } from './frame.ts';
import { NameList } from './subscription.ts';
import { isNamed } from './targets.ts';
import type { TypeState } from './type-state.ts';

/**
 * Assignments follow their clusters (rule 27). A cluster that comes a second time before its
 * assignment did, on this stream or the one before, may be what it was at first, and so may that:
 * nothing in it has changed then, but the client warms the cluster and waits for it.
 */
export class Following {
  #hasSentClusters = false;
  /** What clusters need that were sent since the client was last brought up to its assignments. */
  #due: ReadonlySet<string> | undefined;
  /** What of it may be the same again. */
  #doubtful: ReadonlySet<string> | undefined;
  /** For what it was looked at: the next may be the same where this is not. */
  #lookedAt: TypeView | undefined;

  /** Clusters were sent that need these assignments. */
  sentClusters(clusters: TypeState, needs: ReadonlySet<string>): void {
    if (needs.size === 0) return;
    clusters.warming = needs;
    const before = this.#due;
    this.#due = both(before, needs);
    // Before the first it is not known which clusters the client has: what it was sent is of these.
    if (before !== undefined || !this.#hasSentClusters) this.#doubt(needs);
    this.#hasSentClusters = true;
  }

  /** A client that came back has said what it holds of a type. */
  resumed({ traits }: TypeState): void {
    if (traits.stage === 'assignments' && this.#due !== undefined) this.#doubt(this.#due);
  }

  /** The client is to be brought up to its assignments. */
  owe(assignments: TypeState, target: TypeView): void {
    const { held } = assignments;
    if (this.#doubtful === undefined || held === undefined || this.#lookedAt === target) return;
    this.#lookedAt = target;
    const same = [...this.#doubtful].filter((name) => {
      const version = held.get(name)?.version;
      return version !== undefined && version === target.get(name)?.version;
    });
    assignments.owe(new NameList(same.filter((name) => isNamed(assignments, name))));
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

function both(
  before: ReadonlySet<string> | undefined,
  more: ReadonlySet<string>,
): ReadonlySet<string> {
  return before === undefined ? more : new Set([...before, ...more]);
}
