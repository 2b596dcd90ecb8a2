/**
 * What an earlier process left on the log, and this one cannot judge yet. A restart must not undo a
 * last good value: what the earlier process knew of an object that is bad now is on the log, and
 * nowhere else.
 *
 * - A _blind_ object exists, and no version of it was good since this process began. Its records
 *   stay.
 * - A _ghost_ is in no file that could be read, but the file where it was cannot be read whole. Its
 *   records stay.
 * - A _doubted_ object is good and unchanged since its records were written, and yet gives other
 *   ones: it must have read something that is blind, a ghost or held. Its records stay until there
 *   is nothing of the kind any more.
 */
import type { UnitUpdate } from '../source.ts';
import type { ObjectEntry, ObjectTable } from './objects.ts';
import type { Outbox } from './outbox.ts';
import type { EncodedEvent } from './registry.ts';

/** A record that the log holds for this source. */
export interface StoredEvent extends EncodedEvent {
  /** The object and the file that it comes from, as an earlier process said. */
  readonly owner: string;
  readonly unit: string;
  /** Of the object as it was then; empty if unknown. */
  readonly digest: string;
}

export class Inherited {
  readonly #table: ObjectTable;
  readonly #outbox: Outbox;
  readonly #blind = new Set<string>();
  /** By the file or directory that cannot be read whole. */
  readonly #ghosts = new Map<string, Set<string>>();
  readonly #doubted = new Set<string>();

  constructor(table: ObjectTable, outbox: Outbox) {
    this.#table = table;
    this.#outbox = outbox;
  }

  /** Keeps the records of blind objects and ghosts. */
  keep(stored: readonly StoredEvent[]): void {
    for (const event of stored) {
      const { owner, unit } = event;
      const entry = this.#table.get(owner);
      if (entry !== undefined && isGood(entry)) continue;
      const broken = this.#table.brokenUnitOf(unit);
      if (entry === undefined && broken === undefined) continue;
      if (entry === undefined && broken !== undefined) {
        this.#ghosts.set(broken, (this.#ghosts.get(broken) ?? new Set<string>()).add(owner));
      }
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

  /**
   * Files that can be read whole again say for sure what is in them. Returns ghosts that are gone.
   */
  layGhosts(updates: readonly UnitUpdate[]): readonly string[] {
    return updates.flatMap(({ unit }) => {
      const ghosts = this.#ghosts.get(unit);
      if (ghosts === undefined || this.#table.brokenUnitOf(unit) !== undefined) return [];
      this.#ghosts.delete(unit);
      return [...ghosts].filter((owner) => this.#table.get(owner) === undefined);
    });
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
