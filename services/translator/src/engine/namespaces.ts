import { parseConfigKey } from '@watershed/model/keys.ts';

/** Which namespaces some object of the configuration is in. */
export class Namespaces {
  readonly #keys = new Map<string, Set<string>>();

  all(): Iterable<string> {
    return this.#keys.keys();
  }

  /** A key has a value now, or has none any more; gives the namespace that came or went by it. */
  note(key: string, exists: boolean): { readonly came?: string; readonly went?: string } {
    const { namespace } = parseConfigKey(key);
    if (namespace === '') return {};
    const keys = this.#keys.get(namespace) ?? new Set();
    if (exists) {
      this.#keys.set(namespace, keys.add(key));
      return keys.size === 1 ? { came: namespace } : {};
    }
    if (!keys.delete(key) || keys.size > 0) return {};
    this.#keys.delete(namespace);
    return { went: namespace };
  }
}
