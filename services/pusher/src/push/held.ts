import type { Timer, Timers } from '@watershed/runtime/clock.ts';
import { Audience } from './audience.ts';
import type { StreamEnd } from './carrier.ts';
import type { XdsStream } from './stream.ts';

/** A scope in use. */
export interface Held {
  readonly streams: Audience<XdsStream>;
  /** It is known what clients may have been served before: streams may be brought on. */
  ready: boolean;
  /** This machine has served it before. */
  kept: boolean;
  readonly tenant: string;
  idle: Timer | undefined;
}

export interface HeldScopesOptions {
  readonly timers: Timers;
  /** How long one that nobody uses is kept. Default 5 minutes. */
  readonly idleMs?: number | undefined;
  /** Held at once, though nobody may use them. Default 2,000. */
  readonly mostOfNamespace?: number | undefined;
  /** Whether scopes of a namespace are kept 12 times as long. */
  readonly staysWarm: (tenant: string) => boolean;
  /** Whether one is kept though it has no streams now. */
  readonly isWanted: (scope: string) => boolean;
  readonly begun: (scope: string, held: Held) => void;
  readonly ended: (scope: string) => void;
}

/**
 * The scopes in use, and those that were so lately: their proxies may only be reconnecting. What
 * tells scopes is the proxies' word, and each costs translators work, so a namespace has a bounded
 * number.
 */
export class HeldScopes {
  readonly #options: HeldScopesOptions;
  readonly #all = new Map<string, Held>();
  /** How many each namespace has. */
  readonly #counts = new Map<string, number>();

  constructor(options: HeldScopesOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#all.size;
  }

  get(scope: string): Held | undefined {
    return this.#all.get(scope);
  }

  values(): Iterable<Held> {
    return this.#all.values();
  }

  /** Begins to hold one, or goes on; `false`: its namespace has too many in use. */
  hold(scope: string, tenant: string): boolean {
    const known = this.#all.get(scope);
    if (known !== undefined) {
      known.idle?.cancel();
      known.idle = undefined;
      return true;
    }
    if (!this.#hasRoom(tenant)) return false;
    const streams = new Audience<XdsStream>();
    const held: Held = { streams, ready: false, kept: false, tenant, idle: undefined };
    this.#all.set(scope, held);
    this.#counts.set(tenant, this.#countOf(tenant) + 1);
    this.#options.begun(scope, held);
    return true;
  }

  /** A stream of it has gone; `keptMs`: without any for so long. */
  idle(scope: string, keptMs = 0): void {
    const held = this.#all.get(scope);
    const { timers, idleMs = 300_000, staysWarm, isWanted } = this.#options;
    if (held === undefined || held.streams.size > 0 || isWanted(scope)) return;
    held.idle?.cancel();
    held.idle = timers.after(idleMs, () => {
      const nowMs = keptMs + idleMs;
      if (nowMs < 12 * idleMs && staysWarm(held.tenant)) this.idle(scope, nowMs);
      else this.#letGo(scope, held);
    });
  }

  stop(): void {
    for (const { idle } of this.#all.values()) idle?.cancel();
  }

  #countOf(tenant: string): number {
    return this.#counts.get(tenant) ?? 0;
  }

  /** Of many, one that nobody uses makes room. */
  #hasRoom(tenant: string): boolean {
    const { mostOfNamespace = 2_000 } = this.#options;
    if (this.#countOf(tenant) < mostOfNamespace) return true;
    for (const [scope, held] of this.#all) {
      if (held.tenant !== tenant || held.idle === undefined) continue;
      this.#letGo(scope, held);
      return true;
    }
    return false;
  }

  #letGo(scope: string, { tenant, idle }: Held): void {
    idle?.cancel();
    this.#all.delete(scope);
    const left = this.#countOf(tenant) - 1;
    if (left > 0) this.#counts.set(tenant, left);
    else this.#counts.delete(tenant);
    this.#options.ended(scope);
  }
}

export const crowded: StreamEnd = {
  code: 'resource-exhausted',
  message: 'proxies of too many kinds in the namespace',
};

const notKept: StreamEnd = {
  code: 'unavailable',
  message: 'the log is away, and this replica has never served such a proxy',
};

/** Proxies of a scope that was never served here, as far as that is known. */
export function sendUnknownAway({ streams, ready, kept }: Held): void {
  if (ready && !kept) for (const stream of [...streams]) stream.end(notKept);
}
