/**
 * _Ghosts_: objects that are on the log and in no file that was read at the start, while some file
 * or directory cannot be read whole. Each may be in there, wherever it was before, so they stay as
 * they were until all can be read.
 */
import type { ObjectTable } from './objects.ts';

export class Ghosts {
  readonly #table: Pick<ObjectTable, 'brokenUnits' | 'isBroken'>;
  readonly #ids = new Set<string>();
  /** Files and directories that could not be read whole at the start, and cannot since. */
  readonly #unread = new Set<string>();

  constructor(table: Pick<ObjectTable, 'brokenUnits' | 'isBroken'>) {
    this.#table = table;
  }

  /** All sources are listed: gives whether what is absent may be in what cannot be read. */
  begin(): boolean {
    for (const unit of this.#table.brokenUnits()) this.#unread.add(unit);
    return this.#unread.size > 0;
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
    if (this.#ids.size === 0 || this.#isUnread()) return [];
    const gone = [...this.#ids];
    this.#ids.clear();
    return gone;
  }

  #isUnread(): boolean {
    for (const unit of this.#unread) {
      if (this.#table.isBroken(unit)) return true;
      this.#unread.delete(unit);
    }
    return false;
  }
}
