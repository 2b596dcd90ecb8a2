import { resourceTypes } from '@watershed/proto/any.ts';
import { emptyView } from '../session/context.ts';
import type { ResourceList } from './resource-list.ts';
import type { TypeView } from './type-view.ts';

const { endpoint, secret } = resourceTypes;

type Types = ReadonlyMap<string, TypeView>;

export interface How {
  /** All that is listed is here. */
  readonly isWhole: boolean;
  /** What is not listed goes. */
  readonly mayGo: boolean;
  /** Not all is here, and what is here waits no longer. */
  readonly isOverdue: boolean;
}

/** What a scope shows of its lists after `old`, by type URL. */
export function shown(
  lists: ReadonlyMap<string, ResourceList>,
  old: Types | undefined,
  { isWhole, mayGo, isOverdue }: How,
): Types {
  const types = new Map<string, TypeView>();
  for (const [typeUrl, list] of lists) {
    const before = old?.get(typeUrl);
    if (typeUrl === secret) {
      // Who may have one no longer loses it at once, whatever else is missing.
      types.set(typeUrl, list.listed(before));
    } else if (isWhole || isOverdue) {
      types.set(typeUrl, mayGo ? list.wanted : list.partial(before));
    } else if (typeUrl === endpoint) {
      // Endpoints do not wait for configuration.
      types.set(typeUrl, list.partial(before, true));
    } else {
      types.set(typeUrl, before ?? emptyView(typeUrl));
    }
  }
  for (const [typeUrl, before] of old ?? []) {
    if (!mayGo && !types.has(typeUrl) && typeUrl !== secret) types.set(typeUrl, before);
  }
  return types;
}

/** Type URLs of what is not the same in both. */
export function differing(
  before: ReadonlyMap<string, TypeView> | undefined,
  after: ReadonlyMap<string, TypeView>,
): ReadonlySet<string> {
  const changed = new Set<string>();
  for (const [typeUrl, view] of after) if (before?.get(typeUrl) !== view) changed.add(typeUrl);
  for (const typeUrl of before?.keys() ?? []) if (!after.has(typeUrl)) changed.add(typeUrl);
  return changed;
}
