/** Objects of a kind that are in no collection, found by all that others may name them by. */
import { isDeepStrictEqual } from 'node:util';
import type { Collection, Index } from '@watershed/derive/collection.ts';
import type { Graph, Reader } from '@watershed/derive/graph.ts';
import type { ObjectRef } from '../kind.ts';

interface RefusedObject {
  readonly ref: ObjectRef;
  readonly names: readonly string[];
}

export class Refused {
  readonly #all: Collection<RefusedObject>;
  readonly #index: Index<RefusedObject>;

  constructor(graph: Graph, name: string) {
    this.#all = graph.collection<RefusedObject>(`refused ${name}`, isDeepStrictEqual);
    this.#index = this.#all.index('name', (_key, { names }) => names);
  }

  add(key: string, ref: ObjectRef, alsoNamed: readonly string[]): void {
    // These may be anything, and must not look like the former.
    const others = alsoNamed.filter((name) => !name.includes('/'));
    this.#all.set(key, { ref, names: [key, `${ref.namespace}/`, ...others] });
  }

  delete(key: string): void {
    this.#all.delete(key);
  }

  by(read: Reader, name: string): readonly ObjectRef[] {
    return read.lookup(this.#index, name).map(({ value }) => value.ref);
  }
}
