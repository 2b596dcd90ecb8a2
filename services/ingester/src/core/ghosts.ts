/**
 * _Ghosts_: objects that are on the log and in no file that was read at the start, while some file
 * or directory cannot be read whole. Each may be in there, wherever it was before, so they stay as
 * they were until a moment when all can be read. A file that becomes unreadable meanwhile counts as
 * well: of a directory that is back, it may be the one that they are in.
 */
import type { ObjectTable } from './objects.ts';

export class Ghosts {
  readonly #table: Pick<ObjectTable, 'isBroken'>;
  readonly #ids = new Set<string>();

  constructor(table: Pick<ObjectTable, 'isBroken'>) {
    this.#table = table;
  }

  add(id: string): void {
    this.#ids.add(id);
  }

  has(id: string): boolean {
    return this.#ids.has(id);
  }

  /** It is written somewhere, or gone for good. Returns whether it was one. */
  delete(id: string): boolean {
    return this.#ids.delete(id);
  }

  /** Files that can all be read whole say for sure what there is. Returns who is gone. */
  lay(): readonly string[] {
    if (this.#ids.size === 0 || this.#table.isBroken) return [];
    const gone = [...this.#ids];
    this.#ids.clear();
    return gone;
  }
}
