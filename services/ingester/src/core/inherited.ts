/**
 * What an earlier process left on the log, and this one cannot judge yet. A restart must not undo a
 * last good value: what the earlier process knew of an object that is bad now is on the log, and
 * nowhere else.
 *
 * - A _blind_ object exists, and no version of it was good since this process began. Its records
 *   stay.
 * - A _ghost_ is in no file that was read, and some file cannot be read whole: it may be there,
 *   wherever it was when its records were written. They stay.
 * - A _doubted_ object is good and unchanged since its records were written, and yet gives other
 *   ones: it must have read something that is blind, a ghost or held. Its records stay until there
 *   is nothing of the kind any more.
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
}

export class Inherited {
  readonly #table: ObjectTable;
  readonly #outbox: Outbox;
  readonly #blind = new Set<string>();
  readonly #ghosts = new Set<string>();
  readonly #doubted = new Set<string>();

  constructor(table: ObjectTable, outbox: Outbox) {
    this.#table = table;
    this.#outbox = outbox;
  }

  /** Keeps the records of blind objects and ghosts. */
  keep(stored: readonly StoredEvent[]): void {
    for (const event of stored) {
      const { owner } = event;
      const entry = this.#table.get(owner);
      if (entry !== undefined && isGood(entry)) continue;
      if (entry === undefined && !this.#table.isBroken) continue;
      if (entry === undefined) this.#ghosts.add(owner);
      this.#outbox.retain(owner, event);
    }
    // Objects without records count too: others may have read them.
    for (const entry of this.#table.entries()) if (!isGood(entry)) this.#blind.add(entry.id);
  }

  /** Keeps the records of doubted objects; call it when all else that stays is in the outbox. */
  doubt(stored: readonly StoredEvent[], held: number): void {
    if (held === 0 && !this.#isBlindAnywhere() && !this.#table.isBroken) return;
    for (const event of stored) {
      const entry = this.#table.get(event.owner);
      if (entry === undefined || !isGood(entry)) continue;
      if (event.digest === '' || entry.decoded?.digest !== event.digest) continue;
      if (this.#outbox.holds(event)) continue;
      this.#outbox.retain(event.owner, event);
      this.#doubted.add(event.owner);
    }
  }

  get ghosts(): ReadonlySet<string> {
    return this.#ghosts;
  }

  /** Whether it was one, and is none any more: it is written somewhere. */
  appeared(owner: string): boolean {
    return this.#ghosts.delete(owner);
  }

  /** Files that can all be read whole say for sure what there is. Returns ghosts that are gone. */
  layGhosts(): readonly string[] {
    if (this.#ghosts.size === 0 || this.#table.isBroken) return [];
    const gone = [...this.#ghosts];
    this.#ghosts.clear();
    return gone;
  }

  /** Objects that need not be doubted any more: what they give now is to be said again. */
  cleared(held: number): readonly ObjectEntry[] {
    if (this.#doubted.size === 0 || held > 0) return [];
    if (this.#isBlindAnywhere() || this.#table.isBroken) return [];
    const entries = [...this.#doubted].flatMap((owner) => this.#table.get(owner) ?? []);
    this.#doubted.clear();
    return entries;
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
