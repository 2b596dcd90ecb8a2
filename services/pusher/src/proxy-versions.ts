import type { ProxyNode } from './node-scope.ts';

const maxTold = 32;
const maxLength = 64;

/**
 * How many proxies are of which version. It is their word, and must not make metrics grow: the
 * versions of most proxies are told apart, so that made-up ones do not take the place of a mesh's.
 */
export class ProxyVersions {
  /** No more than there are streams: a version that nobody is of is forgotten. */
  readonly #counts = new Map<string, number>();

  add(node: Pick<ProxyNode, 'istioVersion' | 'version'>, difference: 1 | -1): void {
    const version = (node.istioVersion || node.version).slice(0, maxLength);
    const count = (this.#counts.get(version) ?? 0) + difference;
    if (count > 0) this.#counts.set(version, count);
    else this.#counts.delete(version);
  }

  /** What is not among those of most proxies is told together, as `other`. */
  most(): [version: string, count: number][] {
    const all = [...this.#counts].toSorted(([, a], [, b]) => b - a);
    const told = new Map(all.slice(0, maxTold));
    for (const [, count] of all.slice(maxTold)) told.set('other', (told.get('other') ?? 0) + count);
    return [...told];
  }
}
