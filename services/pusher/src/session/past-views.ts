import { resourceTypes } from '@watershed/proto/any.ts';
import { setNewest } from '../set-newest.ts';
import type { Assignments } from '../view/assignments.ts';
import type { ScopeView } from '../view/scope-view.ts';
import type { Entry, TypeView } from '../view/type-view.ts';
import { fullSets, traitsOf } from './type-traits.ts';

type Past = Pick<ScopeView, 'scope' | 'types'>;

const mostViews = 8;
const mostScopes = 1_024;
/** Of a scope. */
const mostRefused = 1_000;

/**
 * What scopes had of late. A client that comes back may have been given it here or by another
 * replica, and tells of state of the world no more than a version.
 */
export class PastViews {
  readonly #assignments: Assignments;
  /** By scope, the newest view last; in order of use. */
  readonly #past = new Map<string, readonly Past[]>();
  /** By scope, what was once in quarantine. */
  readonly #refused = new Map<string, Set<string>>();

  constructor(assignments: Assignments) {
    this.#assignments = assignments;
  }

  note(view: Past): void {
    const others = this.#of(view.scope).filter((old) => old !== view);
    setNewest(this.#past, view.scope, newest([...others, view]), mostScopes);
  }

  /** Clients refused the version: it is no good one, also when it is served no more. */
  refuse(scope: string, typeUrl: string, name: string, version: string): void {
    const refused = this.#refused.get(scope) ?? new Set();
    if (refused.size >= mostRefused) refused.clear();
    setNewest(this.#refused, scope, refused.add(keyOf(typeUrl, name, version)), mostScopes);
  }

  /**
   * With this digest: a past view of the scope, or the first half of the way from one to a later
   * one.
   */
  find(scope: string, typeUrl: string, digest: string): TypeView | undefined {
    const past = this.#of(scope).flatMap(({ types }) => types.get(typeUrl) ?? []);
    const found = past.find((view) => view.digest === digest);
    if (found !== undefined) return found;
    for (const [at, later] of past.entries()) {
      for (const earlier of past.slice(0, at)) {
        const half = later.union(earlier);
        if (half.digest === digest) return half;
      }
    }
    return undefined;
  }

  /** What a client may hold of which nobody knows what it holds: all that the scope had. */
  all(scope: string, typeUrl: string): TypeView | undefined {
    let all: TypeView | undefined;
    for (const { types } of this.#of(scope)) {
      const view = types.get(typeUrl);
      if (view !== undefined) all = view.union(all);
    }
    return all;
  }

  /** The newest version of a resource that is none of those refused, now or once. */
  lastGood(
    scope: string,
    typeUrl: string,
    name: string,
    refused: ReadonlySet<string>,
  ): Entry | undefined {
    const covers = traitsOf(typeUrl).stage === 'assignments';
    const once = this.#refused.get(scope);
    for (const { types } of this.#of(scope).toReversed()) {
      const [view, clusters] = [types.get(typeUrl), types.get(resourceTypes.cluster)];
      // What is refused of assignments is a version that covers their clusters.
      const isPlain = !covers || view === undefined || clusters === undefined;
      const entry = (isPlain ? view : this.#assignments.derive(view, clusters))?.get(name);
      if (entry?.fragments === undefined || refused.has(entry.version)) continue;
      if (once?.has(keyOf(typeUrl, name, entry.version)) !== true) return entry;
    }
    return undefined;
  }

  #of(scope: string): readonly Past[] {
    return this.#past.get(scope) ?? [];
  }
}

function keyOf(typeUrl: string, name: string, version: string): string {
  return `${typeUrl}|${version}|${name}`;
}

/**
 * As many as are kept. Those go first whose full sets came again: endpoints change a hundred times
 * a second, and what clients have of clusters and listeners is of longer ago. The one before the
 * newest stays: who is spared the newest version of something is given what it replaced.
 */
function newest(past: readonly Past[]): readonly Past[] {
  if (past.length <= mostViews) return past;
  const cameAgain = (view: Past, at: number): boolean =>
    past.slice(at + 1).some((later) => hasSameSets(view, later));
  return past.toSpliced(Math.max(0, past.slice(0, -2).findIndex(cameAgain)), 1);
}

function hasSameSets(one: Past, other: Past): boolean {
  return fullSets.every((typeUrl) => {
    const [a, b] = [one.types.get(typeUrl), other.types.get(typeUrl)];
    return a === b || a?.digest === b?.digest;
  });
}
