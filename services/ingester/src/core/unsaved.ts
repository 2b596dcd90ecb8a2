/** Objects of which the topic `objects` should say something else than it does. */
import { objectsKey, topics } from '@watershed/model/keys.ts';
import type { Sealing } from '@watershed/runtime/sealing.ts';
import { subjectOf } from './diagnostics.ts';
import type { Holds } from './holds.ts';
import { encodeLastGood, type ObjectRecord } from './last-good.ts';
import type { ObjectEntry, ObjectTable } from './objects.ts';

/** What the topic should say of an object. */
export interface SavedObject extends Pick<ObjectRecord, 'topic' | 'key'> {
  /** `undefined`: nothing any more. */
  readonly value: Uint8Array | undefined;
  readonly owner: string;
}

export class Unsaved {
  readonly #cluster: string;
  readonly #sealing: Pick<Sealing, 'seal'>;
  readonly #ids = new Set<string>();

  constructor(cluster: string, sealing: Pick<Sealing, 'seal'>) {
    this.#cluster = cluster;
    this.#sealing = sealing;
  }

  /** One that was never good is not saved: it may have a name that no key can have. */
  add({ id, lastGood }: ObjectEntry): void {
    if (lastGood !== undefined) this.#ids.add(id);
  }

  /** One that is known from a record alone, and is gone. */
  addGone(id: string): void {
    this.#ids.add(id);
  }

  /** What the topic should say of them; they are saved then. */
  take(table: Pick<ObjectTable, 'get'>, holds: Pick<Holds, 'get'>): readonly SavedObject[] {
    const saved: SavedObject[] = [];
    for (const id of this.#ids) {
      const entry = table.get(id);
      // Of one without a good version, the log may have what this process cannot read.
      if (entry !== undefined && entry.lastGood === undefined) continue;
      const key = objectsKey({ cluster: this.#cluster, ...subjectOf(id) });
      const object = entry?.lastGood && { ...entry.lastGood, held: holds.get(id) };
      const value = object && encodeLastGood(object, entry.installed, this.#sealing);
      saved.push({ topic: topics.objects, key, value, owner: id });
    }
    this.#ids.clear();
    return saved;
  }
}
