/**
 * What is wrong with the users' objects, for /debug, metrics and `xdsctl`; never part of an event.
 */
import type { Problem } from '../kind.ts';
import { show } from '../decode.ts';

/** What a diagnostic is about: an object, a file, or a source. */
export interface Subject {
  /** Empty for the core group, files and sources. */
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** Which step found it; each step replaces its own findings only. */
export type Step =
  | 'parse'
  | 'kind'
  | 'decode'
  | 'duplicate'
  | 'emit'
  | 'collision'
  | 'append'
  | 'held'
  | 'kept'
  | 'source';

export interface Diagnostic extends Subject {
  readonly severity: Problem['severity'];
  readonly step: Step;
  readonly field: string;
  readonly value: string;
  readonly reason: string;
  /** Where the user wrote it, `shop/routes.yaml:12`; empty if unknown. */
  readonly origin: string;
  /** Since when, in milliseconds since the Unix epoch. */
  readonly sinceMs: number;
}

export interface Found {
  readonly subject: Subject;
  readonly step: Step;
  readonly origin: string;
  readonly problems: readonly FoundProblem[];
}

export interface FoundProblem extends Problem {
  /** Where it is written, if not where the rest is. */
  readonly origin?: string;
}

/** How many diagnostics are kept; what is above is only counted. */
const maxKept = 10_000;
const maxReason = 1_000;

/** Who is told of problems as they come and go. */
export interface Watcher {
  arose(diagnostic: Diagnostic): void;
  /** Nothing is wrong there any more, as far as the step can tell. */
  ended(diagnostic: Diagnostic): void;
}

export function subjectId(subject: Subject): string {
  return `${subject.group}/${subject.kind}/${subject.namespace}/${subject.name}`;
}

/** The inverse of `subjectId`, for names that are allowed. */
export function subjectOf(id: string): Subject {
  const [group = '', kind = '', namespace = '', name = ''] = id.split('/');
  return { group, kind, namespace, name };
}

export class Diagnostics {
  readonly #now: () => number;
  readonly #watcher: Watcher | undefined;
  readonly #kept = new Map<string, ReadonlyMap<Step, readonly Diagnostic[]>>();
  #size = 0;
  #dropped = 0;

  /** `now`: milliseconds since the Unix epoch. */
  constructor(now: () => number, watcher?: Watcher) {
    this.#now = now;
    this.#watcher = watcher;
  }

  get size(): number {
    return this.#size;
  }

  /** How many did not fit, ever. */
  get dropped(): number {
    return this.#dropped;
  }

  /**
   * Replaces what a step said of a subject. A problem that was known keeps the time of its first
   * sight.
   */
  set(found: Found): void {
    const id = subjectId(found.subject);
    const steps = new Map(this.#kept.get(id));
    const before = steps.get(found.step) ?? [];
    this.#size -= before.length;
    steps.delete(found.step);
    const after = this.#dated(found, before);
    if (after.length > 0) steps.set(found.step, after);
    this.#size += after.length;
    for (const one of before) {
      if (!after.some(({ field }) => field === one.field)) this.#watcher?.ended(one);
    }
    if (steps.size === 0) this.#kept.delete(id);
    else this.#kept.set(id, steps);
  }

  /** What these steps found is written at another place now. */
  moved(subject: Subject, steps: readonly Step[], origin: string): void {
    const id = subjectId(subject);
    const kept = new Map(this.#kept.get(id));
    for (const step of steps) {
      const found = kept.get(step);
      if (found === undefined) continue;
      const moved = found.map((one) => ({ ...one, origin }));
      this.#kept.set(id, kept.set(step, moved));
    }
  }

  /** Everything about a subject, or about one of its steps. */
  clear(subject: Subject, step?: Step): void {
    const steps = step === undefined ? this.#kept.get(subjectId(subject))?.keys() : [step];
    for (const one of steps ?? []) this.set({ subject, step: one, origin: '', problems: [] });
  }

  of(subject: Subject): readonly Diagnostic[] {
    return [...(this.#kept.get(subjectId(subject))?.values() ?? [])].flat();
  }

  /** Sorted by subject, then as found. */
  list(): readonly Diagnostic[] {
    const ids = [...this.#kept.keys()].sort();
    return ids.flatMap((id) => [...(this.#kept.get(id)?.values() ?? [])].flat());
  }

  /** How many there are of each severity, for gauges. */
  counts(): Readonly<Record<Problem['severity'], number>> {
    const counts = { error: 0, warning: 0 };
    for (const steps of this.#kept.values()) {
      for (const diagnostics of steps.values()) {
        for (const { severity } of diagnostics) counts[severity]++;
      }
    }
    return counts;
  }

  #dated(found: Found, before: readonly Diagnostic[]): readonly Diagnostic[] {
    const room = Math.max(0, maxKept - this.#size);
    this.#dropped += Math.max(0, found.problems.length - room);
    return found.problems.slice(0, room).map((problem) => {
      const known = before.find(
        ({ field, value, reason }) =>
          field === problem.field && value === problem.value && reason === problem.reason,
      );
      const diagnostic = {
        ...found.subject,
        severity: problem.severity,
        step: found.step,
        field: problem.field,
        value: problem.value,
        reason: problem.reason.slice(0, maxReason),
        origin: problem.origin ?? found.origin,
        sinceMs: known?.sinceMs ?? this.#now(),
      };
      if (known === undefined) this.#watcher?.arose(diagnostic);
      return diagnostic;
    });
  }
}

/** One line for logs: `Service shop/cart: spec.ports[0].port "x": must be …`. */
export function describe(diagnostic: Diagnostic): string {
  const { kind, namespace, name } = diagnostic;
  const where = namespace === '' ? name : `${namespace}/${name}`;
  return `${kind} ${where}: ${said(diagnostic)}`;
}

/** Without the object: `spec.ports[0].port "x": must be …`. */
export function said({ field, value, reason }: Problem): string {
  const what = [field, value].filter((part) => part !== '').join(' ');
  return `${what === '' ? '' : `${what}: `}${reason}`;
}

/** A problem with no field of its own. */
export function problem(
  reason: string,
  severity: Problem['severity'] = 'error',
  at: { readonly field?: string; readonly value?: unknown } = {},
): Problem {
  return { severity, field: at.field ?? '', value: show(at.value), reason };
}
