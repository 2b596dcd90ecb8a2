import type { Changes } from './staging.ts';
import type { SharedEntry } from './shared-entry.ts';

/** The resources of the log, as far as cuts have taken them in, by the keys of their records. */
export class Records {
  readonly #byKey = new Map<string, SharedEntry>();

  get size(): number {
    return this.#byKey.size;
  }

  find(key: string): SharedEntry | undefined {
    return this.#byKey.get(key);
  }

  *ofType(typeUrl: string): IterableIterator<SharedEntry> {
    for (const entry of this.#byKey.values()) if (entry.typeUrl === typeUrl) yield entry;
  }

  /** Takes changes in; gives by type what is new, and what is gone. */
  take(resources: Changes['resources']): Record<'changed' | 'gone', Map<string, SharedEntry[]>> {
    const changed = new Map<string, SharedEntry[]>();
    const gone = new Map<string, SharedEntry[]>();
    for (const [key, entry] of resources) {
      const known = entry ?? this.#byKey.get(key);
      if (known === undefined) continue;
      if (entry === undefined) this.#byKey.delete(key);
      else this.#byKey.set(key, entry);
      const byType = entry === undefined ? gone : changed;
      const same = byType.get(known.typeUrl);
      if (same === undefined) byType.set(known.typeUrl, [known]);
      else same.push(known);
    }
    return { changed, gone };
  }

  /** Replaces the entries whose keys are not given by ones without bytes. */
  keepBytes(keys: ReadonlySet<string>): void {
    for (const [key, entry] of this.#byKey) {
      if (entry.loaded && !keys.has(key)) this.#byKey.set(key, entry.withoutBytes());
    }
  }
}
