import { resourceTypes } from '@watershed/proto/any.ts';
import type { Subscription } from '../session/subscription.ts';
import type { Assignments } from '../view/assignments.ts';
import type { ScopeView } from '../view/scope-view.ts';

/** A stream, as far as it matters here. */
export interface Listener {
  /** What it asks for of assignments; `undefined`: nothing yet. */
  readonly assignments: Subscription | undefined;
}

/**
 * The streams of one scope, found by what they ask for: where 10,000 streams ask for an assignment
 * or two each (proxyless clients do), a changed endpoint is a matter of a few of them. Sidecars,
 * which ask for nearly all, are not indexed, so that a stream's share stays small.
 */
export class Audience<T extends Listener> {
  /** What each is indexed by. */
  readonly #streams = new Map<T, Subscription | undefined>();
  readonly #broad = new Set<T>();
  readonly #byName = new Map<string, Set<T>>();

  get size(): number {
    return this.#streams.size;
  }

  [Symbol.iterator](): IterableIterator<T> {
    return this.#streams.keys();
  }

  add(stream: T): void {
    if (this.#streams.has(stream)) return;
    this.#streams.set(stream, stream.assignments);
    this.#index(stream, stream.assignments);
  }

  delete(stream: T): boolean {
    if (!this.#streams.has(stream)) return false;
    this.#unindex(stream, this.#streams.get(stream));
    return this.#streams.delete(stream);
  }

  /** It may ask for something else now; gives whether it does. */
  noted(stream: T): boolean {
    const { assignments } = stream;
    if (!this.#streams.has(stream) || this.#streams.get(stream) === assignments) return false;
    this.#unindex(stream, this.#streams.get(stream));
    this.#streams.set(stream, assignments);
    this.#index(stream, assignments);
    return true;
  }

  /** Those that a change of these assignments, and of nothing else, may concern. */
  of(names: Iterable<string>): ReadonlySet<T> {
    const found = new Set(this.#broad);
    for (const name of names) for (const stream of this.#byName.get(name) ?? []) found.add(stream);
    return found;
  }

  #index(stream: T, asked: Subscription | undefined): void {
    if (isBroad(asked)) this.#broad.add(stream);
    else {
      asked?.eachName(({ name }) => {
        const same = this.#byName.get(name);
        if (same === undefined) this.#byName.set(name, new Set([stream]));
        else same.add(stream);
      });
    }
  }

  #unindex(stream: T, asked: Subscription | undefined): void {
    if (isBroad(asked)) this.#broad.delete(stream);
    else {
      asked?.eachName(({ name }) => {
        const same = this.#byName.get(name);
        same?.delete(stream);
        if (same?.size === 0) this.#byName.delete(name);
      });
    }
  }
}

/**
 * Of two views that differ in assignments alone: names of those that differ. `undefined`: there is
 * nothing to compare.
 */
export function changedAssignments(
  before: ScopeView | undefined,
  after: ScopeView,
  assignments: Assignments,
): readonly string[] | undefined {
  const was = before?.types.get(resourceTypes.endpoint);
  const is = after.types.get(resourceTypes.endpoint);
  if (was === undefined || is === undefined) return undefined;
  return assignments.changes(was, is).map(({ name }) => name);
}

function isBroad(asked: Subscription | undefined): boolean {
  return asked !== undefined && !asked.isNarrow;
}
