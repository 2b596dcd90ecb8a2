import { extractTraceparent } from '@watershed/runtime/tracing.ts';

/** As many links as a span may sensibly carry. */
const maxLinks = 31;

/** What led to one pass: which objects changed, since when, in which traces. */
export class Causes {
  readonly #keys = new Set<string>();
  readonly #traces = new Set<string>();
  #sinceMs: number | undefined;

  /** `timestampMs`: when the log saw the record. */
  add(
    key: string,
    record:
      | { readonly timestampMs: number; readonly headers: Readonly<Record<string, string>> }
      | undefined,
  ): void {
    this.#keys.add(key);
    if (record === undefined) return;
    this.#sinceMs = Math.min(this.#sinceMs ?? record.timestampMs, record.timestampMs);
    const trace = extractTraceparent(record.headers);
    if (trace !== undefined && this.#traces.size <= maxLinks) this.#traces.add(trace);
  }

  /** When the log saw the first of them. */
  get sinceMs(): number | undefined {
    return this.#sinceMs;
  }

  get keys(): ReadonlySet<string> {
    return this.#keys;
  }

  /** The first trace goes on; the others are linked. */
  get span(): { readonly parent: string | undefined; readonly links: readonly string[] } {
    const [parent, ...links] = this.#traces;
    return { parent, links };
  }
}
