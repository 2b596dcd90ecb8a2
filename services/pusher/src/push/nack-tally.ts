import type { ScopeQuarantine } from '../session/quarantine.ts';

/** One resource that proxies of one kind refused at one version. */
export interface Refusal {
  readonly scope: string;
  /** Of the proxies: another version may take what this one refuses. */
  readonly proxyVersion: string;
  readonly typeUrl: string;
  readonly resource: string;
  readonly version: string;
}

/** Who counts must be known for who it is, and so many of them are no accident. */
export const quorum = 3;

/** Of one scope and proxy version, refused versions that are remembered. */
const maxRefusals = 1_000;

/** What one pusher tells of a refusal. */
export interface Told {
  /** That it saw refuse; at most `quorum`. */
  readonly proxies: Iterable<string>;
  /** All that are connected there did. */
  readonly all: boolean;
}

/** Who else there is of the kind. */
export interface Others {
  /** Authenticated proxies that are connected here. */
  readonly here: Iterable<string>;
  /** Other pushers that have some of the scope. */
  readonly pushers: Iterable<string>;
}

interface KnownTold extends Told {
  readonly proxies: ReadonlySet<string>;
}

interface Tally {
  readonly refusal: Refusal;
  /** By pusher. */
  readonly told: Map<string, KnownTold>;
  quarantined: boolean;
}

/**
 * Counts who refused what, here and at other pushers, and says what a whole scope is spared: a
 * version that three authenticated proxies of a scope refused, or all that there are.
 */
export class NackTally {
  /** By scope and proxy version, then by type, resource and version. */
  readonly #tallies = new Map<string, Map<string, Tally>>();
  readonly #quarantines = new Map<string, ScopeQuarantine>();
  #quarantined = 0;

  /** Versions that are in quarantine. */
  get size(): number {
    return this.#quarantined;
  }

  of(scope: string, proxyVersion: string): ScopeQuarantine | undefined {
    return this.#quarantines.get(kindOf(scope, proxyVersion));
  }

  /** What one pusher told last of a refusal; its proxies in order of time. */
  toldOf(pusher: string, refusal: Refusal): KnownTold | undefined {
    const known = this.#tallies.get(kindOf(refusal.scope, refusal.proxyVersion));
    return known?.get(keyOf(refusal))?.told.get(pusher);
  }

  /** All refusals that one pusher told of, in a scope. */
  toldBy(pusher: string, scope: string): readonly Refusal[] {
    const found: Refusal[] = [];
    for (const tallies of this.#tallies.values()) {
      for (const { refusal, told } of tallies.values()) {
        if (refusal.scope === scope && told.has(pusher)) found.push(refusal);
      }
    }
    return found;
  }

  /** Takes what one pusher tells. Returns whether the quarantine of the kind changed. */
  tell(pusher: string, refusal: Refusal, { proxies, all }: Told, others: Others): boolean {
    const kind = kindOf(refusal.scope, refusal.proxyVersion);
    const tallies = this.#tallies.get(kind) ?? new Map<string, Tally>();
    this.#tallies.set(kind, tallies);
    const key = keyOf(refusal);
    const tally = tallies.get(key) ?? { refusal, told: new Map(), quarantined: false };
    if (!tallies.has(key) && tallies.size >= maxRefusals) return false;
    tallies.set(key, tally);
    tally.told.set(pusher, { proxies: new Set([...proxies].slice(0, quorum)), all });
    if (tally.quarantined || !isEnough(tally, others)) return false;
    tally.quarantined = true;
    this.#quarantined++;
    this.#rebuild(kind, tallies);
    return true;
  }

  /** One pusher takes back what it told. Returns whether the quarantine of the kind changed. */
  takeBack(pusher: string, refusal: Refusal): boolean {
    const kind = kindOf(refusal.scope, refusal.proxyVersion);
    const tallies = this.#tallies.get(kind);
    const tally = tallies?.get(keyOf(refusal));
    if (tallies === undefined || tally === undefined) return false;
    tally.told.delete(pusher);
    if (tally.told.size > 0) return false;
    tallies.delete(keyOf(refusal));
    if (tallies.size === 0) this.#tallies.delete(kind);
    if (!tally.quarantined) return false;
    this.#quarantined--;
    this.#rebuild(kind, tallies);
    return true;
  }

  #rebuild(kind: string, tallies: ReadonlyMap<string, Tally>): void {
    const types = new Map<string, Map<string, Set<string>>>();
    for (const { refusal, quarantined } of tallies.values()) {
      if (!quarantined) continue;
      const names = types.get(refusal.typeUrl) ?? new Map<string, Set<string>>();
      types.set(refusal.typeUrl, names);
      const versions = names.get(refusal.resource) ?? new Set<string>();
      names.set(refusal.resource, versions.add(refusal.version));
    }
    if (types.size === 0) this.#quarantines.delete(kind);
    else this.#quarantines.set(kind, types);
  }
}

/** Fewer are enough if they are all: here, and at every pusher that has any. */
function isEnough({ told }: Tally, { here, pushers }: Others): boolean {
  const refused = new Set<string>();
  for (const { proxies } of told.values()) for (const proxy of proxies) refused.add(proxy);
  if (refused.size >= quorum) return true;
  if (refused.size === 0) return false;
  for (const proxy of here) if (!refused.has(proxy)) return false;
  for (const pusher of pushers) if (told.get(pusher)?.all !== true) return false;
  return true;
}

function kindOf(scope: string, proxyVersion: string): string {
  return `${scope}|${proxyVersion}`;
}

function keyOf({ typeUrl, resource, version }: Refusal): string {
  return `${typeUrl}|${version}|${resource}`;
}
