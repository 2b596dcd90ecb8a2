/**
 * Which replica has which key: consistent hashing with bounded load. Pure: whoever is told the same
 * members and keys, wherever it runs, finds the same.
 */
import HashRing from 'hashring';

/**
 * Times four points of a member on the ring: its part of the ring is even to about 2 %, so the
 * bound is met almost never, and who comes or goes moves hardly more than its own share.
 */
const virtualNodes = 1_000;

/** How much more than its share a member may have. */
export const loadBound = 1.25;

export interface Ring {
  readonly members: readonly string[];
  /** All members, in the order in which the key falls to them. */
  order(key: string): readonly string[];
  /** The first of the order. */
  first(key: string): string | undefined;
}

/** Members count once, in whatever order they are named. */
export function ringOf(named: Iterable<string>): Ring {
  const members = [...new Set(named)].sort();
  const weights = Object.fromEntries(members.map((name) => [name, { vnodes: virtualNodes }]));
  const ring = new HashRing(weights, 'md5');
  return {
    members,
    order: (key) => ring.range(key, members.length),
    // Not `get`: its cache cannot take every key.
    first: (key) => ring.range(key, 1)[0],
  };
}

/**
 * Each key's owner: the first member of its order that has less than the bound. No member has more
 * than ⌈bound × keys / members⌉.
 */
export function place(
  ring: Ring,
  keys: Iterable<string>,
  bound = loadBound,
): ReadonlyMap<string, string> {
  // Who is first to a member that is nearly full must not depend on who asks.
  const sorted = [...new Set(keys)].sort();
  const most = Math.ceil((bound * sorted.length) / ring.members.length);
  const loads = new Map<string, number>();
  const owners = new Map<string, string>();
  for (const key of sorted) {
    const hasRoom = (member: string): boolean => (loads.get(member) ?? 0) < most;
    const first = ring.first(key);
    const owner = first !== undefined && hasRoom(first) ? first : ring.order(key).find(hasRoom);
    if (owner === undefined) continue;
    loads.set(owner, (loads.get(owner) ?? 0) + 1);
    owners.set(key, owner);
  }
  return owners;
}
