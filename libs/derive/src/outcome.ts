import type { Node, Source } from './node.ts';

export class CycleError extends Error {
  constructor(path: readonly string[]) {
    super(`queries read each other in a circle: ${path.join(' → ')}`);
    this.name = 'CycleError';
  }
}

/** Throws what the computation threw. */
export function outcomeOf<V>(node: Node<V>): V {
  if (node.failure !== undefined) throw node.failure.error;
  if (node.good === undefined) throw new Error(`${node.name}(${node.key}) was never computed`);
  return node.good.value;
}

export function sameError(a: unknown, b: unknown): boolean {
  if (!(a instanceof Error) || !(b instanceof Error)) return Object.is(a, b);
  return a.name === b.name && a.message === b.message;
}

/** Keys of the entries of collections that a node was computed from, through other nodes too. */
export function entriesBelow(node: Node<unknown> | undefined): ReadonlySet<string> {
  const entries = new Set<string>();
  const seen = new Set<Source>();
  const queue: Source[] = [...(node?.reads ?? [])];
  for (let source = queue.pop(); source !== undefined; source = queue.pop()) {
    if (seen.has(source)) continue;
    seen.add(source);
    if (source.kind === 'node') queue.push(...source.reads);
    else for (const entry of source.input.entriesAt(source.key)) entries.add(entry);
  }
  return entries;
}
