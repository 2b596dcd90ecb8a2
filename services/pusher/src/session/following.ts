import { NameList } from './subscription.ts';
import { isNamed, type Targets } from './targets.ts';
import type { TypeState } from './type-state.ts';

/**
 * Assignments follow their clusters (rule 27). A cluster that comes a second time before its
 * assignment did, on this stream or the one before, may be what it was at first, and so may that:
 * nothing in it has changed then, but the client warms the cluster and waits for it.
 */
export class Following {
  readonly #targets: Targets;
  #hasSentClusters = false;
  /** What clusters need that were sent since the client was last brought up to its assignments. */
  #due: ReadonlySet<string> | undefined;

  constructor(targets: Targets) {
    this.#targets = targets;
  }

  /** Clusters were sent that need these assignments. */
  sentClusters(clusters: TypeState, needs: ReadonlySet<string>): void {
    if (needs.size === 0) return;
    clusters.warming = needs;
    const before = this.#due;
    this.#due = before === undefined ? needs : new Set([...before, ...needs]);
    // Before the first it is not known which clusters the client has: what it was sent is of these.
    if (before !== undefined || !this.#hasSentClusters) this.#oweSame(needs);
    this.#hasSentClusters = true;
  }

  /** The client was brought up to its assignments. */
  sentAssignments(): void {
    this.#due = undefined;
  }

  /** A client that came back has said what it holds of a type. */
  resumed({ traits }: TypeState): void {
    if (traits.stage === 'assignments' && this.#due !== undefined) this.#oweSame(this.#due);
  }

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
}
