import type { Reader } from '@watershed/derive/graph.ts';
import type { World } from '../../kind.ts';
import { sortedSet } from './hosts.ts';

export type Exported = 'service' | 'route' | 'policy';

export interface ExportQuestion {
  /** `exportTo` of the object; empty: the mesh's default. */
  readonly given: readonly string[];
  readonly of: Exported;
  readonly namespace: string;
}

/** `*`, `~` or names of namespaces, sorted; never empty, `.` resolved. */
export function exportedTo(_read: Reader, _world: World, question: ExportQuestion): string[] {
  const given = question.given.length > 0 ? question.given : ['*'];
  const names = sortedSet(given.map((entry) => (entry === '.' ? question.namespace : entry)));
  return names.includes('*') ? ['*'] : names;
}
