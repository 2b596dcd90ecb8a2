import type { ResourceList } from './resource-list.ts';

/** What a view lacks though its scope has it. */
export interface Missing {
  /** It may be anything: what the scope has is not known, or not shown yet. */
  readonly all: boolean;
  /** What is here may be old as well: it was read from the disk. */
  readonly isOld?: boolean;
  /** By type URL, names. */
  readonly names: ReadonlyMap<string, ReadonlySet<string>>;
}

export const anything: Missing = { all: true, names: new Map() };

export const anythingNewer: Missing = { ...anything, isOld: true };

/** What of these lists is not on the log yet, or has no bytes here. */
export function missingOf(lists: Iterable<ResourceList>): Missing {
  const names = new Map<string, ReadonlySet<string>>();
  for (const { typeUrl, unloaded, absent } of lists) {
    const all = new Set([...[...unloaded].map(({ name }) => name), ...absent.values()]);
    if (all.size > 0) names.set(typeUrl, all);
  }
  return { all: false, names };
}

/** Whether something is here that was missing before: news for who waits for it. */
export function hasCome(before: Missing | undefined, now: Missing | undefined): boolean {
  if (before === undefined) return false;
  if (now === undefined || now.all !== before.all || now.isOld !== before.isOld) return true;
  for (const [typeUrl, names] of before.names) {
    for (const name of names) if (now.names.get(typeUrl)?.has(name) !== true) return true;
  }
  return false;
}
