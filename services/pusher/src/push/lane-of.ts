import { resourceTypes } from '@watershed/proto/any.ts';
import { hasCome } from '../view/missing.ts';
import type { ScopeView } from '../view/scope-view.ts';
import type { Lane } from './fan-out.ts';

/** In which lane the step to a view goes, by what differs. */
export function laneOf(
  view: ScopeView,
  types: ReadonlySet<string>,
  before: ScopeView | undefined,
): Lane {
  if (types.has(resourceTypes.secret)) return 'secrets';
  // Whatever differs, streams that waited for what was missing go on.
  if (hasCome(before?.missing, view.missing)) return 'config';
  if (types.size === 1 && types.has(resourceTypes.endpoint)) return 'endpoints';
  for (const typeUrl of types) {
    const old = before?.types.get(typeUrl);
    const now = view.types.get(typeUrl);
    if (old === undefined || now === undefined) return 'config';
    let other = false;
    old.diff(now, (_name, _old, after) => {
      other ||= after !== undefined;
    });
    if (other) return 'config';
  }
  return 'removals';
}

export function triggerOf(lane: Lane): 'config' | 'endpoint' | 'secret' {
  if (lane === 'secrets') return 'secret';
  return lane === 'endpoints' ? 'endpoint' : 'config';
}
