import type { Timer } from '@watershed/runtime/clock.ts';
import type { Assignments } from '../view/assignments.ts';
import type { ScopeView } from '../view/scope-view.ts';
import { changedAssignments, type Audience } from './audience.ts';
import { FanOut, type FanOutOptions, type Lane } from './fan-out.ts';
import { look } from './look.ts';
import type { XdsStream } from './stream.ts';

export interface SpreadOptions extends Omit<FanOutOptions<XdsStream>, 'push' | 'look'> {
  readonly viewOf: (scope: string) => ScopeView | undefined;
  /** A stream waited so long for its turn. */
  readonly onTurn: (waitedMs: number) => void;
}

/** How long a stream may stand at a view that was replaced by one with nothing new for it. */
const trailMs = 2_000;

/**
 * Brings streams to the newest views of their scopes: at once where a view has something for them,
 * and a little later, so that no old view is kept for them, where it has not.
 */
export class Spread {
  readonly #options: SpreadOptions;
  readonly #fanOut: FanOut<XdsStream>;
  readonly #trail: FanOut<XdsStream>;
  /** By scope. */
  readonly #trails = new Map<string, Timer>();

  constructor(options: SpreadOptions) {
    this.#options = options;
    const { viewOf, onTurn } = options;
    this.#fanOut = new FanOut({
      ...options,
      look,
      push: (stream, waitedMs) => {
        if (stream.isClosed) return;
        onTurn(waitedMs);
        stream.follow(stream.scope, viewOf(stream.scope));
      },
    });
    this.#trail = new FanOut({
      ...options,
      look,
      push: (stream) => stream.catchUp(viewOf(stream.scope)),
    });
  }

  /** `some`: those whom it concerns; `undefined`: all of them. */
  push(
    scope: string,
    tenant: string,
    lane: Lane,
    all: Audience<XdsStream>,
    some: ReadonlySet<XdsStream> | undefined,
  ): void {
    if (some === undefined || some.size === all.size) {
      this.#fanOut.add(scope, tenant, lane, all);
      return;
    }
    this.#fanOut.addSome(scope, tenant, lane, some);
    if (this.#trails.has(scope)) return;
    const trail = this.#options.timers.after(trailMs, () => {
      this.#trails.delete(scope);
      this.#trail.add(scope, tenant, lane, all);
    });
    this.#trails.set(scope, trail);
  }

  stop(): void {
    this.#fanOut.stop();
    this.#trail.stop();
    for (const trail of this.#trails.values()) trail.cancel();
    this.#trails.clear();
  }
}

/** Whom of them a step to `view` concerns; `undefined`: all, as far as can be told. */
export function concerned<T extends XdsStream>(
  streams: Audience<T> | undefined,
  lane: Lane,
  before: ScopeView | undefined,
  view: ScopeView,
  assignments: Assignments,
): ReadonlySet<T> | undefined {
  const changed = lane === 'endpoints' ? changedAssignments(before, view, assignments) : undefined;
  return changed && streams?.of(changed);
}
