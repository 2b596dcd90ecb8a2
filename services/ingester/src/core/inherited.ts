/**
 * What an earlier process left on the log, and this one cannot judge yet. A restart must not undo a
 * last good value: what the earlier process knew of an object that is bad now is on the log, and
 * nowhere else.
 *
 * - A _blind_ object exists, and no version of it was good since this process began. Its records
 *   stay.
 * - A _ghost_ is in no file that was read, and some file cannot be read whole: it may be there,
 *   wherever it was when its records were written. They stay.
 * - A _doubted_ object is good, and gives other records though it is unchanged, or finds fault with
 *   what it refers to: that may be blind, a ghost, held, or in a file that cannot be read and
 *   without records of its own. Its records stay until nothing of the kind is left.
 */
import type { ObjectEntry, ObjectTable } from './objects.ts';
import type { Outbox } from './outbox.ts';
import type { EncodedEvent } from './registry.ts';

/** A record that the log holds for this source. */
export interface StoredEvent extends EncodedEvent {
  /** The object that it comes from, as an earlier process said. */
  readonly owner: string;
  /** Of the object as it was then; empty if unknown. */
  readonly digest: string;
  /** Why the deletion of the object is held. Absent: it is not. */
  readonly held?: string | undefined;
}

export class Inherited {
  readonly #table: ObjectTable;
  readonly #outbox: Outbox;
  readonly #blind = new Set<string>();
  readonly #ghosts = new Set<string>();
  readonly #doubted = new Set<string>();
  /** Files and directories that could not be read whole at the start, and cannot since. */
  readonly #unread = new Set<string>();

  constructor(table: ObjectTable, outbox: Outbox) {
    this.#table = table;
    this.#outbox = outbox;
  }

  /** Keeps the records of blind objects and ghosts; gives whose they are. */
  keep(stored: readonly StoredEvent[]): ReadonlySet<string> {
    for (const unit of this.#table.brokenUnits()) this.#unread.add(unit);
    const kept = new Set<string>();
    for (const event of stored) {
      const { owner, held } = event;
      const entry = this.#table.get(owner);
      // What is held was gone before, and stays held (`Ingest`), whatever cannot be read now.
      const isGone = this.#unread.size === 0 || held !== undefined;
      if (entry === undefined ? isGone : isGood(entry)) continue;
      if (entry === undefined) this.#ghosts.add(owner);
      kept.add(owner);
      this.#outbox.retain(owner, event);
    }
    // Objects without records count too: others may have read them.
    for (const entry of this.#table.entries()) if (!isGood(entry)) this.#blind.add(entry.id);
    return kept;
  }

  /** Keeps the records of doubted objects; call it when all else that stays is in the outbox. */
  doubt(stored: readonly StoredEvent[], isHeld: () => boolean): ReadonlySet<string> {
    if (!this.#isUnsure(isHeld)) return this.#doubted;
    for (const event of stored) {
      const entry = this.#table.get(event.owner);
      if (entry === undefined || !isGood(entry)) continue;
      const isUnchanged = event.digest !== '' && entry.decoded?.digest === event.digest;
      if (!isUnchanged && !findsFault(entry)) continue;
      if (this.#outbox.holds(event)) continue;
      this.#outbox.retain(event.owner, event);
      this.#doubted.add(event.owner);
    }
    return this.#doubted;
  }

  /** Whether what an object gives now, after the start, must not replace what there is of it. */
  doubts(entry: ObjectEntry, isHeld: () => boolean): boolean {
    const isDoubted = findsFault(entry) && this.#outbox.isOwner(entry.id) && this.#isUnsure(isHeld);
    if (isDoubted) this.#doubted.add(entry.id);
    else this.#doubted.delete(entry.id);
    return isDoubted;
  }

  /** Whether it was a ghost, and is none any more: it is written somewhere. */
  appeared(owner: string): boolean {
    return this.#ghosts.delete(owner);
  }

  /** Files that can all be read whole say for sure what there is. Returns ghosts that are gone. */
  layGhosts(): readonly string[] {
    if (this.#ghosts.size === 0 || this.#isUnread()) return [];
    const gone = [...this.#ghosts];
    this.#ghosts.clear();
    return gone;
  }

  /** Objects that need not be doubted any more: what they give now is to be said again. */
  cleared(isHeld: () => boolean): readonly ObjectEntry[] {
    if (this.#doubted.size === 0 || this.#isUnsure(isHeld)) return [];
    const entries = [...this.#doubted].flatMap((owner) => this.#table.get(owner) ?? []);
    this.#doubted.clear();
    return entries;
  }

  /** `isHeld`: whether something is held that is on the log alone. */
  #isUnsure(isHeld: () => boolean): boolean {
    return this.#isUnread() || this.#isBlindAnywhere() || isHeld();
  }

  #isUnread(): boolean {
    for (const unit of this.#unread) {
      if (this.#table.isBroken(unit)) return true;
      this.#unread.delete(unit);
    }
    return false;
  }

  #isBlindAnywhere(): boolean {
    for (const owner of this.#blind) {
      const entry = this.#table.get(owner);
      if (entry !== undefined && !isGood(entry)) return true;
      this.#blind.delete(owner);
    }
    return false;
  }
}

function isGood(entry: ObjectEntry): boolean {
  return entry.installed.has(entry.key) && entry.emitted !== undefined;
}

export function findsFault({ emitted }: ObjectEntry): boolean {
  return emitted !== undefined && emitted.problems.length > 0;
}
