import { watershedMetrics } from '@watershed/runtime/metric-names.ts';
import type { Gauge, Metrics } from '@watershed/runtime/metrics.ts';
import type { Diagnostic } from '../plan.ts';

/**
 * `error`: the last good output stays. `warning`: something of the object is not honoured, all else
 * is.
 */
export type Severity = 'error' | 'warning';

const severities: readonly Severity[] = ['error', 'warning'];

/** A diagnostic that holds now, and where it was found. */
export interface Finding extends Diagnostic {
  readonly severity: Severity;
  /**
   * The output (a resource, a scope, a namespace's selectors) or the input record that it was found
   * at.
   */
  readonly at: string;
}

/** What is wrong now, by where it was found: a new look at a place replaces what was said of it. */
export class Diagnostics {
  readonly #findings = new Map<string, readonly Finding[]>();
  readonly #gauges: Readonly<Record<Severity, Gauge>>;

  constructor(metrics: Metrics) {
    const family = metrics.gauge(watershedMetrics.diagnostics);
    this.#gauges = {
      error: family.with({ severity: 'error' }),
      warning: family.with({ severity: 'warning' }),
    };
  }

  set(at: string, found: Readonly<Partial<Record<Severity, readonly Diagnostic[]>>>): void {
    this.clear(at);
    const findings = severities.flatMap((severity) =>
      (found[severity] ?? []).map((diagnostic) => ({ ...diagnostic, severity, at })),
    );
    if (findings.length === 0) return;
    this.#findings.set(at, findings);
    for (const { severity } of findings) this.#gauges[severity].add(1);
  }

  clear(at: string): void {
    for (const finding of this.#findings.get(at) ?? []) this.#gauges[finding.severity].add(-1);
    this.#findings.delete(at);
  }

  /** What is said of a place now. */
  at(at: string): readonly Finding[] {
    return this.#findings.get(at) ?? [];
  }

  /** Each once for an object, whatever the number of places; by object and field. */
  list(): readonly Finding[] {
    const seen = new Map<string, Finding>();
    for (const finding of [...this.#findings.values()].flat()) {
      const { object, field, value, reason } = finding;
      const key = JSON.stringify([object, field, value, reason]);
      if (!seen.has(key)) seen.set(key, finding);
    }
    return [...seen].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, finding]) => finding);
  }
}
