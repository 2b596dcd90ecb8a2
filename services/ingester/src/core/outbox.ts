/**
 * What the log should hold for this source: for each key the objects that claim it, and which of
 * them wins.
 *
 * Two objects may give the same key (two spellings of one gateway). The older one wins, as
 * everywhere in Kubernetes; of two that are equally old the one whose id sorts first, so that no
 * order of arrival shows.
 */
import { sameBytes, type EncodedEvent } from './registry.ts';
import { turnOf } from './turns.ts';

export interface Outgoing {
  readonly topic: EncodedEvent['topic'];
  readonly key: string;
  /** `undefined`: a tombstone. */
  readonly value: Uint8Array | undefined;
  /** The object that it comes from (a tombstone: came from). */
  readonly owner: string;
}

/** A record that the log holds for this source. */
export interface StoredEvent extends EncodedEvent {
  /** The object that it comes from, as an earlier process said. */
  readonly owner: string;
}

/** A key that an object claims and another one has. */
export interface Collision {
  readonly key: string;
  readonly winner: string;
}

interface Claim {
  readonly owner: string;
  readonly event: EncodedEvent;
  readonly createdMs: number;
  /** The log's own value, kept for an object of which no good version is known. Wins always. */
  readonly retained: boolean;
}

export interface OutboxChange {
  readonly outgoing: readonly Outgoing[];
  /** Objects whose collisions changed, and all that they have now. */
  readonly collisions: ReadonlyMap<string, readonly Collision[]>;
}

export class Outbox {
  readonly #claims = new Map<string, Map<string, Claim>>();
  readonly #idsOf = new Map<string, ReadonlySet<string>>();
  readonly #lost = new Map<string, Map<string, Collision>>();
  readonly #wins = new Map<string, Claim>();
  readonly #changed = new Set<string>();

  /** How many keys have a value. */
  get size(): number {
    return this.#claims.size;
  }

  /** What the log should hold, by key. */
  values(): readonly EncodedEvent[] {
    const values = [...this.#wins.values()].map(({ event }) => event);
    return values.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  claims(topic: string, key: string): boolean {
    return this.#claims.has(eventId(topic, key));
  }

  /** Whether the log should have anything of an object. */
  has(owner: string): boolean {
    return this.#idsOf.has(owner);
  }

  /** All that an object gives now; replaces what it gave before. */
  set(owner: string, events: readonly EncodedEvent[], createdMs: number): void {
    this.#replace(
      owner,
      events.map((event) => ({ owner, event, createdMs, retained: false })),
    );
  }

  /** Adds values of the log to what an object gives, until `set` or `drop`. */
  retain(owner: string, event: EncodedEvent): void {
    const known = [...(this.#idsOf.get(owner) ?? [])].flatMap((id) => {
      const claim = this.#claims.get(id)?.get(owner);
      return claim === undefined ? [] : [claim];
    });
    this.#replace(owner, [...known, { owner, event, createdMs: 0, retained: true }]);
  }

  drop(owner: string): void {
    this.#replace(owner, []);
  }

  /** The log has it of an earlier process, and nobody gives it any more. */
  orphan({ owner, ...event }: StoredEvent): void {
    const id = eventId(event.topic, event.key);
    this.#wins.set(id, { owner, event, createdMs: 0, retained: true });
    this.#changed.add(id);
  }

  /**
   * What changed since the last call, in the order of `turnOf`: the log may take it in parts, and
   * whoever reads may stop between them.
   */
  take(): OutboxChange {
    const outgoing: Outgoing[] = [];
    const touched = new Set<string>();
    for (const id of this.#changed) {
      const before = this.#wins.get(id);
      const [winner, ...losers] = [...(this.#claims.get(id)?.values() ?? [])].sort(byAge);
      for (const [owner, lost] of this.#lost) if (lost.delete(id)) touched.add(owner);
      if (winner === undefined) {
        this.#wins.delete(id);
        if (before !== undefined) outgoing.push(tombstone(before));
        continue;
      }
      // Of a retained value nobody is to blame: the object behind it has a diagnostic of its own.
      for (const { owner, event } of winner.retained ? [] : losers) {
        let lost = this.#lost.get(owner);
        if (lost === undefined) this.#lost.set(owner, (lost = new Map<string, Collision>()));
        lost.set(id, { key: event.key, winner: winner.owner });
        touched.add(owner);
      }
      this.#wins.set(id, winner);
      if (before === undefined || !sameBytes(before.event.value, winner.event.value)) {
        outgoing.push({ ...winner.event, owner: winner.owner });
      }
    }
    this.#changed.clear();
    outgoing.sort((a, b) => turnOf(a) - turnOf(b));
    return { outgoing, collisions: this.#collisionsOf(touched) };
  }

  #replace(owner: string, claims: readonly Claim[]): void {
    const ids = new Set(claims.map(({ event }) => eventId(event.topic, event.key)));
    for (const id of this.#idsOf.get(owner) ?? []) {
      if (ids.has(id)) continue;
      const rivals = this.#claims.get(id);
      rivals?.delete(owner);
      if (rivals?.size === 0) this.#claims.delete(id);
      this.#changed.add(id);
    }
    for (const claim of claims) {
      const id = eventId(claim.event.topic, claim.event.key);
      let rivals = this.#claims.get(id);
      if (rivals === undefined) this.#claims.set(id, (rivals = new Map<string, Claim>()));
      rivals.set(owner, claim);
      this.#changed.add(id);
    }
    if (ids.size === 0) this.#idsOf.delete(owner);
    else this.#idsOf.set(owner, ids);
  }

  #collisionsOf(owners: ReadonlySet<string>): ReadonlyMap<string, readonly Collision[]> {
    const collisions = new Map<string, readonly Collision[]>();
    for (const owner of owners) {
      const lost = this.#lost.get(owner);
      collisions.set(owner, [...(lost?.values() ?? [])]);
      if (lost?.size === 0) this.#lost.delete(owner);
    }
    return collisions;
  }
}

/** Topic and key in one string, for maps. */
export function eventId(topic: string, key: string): string {
  return `${topic}\n${key}`;
}

function tombstone({ event, owner }: Claim): Outgoing {
  return { topic: event.topic, key: event.key, value: undefined, owner };
}

function byAge(a: Claim, b: Claim): number {
  if (a.retained !== b.retained) return a.retained ? -1 : 1;
  if (a.createdMs !== b.createdMs) return a.createdMs - b.createdMs;
  return a.owner < b.owner ? -1 : 1;
}
