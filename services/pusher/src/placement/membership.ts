import type { Demand, Pusher } from '@watershed/model/gen/record.ts';
import type { Clock, Timer, Timers } from '@watershed/runtime/clock.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import { place, ringOf, type Ring } from './ring.ts';

export interface MembershipOptions {
  /** This pusher's; unique among pushers. */
  readonly name: string;
  /** `host:port`, as proxies are told it. */
  readonly address: () => string;
  readonly time: Clock & Timers;
  readonly logger: Logger;
  readonly load: () => { readonly streams: number; readonly scopes: number };
  /** To all pushers, this one too; `undefined`: it leaves. */
  readonly tell: (pusher: Pusher | undefined) => void;
  readonly onMembers?: (names: ReadonlySet<string>) => void;
}

export interface Member {
  readonly name: string;
  readonly address: string;
  readonly streams: number;
  readonly scopes: number;
  /** How many times it was heard of. */
  readonly beat: number;
  /** Since it was heard of last. */
  readonly silentMs: number;
}

interface Heard {
  readonly pusher: Pusher;
  readonly beat: number;
  /** By the monotonic clock. */
  readonly atMs: number;
}

interface Wanted {
  readonly tenant: string;
  readonly expiresMs: number;
}

/** Each tells of itself at least so often; whoever is silent for three times as long is gone. */
export const beatMs = 10_000;
/** And so often at most: when its streams have become more, or fewer, by such a part of them. */
const soonMs = 1_000;
const notedPart = 0.01;
const expireMs = 3 * beatMs;
/** Two beats and how late one may be. */
const silentMs = 2.5 * beatMs;

/**
 * Which pushers there are, as the topic `feedback` says, and which scopes are wanted. Nothing
 * depends on its being right: it places what is kept warm and where proxies had better be, and no
 * proxy is refused for it.
 *
 * A scope's place on the ring is that of its namespace: a bootstrap is written without knowing the
 * selectors, and scopes of one namespace share most of what they list.
 */
export class Membership {
  readonly #options: MembershipOptions;
  readonly #heard = new Map<string, Heard>();
  /** By the demand's key. */
  readonly #demands = new Map<string, Wanted>();
  #ring: Ring = ringOf([]);
  /** `undefined`: not found yet since something changed. */
  #owners: ReadonlyMap<string, string> | undefined;
  #changedMs: number;
  /** Addresses of several: each is warned of once. */
  readonly #shared = new Set<string>();
  /** What was said last, and when. */
  #said = { streams: 0, atMs: -Infinity };
  #next: Timer | undefined;

  constructor(options: MembershipOptions) {
    this.#options = options;
    this.#changedMs = options.time.monotonic();
  }

  start(): void {
    this.#step();
  }

  /** The others are told. */
  leave(): void {
    this.#next?.cancel();
    this.#options.tell(undefined);
  }

  heard(name: string, pusher: Pusher | undefined): void {
    const { time } = this.#options;
    const before = this.#heard.get(name);
    const beat = (before?.beat ?? 0) + 1;
    if (pusher === undefined) this.#heard.delete(name);
    else this.#heard.set(name, { pusher, beat, atMs: time.monotonic() });
    if (pusher !== undefined && before !== undefined) this.#compare(name, pusher, before.atMs);
    this.#sweep();
  }

  /** `beforeMs`: when it was heard of last. Who was killed has not spoken since its successor did. */
  #compare(name: string, { address }: Pusher, beforeMs: number): void {
    if (this.#shared.has(address)) return;
    for (const [other, { pusher, atMs }] of this.#heard) {
      if (other === name || pusher.address !== address || atMs < beforeMs) continue;
      this.#shared.add(address);
      const text = 'two pushers say that they are at one address: streams are not rebalanced';
      this.#options.logger.warn(text, { address, pushers: [name, other] });
      return;
    }
  }

  wanted(key: string, demand: Demand | undefined): void {
    const tenant = demand?.scopeClass?.namespace;
    if (this.#demands.get(key)?.tenant !== tenant) this.#owners = undefined;
    if (demand === undefined || tenant === undefined) this.#demands.delete(key);
    else {
      this.#demands.set(key, { tenant, expiresMs: demand.expiresMs });
    }
  }

  /** Sorted by address. */
  get members(): readonly Member[] {
    const nowMs = this.#options.time.monotonic();
    return [...this.#heard]
      .map(([name, { pusher, beat, atMs }]) => {
        const { address, streams, scopes } = pusher;
        return { name, address, streams, scopes, beat, silentMs: nowMs - atMs };
      })
      .sort((a, b) => (a.address < b.address ? -1 : 1));
  }

  get ring(): Ring {
    return this.#ring;
  }

  /** Of all scopes that a pusher wants: their namespaces' owners, by address. */
  owners(): ReadonlyMap<string, string> {
    this.#owners ??= place(
      this.#ring,
      [...this.#demands.values()].map(({ tenant }) => tenant),
    );
    return this.#owners;
  }

  /** Whether this pusher is where the namespace's proxies belong. */
  isOwner(tenant: string): boolean {
    return this.owners().get(tenant) === this.#options.address();
  }

  /** When somebody came or went, by the monotonic clock. */
  get changedMs(): number {
    return this.#changedMs;
  }

  /** Why it is not certain who is there, with how many streams; `undefined`: it is. */
  get doubt(): string | undefined {
    if (!this.#heard.has(this.#options.name)) return 'this pusher does not hear itself';
    const { members } = this;
    const silent = members.find((member) => member.silentMs > silentMs);
    if (silent !== undefined) return `${silent.name} is silent`;
    const same = members.find(({ address }, at) => members[at - 1]?.address === address);
    return same && `two pushers say that they are ${same.address}`;
  }

  #step(): void {
    const { time, address, load, tell } = this.#options;
    const now = load();
    const nowMs = time.monotonic();
    const isNew = Math.abs(now.streams - this.#said.streams) > notedPart * this.#said.streams;
    if (isNew || nowMs - this.#said.atMs >= beatMs) {
      this.#said = { streams: now.streams, atMs: nowMs };
      const expiresMs = time.now() + expireMs;
      tell({ address: address(), ...now, expiresMs, readsInlined: true });
      this.#sweep();
    }
    this.#next = time.after(soonMs, () => this.#step());
  }

  /** Forgets who is gone; the ring follows. */
  #sweep(): void {
    const { time, onMembers } = this.#options;
    const nowMs = time.now();
    for (const [name, { pusher }] of this.#heard) {
      if (pusher.expiresMs <= nowMs) this.#heard.delete(name);
    }
    for (const [key, { expiresMs }] of this.#demands) {
      if (expiresMs > nowMs) continue;
      this.#demands.delete(key);
      this.#owners = undefined;
    }
    const addresses = [...new Set([...this.#heard.values()].map(({ pusher }) => pusher.address))];
    onMembers?.(new Set(this.#heard.keys()));
    if (addresses.sort().join() === this.#ring.members.join()) return;
    this.#ring = ringOf(addresses);
    this.#owners = undefined;
    this.#changedMs = time.monotonic();
  }
}
