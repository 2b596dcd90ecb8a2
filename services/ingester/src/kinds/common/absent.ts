/**
 * What is told of something that an object names and that gives nothing: whether it is not there,
 * or was refused, so that nobody looks for what is there.
 */
import type { Reader } from '@watershed/derive/graph.ts';
import type { Kind, ObjectRef, RawObject, World } from '../../kind.ts';

const maxNamed = 3;
const maxTexts = 100;

/**
 * Of an object that is not in its collection: `namespace/name`, or `/name`. Another cluster may
 * have it, and then it is served: of that an ingester knows nothing.
 */
export function whyAbsent<T>(read: Reader, world: World, kind: Kind<T>, key: string): string {
  const refused = world.refused(read, kind, key);
  if (refused.length > 0) return wasRefused(refused);
  return `${kind.kind} ${key.replace(/^\//u, '')} is not found in this cluster`;
}

/** Goes after a reason that says that there is none: those that would count, had they been good. */
export function butRefused(refused: readonly ObjectRef[]): string {
  return refused.length === 0 ? '' : `; ${wasRefused(refused)}`;
}

export function wasRefused(refused: readonly ObjectRef[]): string {
  const all = refused.map(({ kind, namespace, name }) => {
    return namespace === '' ? `${kind} ${name}` : `${kind} ${namespace}/${name}`;
  });
  const names = [...new Set(all)];
  const more = names.length > maxNamed ? [`${names.length - maxNamed} more`] : [];
  const text = [...names.slice(0, maxNamed), ...more].join(', ');
  return names.length === 1
    ? `${text} was refused (see its own diagnostics)`
    : `${text} were refused (see their own diagnostics)`;
}

/** Texts of an object's `spec` that nobody has looked at: of a list, or of one. */
export function textsOf({ spec }: RawObject, field: string): readonly string[] {
  if (typeof spec !== 'object' || spec === null) return [];
  const value: unknown = Object.entries(spec).find(([name]) => name === field)?.[1];
  const all: readonly unknown[] = Array.isArray(value) ? value : [value];
  return all.filter((text) => typeof text === 'string').slice(0, maxTexts);
}
