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

/**
 * A version that is replaced is taken back by one pusher after the other, which may be sooner than
 * this one serves what replaces it: quarantines of which too few tell stand for so long, since the
 * others had better not be sent it on the way.
 */
const lapseMs = 5_000;

/** Of one scope and proxy version, refused versions that are remembered. */
const maxRefusals = 1_000;

interface Tally {
  readonly refusal: Refusal;
  /** Proxies that refused, by the pusher that tells of them; at most `quorum` of each. */
  readonly told: Map<string, ReadonlySet<string>>;
  quarantined: boolean;
  /** Since when it is in quarantine by fewer than there must be. */
  lapsingMs: number | undefined;
}

/**
 * Counts who refused what, here and at other pushers, and says what a whole scope is spared: a
 * version that three authenticated proxies of a scope refused. What is told is all that counts, not
 * in which order, so that all pushers come to say the same.
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

  isQuarantined(refusal: Refusal): boolean {
    return this.#of(refusal)?.quarantined === true;
  }

  /** The proxies that one pusher told of, in order of time. */
  toldOf(pusher: string, refusal: Refusal): ReadonlySet<string> | undefined {
    return this.#of(refusal)?.told.get(pusher);
  }

  /** All refusals that one pusher told of. */
  toldBy(pusher: string): readonly Refusal[] {
    return [...this.#all()].filter(({ told }) => told.has(pusher)).map(({ refusal }) => refusal);
  }

  /** Who told of anything. */
  get pushers(): ReadonlySet<string> {
    return new Set([...this.#all()].flatMap(({ told }) => [...told.keys()]));
  }

  /** Takes what one pusher tells. Returns whether the quarantine of the kind changed. */
  tell(pusher: string, refusal: Refusal, proxies: Iterable<string>): boolean {
    const kind = kindOf(refusal.scope, refusal.proxyVersion);
    const tallies = this.#tallies.get(kind) ?? new Map<string, Tally>();
    this.#tallies.set(kind, tallies);
    const key = keyOf(refusal);
    const tally = tallies.get(key) ?? {
      refusal,
      told: new Map(),
      quarantined: false,
      lapsingMs: undefined,
    };
    if (!tallies.has(key) && tallies.size >= maxRefusals) return false;
    tallies.set(key, tally);
    tally.told.set(pusher, new Set([...proxies].slice(0, quorum)));
    return isEnough(tally) && this.#set(tally, true);
  }

  /** One pusher takes back what it told; a quarantine stands for a while, or until it is ended. */
  takeBack(pusher: string, refusal: Refusal): void {
    const tally = this.#of(refusal);
    tally?.told.delete(pusher);
    if (tally?.told.size === 0 && !tally.quarantined) this.#delete(refusal);
  }

  /** Quarantines of which nobody tells any more. */
  get untold(): readonly Refusal[] {
    const all = [...this.#all()];
    return all.filter(({ told }) => told.size === 0).map(({ refusal }) => refusal);
  }

  /** Ends a quarantine of which nobody tells any more. Returns whether there was one. */
  end(refusal: Refusal): boolean {
    const tally = this.#of(refusal);
    if (tally === undefined || tally.told.size > 0) return false;
    const changed = this.#set(tally, false);
    this.#delete(refusal);
    return changed;
  }

  /** Ends quarantines of which fewer are told than there must be, for a while; gives them back. */
  lapse(nowMs: number): readonly Refusal[] {
    const ended: Refusal[] = [];
    for (const tally of [...this.#all()]) {
      if (!tally.quarantined || isEnough(tally)) tally.lapsingMs = undefined;
      else if (nowMs - (tally.lapsingMs ??= nowMs) >= lapseMs) {
        this.#set(tally, false);
        ended.push(tally.refusal);
        if (tally.told.size === 0) this.#delete(tally.refusal);
      }
    }
    return ended;
  }

  #delete(refusal: Refusal): void {
    const kind = kindOf(refusal.scope, refusal.proxyVersion);
    const tallies = this.#tallies.get(kind);
    tallies?.delete(keyOf(refusal));
    if (tallies?.size === 0) this.#tallies.delete(kind);
  }

  #of(refusal: Refusal): Tally | undefined {
    return this.#tallies.get(kindOf(refusal.scope, refusal.proxyVersion))?.get(keyOf(refusal));
  }

  *#all(): Iterable<Tally> {
    for (const tallies of this.#tallies.values()) yield* tallies.values();
  }

  #set(tally: Tally, quarantined: boolean): boolean {
    if (quarantined === tally.quarantined) return false;
    tally.quarantined = quarantined;
    this.#quarantined += quarantined ? 1 : -1;
    const { scope, proxyVersion } = tally.refusal;
    this.#rebuild(kindOf(scope, proxyVersion));
    return true;
  }

  #rebuild(kind: string): void {
    const types = new Map<string, Map<string, Set<string>>>();
    for (const { refusal, quarantined } of this.#tallies.get(kind)?.values() ?? []) {
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

function isEnough({ told }: Tally): boolean {
  return new Set([...told.values()].flatMap((proxies) => [...proxies])).size >= quorum;
}

function kindOf(scope: string, proxyVersion: string): string {
  return `${scope}|${proxyVersion}`;
}

function keyOf({ typeUrl, resource, version }: Refusal): string {
  return `${typeUrl}|${version}|${resource}`;
}
