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

interface Tally {
  readonly refusal: Refusal;
  /** By pusher, the proxies that it saw; at most `quorum` each. */
  readonly proxies: Map<string, ReadonlySet<string>>;
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

  /** The proxies that one pusher saw refuse it, in order of time, at most `quorum`. */
  proxies(pusher: string, refusal: Refusal): ReadonlySet<string> {
    const known = this.#tallies.get(kindOf(refusal.scope, refusal.proxyVersion));
    return known?.get(keyOf(refusal))?.proxies.get(pusher) ?? new Set();
  }

  /** All refusals that one pusher told of, in a scope. */
  toldBy(pusher: string, scope: string): readonly Refusal[] {
    const found: Refusal[] = [];
    for (const tallies of this.#tallies.values()) {
      for (const { refusal, proxies } of tallies.values()) {
        if (refusal.scope === scope && proxies.has(pusher)) found.push(refusal);
      }
    }
    return found;
  }

  /**
   * Takes what one pusher tells: these of its proxies refused. `others`: proxies of the kind that
   * are connected here. Returns whether the quarantine of the kind changed.
   */
  tell(
    pusher: string,
    refusal: Refusal,
    proxies: Iterable<string>,
    others: Iterable<string>,
  ): boolean {
    const kind = kindOf(refusal.scope, refusal.proxyVersion);
    const tallies = this.#tallies.get(kind) ?? new Map<string, Tally>();
    this.#tallies.set(kind, tallies);
    const key = keyOf(refusal);
    const tally = tallies.get(key) ?? { refusal, proxies: new Map(), quarantined: false };
    if (!tallies.has(key) && tallies.size >= maxRefusals) return false;
    tallies.set(key, tally);
    tally.proxies.set(pusher, new Set([...proxies].slice(0, quorum)));
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
    tally.proxies.delete(pusher);
    if (tally.proxies.size > 0) return false;
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

function isEnough({ proxies }: Tally, others: Iterable<string>): boolean {
  const refused = new Set<string>();
  for (const some of proxies.values()) for (const proxy of some) refused.add(proxy);
  if (refused.size >= quorum) return true;
  if (refused.size === 0) return false;
  for (const other of others) if (!refused.has(other)) return false;
  return true;
}

function kindOf(scope: string, proxyVersion: string): string {
  return `${scope}|${proxyVersion}`;
}

function keyOf({ typeUrl, resource, version }: Refusal): string {
  return `${typeUrl}|${version}|${resource}`;
}
