/** What of the scopes in use is in memory, in the shapes of istiod's `cachez`. */
import type { ScopeView } from '../view/scope-view.ts';
import type { Entry } from '../view/type-view.ts';

/** Names of resources, by type URL; one that scopes have in several variants is there as often. */
export function cachedNames(views: readonly ScopeView[]): object {
  const byType = Map.groupBy(entriesOf(views), ({ typeUrl }) => typeUrl);
  return Object.fromEntries(
    [...byType].map(([typeUrl, all]) => [typeUrl, all.map(({ name }) => name).sort()]),
  );
}

/** Their bytes, by type URL and in all. */
export function cachedSizes(views: readonly ScopeView[]): object {
  const all = entriesOf(views);
  const byType = Map.groupBy(all, ({ typeUrl }) => typeUrl);
  const sizes = [...byType].map(([typeUrl, some]) => [typeUrl, byteCount(sum(some))] as const);
  return { ...Object.fromEntries(sizes), total: byteCount(sum(all)) };
}

/** Each once: views share what they have in common. */
function entriesOf(views: readonly ScopeView[]): readonly Entry[] {
  const found = new Set<Entry>();
  for (const { types } of views) {
    for (const view of new Set(types.values())) {
      view.each((entry) => {
        if (entry.fragments !== undefined) found.add(entry);
      });
    }
  }
  return [...found];
}

function sum(entries: readonly Entry[]): number {
  return entries.reduce((bytes, { size }) => bytes + size, 0);
}

/** `12.3kB`, as istiod writes it. */
function byteCount(bytes: number): string {
  if (bytes < 1_000) return `${bytes}B`;
  const power = Math.min(6, Math.floor(Math.log10(bytes) / 3));
  return `${(bytes / 1_000 ** power).toFixed(1)}${' kMGTPE'[power] ?? ''}B`;
}
