import { parseConfigKey, type ObjectName } from '@watershed/model/keys.ts';
import { objectOf } from '@watershed/model/objects.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import { watershedMetrics } from '@watershed/runtime/metric-names.ts';
import type { Gauge, Metrics } from '@watershed/runtime/metrics.ts';
import { ProblemLog } from '@watershed/runtime/problem-log.ts';
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
  readonly #log: ProblemLog;
  /** In how many places each warning was found. Of errors tells who finds them, with the output. */
  readonly #places = new Map<string, number>();

  constructor(metrics: Metrics, logger: Logger) {
    const family = metrics.gauge(watershedMetrics.diagnostics);
    this.#gauges = {
      error: family.with({ severity: 'error' }),
      warning: family.with({ severity: 'warning' }),
    };
    this.#log = new ProblemLog(logger, 'a problem of what proxies get');
  }

  set(at: string, found: Readonly<Partial<Record<Severity, readonly Diagnostic[]>>>): void {
    const before = this.at(at);
    const findings = severities.flatMap((severity) =>
      (found[severity] ?? []).map((diagnostic) => ({ ...diagnostic, severity, at })),
    );
    if (findings.length === 0) this.#findings.delete(at);
    else this.#findings.set(at, findings);
    // What is found again is never gone in between.
    for (const finding of findings) this.#count(finding, 1);
    for (const finding of before) this.#count(finding, -1);
  }

  clear(at: string): void {
    this.set(at, {});
  }

  #count(finding: Finding, change: 1 | -1): void {
    this.#gauges[finding.severity].add(change);
    if (finding.severity === 'error') return;
    const text = describe(finding);
    const places = (this.#places.get(text) ?? 0) + change;
    if (places === 0) this.#places.delete(text);
    else this.#places.set(text, places);
    if (places === 0) this.#log.ended(text);
    else if (places === 1 && change === 1) this.#log.arose(text);
  }

  /** A pass is over: what it found and what went is told to the log's readers. */
  flush(): void {
    this.#log.flush();
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

/** `Gateway edge/public: spec.servers[https].port.number 80: reason` */
function describe({ object, field, value, reason }: Finding): string {
  const { kind, namespace, name } = subjectOf(object);
  const said = (parts: readonly string[]): string => parts.filter((part) => part !== '').join(' ');
  const subject = said([kind, namespace === '' ? name : `${namespace}/${name}`]);
  const what = said([field, value]);
  return `${subject}: ${what === '' ? '' : `${what}: `}${reason}`;
}

/**
 * As the ingester's diagnostics are shown. `origin` is the resource or
 * scope that it was found at, for files are not known here.
 */
export function shown({ object, severity, field, value, reason, at }: Finding): object {
  const [place = '', name] = at.split('\n');
  const origin = name === undefined ? place : `${place.slice(place.lastIndexOf('.') + 1)} ${name}`;
  return { ...subjectOf(object), severity, step: 'translate', field, value, reason, origin };
}

/** Of a key of `config`; what else there may be has no kind and is its own name. */
function subjectOf(object: string): ObjectName {
  if (object.split('|').length === 4) return objectOf(parseConfigKey(object));
  return { group: '', kind: '', namespace: '', name: object };
}
