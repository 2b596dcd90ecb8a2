/**
 * Where scopes and streams belong: which pushers there are, by the log, and what follows from it.
 * What the ring says is a preference: any proxy is served by any replica.
 */
import type { Demand, Pusher } from '@watershed/model/gen/record.ts';
import type { Clock, Timers } from '@watershed/runtime/clock.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import { Membership } from './membership.ts';
import { Rebalancer, type Movable } from './rebalancer.ts';

export interface PlacementOptions {
  /** This pusher's; unique among pushers. */
  readonly name: string;
  /** `host:port`, as proxies are told it; known once it listens. */
  readonly address: () => string;
  readonly time: Clock & Timers;
  readonly logger: Logger;
  readonly streams: () => ReadonlySet<Movable>;
  /** How many are held. */
  readonly scopes: () => number;
  /** To all pushers, this one too; `undefined`: it leaves. */
  readonly tell: (pusher: Pusher | undefined) => void;
  /** The log is away. */
  readonly silent: () => boolean;
  readonly rebalancePerSecond: number;
  /** Pushers must have been the same, and one off the mean, for so long before one is moved. */
  readonly rebalanceDelayMs: number;
  readonly onMembers?: (names: ReadonlySet<string>) => void;
  readonly onMoved?: () => void;
}

export class Placement {
  readonly #options: PlacementOptions;
  readonly #membership: Membership;
  readonly #rebalancer: Rebalancer;

  constructor(options: PlacementOptions) {
    const { streams, scopes, rebalancePerSecond, rebalanceDelayMs, onMoved } = options;
    this.#options = options;
    this.#membership = new Membership({
      ...options,
      load: () => ({ streams: streams().size, scopes: scopes() }),
    });
    this.#rebalancer = new Rebalancer({
      ...options,
      membership: this.#membership,
      ratePerSecond: rebalancePerSecond,
      delayMs: rebalanceDelayMs,
      onMoved: () => onMoved?.(),
    });
  }

  start(): void {
    this.#membership.start();
    this.#rebalancer.start();
  }

  /** Before its streams are ended: nobody is sent here any more. */
  stop(): void {
    this.#rebalancer.stop();
    this.#membership.leave();
  }

  heard(name: string, pusher: Pusher | undefined): void {
    this.#membership.heard(name, pusher);
  }

  wanted(key: string, demand: Demand | undefined): void {
    this.#membership.wanted(key, demand);
  }

  isOwner(tenant: string): boolean {
    return this.#membership.isOwner(tenant);
  }

  /** For people. */
  state(): object {
    const { members } = this.#membership;
    const owners = [...this.#membership.owners()].sort(([a], [b]) => (a < b ? -1 : 1));
    return {
      self: { name: this.#options.name, address: this.#options.address() },
      pushers: members.map(({ beat: _beat, ...member }) => member),
      rebalancing: {
        streamsPerSecond: this.#options.rebalancePerSecond,
        active: this.#rebalancer.active,
        off: this.#rebalancer.doubt,
      },
      namespaces: Object.fromEntries(owners),
    };
  }
}
