import { partitionOf } from '@watershed/model/keys.ts';
import type { Clock, Timer, Timers } from '@watershed/runtime/clock.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import { beatMs, type Membership } from './membership.ts';
import { loadBound } from './ring.ts';

/** What a stream is to the rebalancer. */
export interface Movable {
  readonly node: { readonly id: string; readonly namespace: string } | undefined;
  /** It came with what it had from another stream. */
  readonly isResumed: boolean;
  /** When it was opened, by the monotonic clock. */
  readonly sinceMs: number;
  readonly isClosed: boolean;
  end(end: { readonly code: 'unavailable'; readonly message: string }): void;
}

export interface RebalancerOptions {
  /** `host:port`, as proxies are told it. */
  readonly address: () => string;
  readonly membership: Membership;
  readonly time: Clock & Timers;
  readonly logger: Logger;
  readonly streams: () => ReadonlySet<Movable>;
  /** 0: none are moved. */
  readonly ratePerSecond: number;
  /** The log is away. */
  readonly silent: () => boolean;
  readonly onMoved: () => void;
}

interface Move {
  readonly stream: Movable;
  readonly id: string;
  readonly to: string;
  /** 0: its place is there. 1: it is neither there nor here. 2: it is here. */
  readonly rank: 0 | 1 | 2;
}

/** It is ended above `loadBound` times the mean, until it is at this. */
const enough = 1.05;
/** Few more than the mean are not worth the trouble. */
const leastExcess = 10;
/** Who was moved, or came back from wherever, stays so long where it is. */
const calmMs = 600_000;
const idleMs = 1_000;

/**
 * Ends a few streams a second while this replica has more than its share, of proxies for which
 * another replica has room: they connect again, and are sent nothing that they have. It acts only
 * on what is certain, and never on a stream that came back lately, from here or from another
 * replica.
 */
export class Rebalancer {
  readonly #options: RebalancerOptions;
  /** By address: streams sent to it that its last word could not count; as of that word. */
  readonly #sent = new Map<string, { readonly beat: number; count: number }>();
  #queue: Move[] = [];
  #active = false;
  #next: Timer | undefined;

  constructor(options: RebalancerOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#options.ratePerSecond > 0) this.#wait(idleMs);
  }

  stop(): void {
    this.#next?.cancel();
  }

  /** Streams are being moved. */
  get active(): boolean {
    return this.#active;
  }

  /** Why none may be moved. */
  get doubt(): string | undefined {
    const { membership, silent } = this.#options;
    return silent() ? 'the log is not heard of' : membership.doubt;
  }

  #wait(delayMs: number): void {
    this.#next = this.#options.time.after(delayMs, () => this.#step());
  }

  #step(): void {
    const { ratePerSecond } = this.#options;
    const move = this.#due() ? this.#take() : undefined;
    if (move === undefined) {
      this.#wait(idleMs);
      return;
    }
    this.#end(move);
    // Replicas must not end streams in step: each proxy has a delay of its own, 1 on average.
    this.#wait((1_000 / ratePerSecond) * (0.5 + partitionOf(move.id, 1_000) / 1_000));
  }

  /** Whether there is something to do: begins above the bound, and ends near the mean. */
  #due(): boolean {
    const { streams, logger } = this.#options;
    const certain = this.doubt === undefined;
    const { size } = streams();
    const mean = certain ? this.#mean() : 0;
    const before = this.#active;
    this.#active =
      certain &&
      (before ? size > enough * mean + 1 : size > Math.max(loadBound * mean, mean + leastExcess));
    if (this.#active !== before) {
      if (!this.#active) this.#queue = [];
      const what = this.#active ? 'streams are being moved' : 'no more streams are moved';
      logger.info(what, { streams: size, mean: Math.round(mean) });
    }
    return this.#active;
  }

  #mean(): number {
    let sum = this.#options.streams().size;
    for (const load of this.#loads().values()) sum += load;
    return sum / this.#options.membership.ring.members.length;
  }

  /** Of the others. */
  #loads(): ReadonlyMap<string, number> {
    const { membership, address } = this.#options;
    const loads = new Map<string, number>();
    for (const { address: other, streams, beat } of membership.members) {
      if (other === address()) continue;
      const sent = this.#sent.get(other);
      loads.set(other, streams + (sent?.beat === beat ? sent.count : 0));
    }
    return loads;
  }

  #take(): Move | undefined {
    if (this.#queue.length === 0) this.#queue = this.#plan();
    for (let move = this.#queue.shift(); move !== undefined; move = this.#queue.shift()) {
      if (!move.stream.isClosed) return move;
    }
    return undefined;
  }

  /** For one beat: those first whose place is where they are sent. */
  #plan(): Move[] {
    const { streams, address, membership, ratePerSecond, time } = this.#options;
    const mean = this.#mean();
    const loads = new Map(this.#loads());
    const orders = new Map<string, readonly string[]>();
    const found: Move[] = [];
    for (const stream of streams()) {
      const { node } = stream;
      const cameBack = stream.isResumed && time.monotonic() - stream.sinceMs < calmMs;
      if (node === undefined || cameBack) continue;
      let order = orders.get(node.namespace);
      if (order === undefined) {
        order = membership.ring.order(node.namespace);
        orders.set(node.namespace, order);
      }
      const to = order.find((member) => (loads.get(member) ?? Infinity) < mean);
      if (to === undefined) continue;
      const rank = order[0] === to ? 0 : order[0] === address() ? 2 : 1;
      found.push({ stream, id: node.id, to, rank });
    }
    const most = Math.ceil((ratePerSecond * beatMs) / 1_000);
    const moves: Move[] = [];
    for (const move of sorted(found)) {
      const load = loads.get(move.to) ?? Infinity;
      if (load >= mean) continue;
      loads.set(move.to, load + 1);
      if (moves.push(move) === most) break;
    }
    return moves;
  }

  #end({ stream, to }: Move): void {
    const { membership, onMoved } = this.#options;
    const beat = membership.members.find(({ address }) => address === to)?.beat ?? 0;
    const sent = this.#sent.get(to);
    if (sent?.beat === beat) sent.count++;
    else this.#sent.set(to, { beat, count: 1 });
    onMoved();
    const message = `this replica has more than its share of proxies, and ${to} has room`;
    stream.end({ code: 'unavailable', message });
  }
}

/** By rank, then by what has no meaning: neither the oldest nor one namespace first. */
function sorted(moves: readonly Move[]): readonly Move[] {
  const places = new Map(moves.map((move) => [move, partitionOf(move.id, 2 ** 31)]));
  return [...moves].sort((a, b) => a.rank - b.rank || (places.get(a) ?? 0) - (places.get(b) ?? 0));
}
