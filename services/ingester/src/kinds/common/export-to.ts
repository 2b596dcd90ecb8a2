import type { Reader } from '@watershed/derive/graph.ts';
import type { World } from '../../kind.ts';
import { currentMesh } from '../core/mesh-config.ts';
import { exportDefaults } from '../core/mesh-spec.ts';
import { sortedSet } from './hosts.ts';

export type Exported = 'service' | 'route' | 'policy';

export interface ExportQuestion {
  /** `exportTo` of the object; empty: the mesh's default. */
  readonly given: readonly string[];
  readonly of: Exported;
  readonly namespace: string;
}

/** `*`, `~` or names of namespaces, sorted; never empty, `.` resolved. */
export function exportedTo(read: Reader, world: World, question: ExportQuestion): string[] {
  const { given, namespace } = question;
  const entries = given.length > 0 ? given : defaultFor(read, world, question.of);
  const names = sortedSet(entries.map((entry) => (entry === '.' ? namespace : entry)));
  return names.includes('*') ? ['*'] : names;
}

function defaultFor(read: Reader, world: World, of: Exported): readonly string[] {
  const defaults = exportDefaults(currentMesh(read, world));
  switch (of) {
    case 'service':
      return defaults.defaultServiceExportTo;
    case 'route':
      return defaults.defaultRouteExportTo;
    case 'policy':
      return defaults.defaultPolicyExportTo;
  }
}
