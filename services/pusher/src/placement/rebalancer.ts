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
  /** Members must have been the same, and one off the mean, for so long. */
  readonly delayMs: number;
  /** The log is away. */
  readonly silent: () => boolean;
  readonly onMoved: () => void;
}

interface Round {
  /** When it began. */
  readonly mean: number;
  /** Since when this replica has no more than that; `undefined`: it has. */
  contentSinceMs?: number | undefined;
}

/** Streams that were sent to a replica, and what it had when they began to be. */
interface Sent {
  readonly sinceMs: number;
  readonly streams: number;
  total: number;
  /** Those that its last word could not count, and that word's number. */
  beat: number;
  count: number;
}

interface Move {
  readonly stream: Movable;
  readonly id: string;
  readonly to: string;
  /** 0: its place is there. 1: it is neither there nor here. 2: it is here. */
  readonly rank: 0 | 1 | 2;
}

/** By so much of the mean a replica must be off before it is worth the trouble. */
const worth = loadBound - 1;
/** And by no fewer streams than this. */
const leastExcess = 10;
/** Who was moved, or came back from wherever, stays so long where it is. */
const calmMs = 600_000;
const idleMs = 1_000;
/** Others' words are so old at most while they move streams. */
const contentMs = 3_000;
/** What was sent to a replica has arrived after so long, and it has said so. */
const arrivalMs = 3 * beatMs;
/** Of what was sent, so much at least. */
const arrivalPart = 0.1;

/**
 * Ends a few streams a second while this replica has more than its share, of proxies for which
 * another replica has room: they connect again, and are sent nothing that they have. It acts only
 * on what is certain, and never on a stream that came back lately, from here or from another
 * replica.
 */
export class Rebalancer {
  readonly #options: RebalancerOptions;
  /** By address. */
  readonly #sent = new Map<string, Sent>();
  /** By address, of who had room and got nothing: until when nothing is sent there. */
  readonly #unreached = new Map<string, number>();
  #queue: Move[] = [];
  /** `undefined`: no streams are being moved. */
  #round: Round | undefined;
  /** Since when a round would begin: what others said last may be old. `undefined`: it would not. */
  #offSinceMs: number | undefined;
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
    return this.#round !== undefined;
  }

  /** Why none may be moved; `undefined`: nothing is in the way. */
  get doubt(): string | undefined {
    const { membership, time, delayMs } = this.#options;
    if (this.#unknown !== undefined) return this.#unknown;
    const isSettled = time.monotonic() - membership.changedMs >= delayMs;
    return isSettled ? undefined : 'members have just changed';
  }

  /** Why it is not known who has how many. */
  get #unknown(): string | undefined {
    const { membership, silent } = this.#options;
    return silent() ? 'the log is not heard of' : membership.doubt;
  }

  #wait(delayMs: number): void {
    this.#next = this.#options.time.after(delayMs, () => this.#step());
  }

  #step(): void {
    const { ratePerSecond } = this.#options;
    this.#judgeSent();
    const mean = this.#due();
    const move = mean === undefined ? undefined : this.#take(mean);
    if (move === undefined) {
      this.#wait(idleMs);
      return;
    }
    this.#end(move);
    // Replicas must not end streams in step: each proxy has a delay of its own, 1 on average.
    this.#wait((1_000 / ratePerSecond) * (0.5 + partitionOf(move.id, 1_000) / 1_000));
  }

  /**
   * The mean to come to; `undefined`: there is nothing to do. A round begins when this replica has
   * far more than the mean, or another far less (one that comes to many, each of which has little
   * too much). It ends at the mean: what each of many keeps above it, the one that comes lacks.
   */
  #due(): number | undefined {
    const { streams, logger } = this.#options;
    const { size } = streams();
    // A proxy between two replicas is counted by neither: the mean does not fall in a round.
    const mean = Math.max(this.#mean(), this.#round?.mean ?? 0);
    const isOver = size >= mean + 1;
    const before = this.#round;
    if (before === undefined) {
      if (this.#isLasting(isOver && this.#isFarOff(size, mean))) this.#round = { mean };
    } else if (!this.#goesOn(before, isOver)) {
      this.#round = undefined;
      this.#offSinceMs = undefined;
      this.#queue = [];
      this.#sent.clear();
    }
    if (this.#round !== before) {
      const what = this.#round ? 'streams are being moved' : 'no more streams are moved';
      logger.info(what, { streams: size, mean: Math.round(mean) });
    }
    return this.#round !== undefined && isOver ? mean : undefined;
  }

  /** Until it has had no more than the mean for longer than others' words take. */
  #goesOn(round: Round, isOver: boolean): boolean {
    if (this.doubt !== undefined) return false;
    const nowMs = this.#options.time.monotonic();
    if (isOver) round.contentSinceMs = undefined;
    else round.contentSinceMs ??= nowMs;
    return nowMs - (round.contentSinceMs ?? nowMs) < contentMs;
  }

  #isFarOff(size: number, mean: number): boolean {
    const off = Math.max(size - mean, mean - Math.min(...this.#loads().values()));
    return off > Math.max(worth * mean, leastExcess);
  }

  /** Whether it was so for a while, and what it was found from was certain. */
  #isLasting(isSo: boolean): boolean {
    const { time, delayMs } = this.#options;
    if (isSo && this.#unknown === undefined) this.#offSinceMs ??= time.monotonic();
    else this.#offSinceMs = undefined;
    if (this.#offSinceMs === undefined || this.doubt !== undefined) return false;
    return time.monotonic() - this.#offSinceMs >= delayMs;
  }

  #mean(): number {
    const loads = this.#loads();
    let sum = this.#options.streams().size;
    for (const load of loads.values()) sum += load;
    return sum / (loads.size + 1);
  }

  /**
   * Where nothing of what was sent arrives, proxies do not reach what the log does: it is no place
   * for them for a while.
   */
  #judgeSent(): void {
    const { membership, time, logger } = this.#options;
    const nowMs = time.monotonic();
    for (const [address, untilMs] of this.#unreached) {
      if (untilMs <= nowMs) this.#unreached.delete(address);
    }
    for (const [address, { sinceMs, streams, total }] of this.#sent) {
      if (total < leastExcess || nowMs - sinceMs < arrivalMs) continue;
      this.#sent.delete(address);
      const member = membership.members.find((other) => other.address === address);
      if (member === undefined || member.streams - streams >= arrivalPart * total) continue;
      this.#unreached.set(address, nowMs + calmMs);
      logger.warn('streams that were moved to a replica do not arrive there', { address, total });
    }
  }

  /** Of the others that proxies reach. */
  #loads(): ReadonlyMap<string, number> {
    const { membership, address } = this.#options;
    const loads = new Map<string, number>();
    for (const { address: other, streams, beat } of membership.members) {
      if (other === address() || this.#unreached.has(other)) continue;
      const sent = this.#sent.get(other);
      loads.set(other, streams + (sent?.beat === beat ? sent.count : 0));
    }
    return loads;
  }

  #take(mean: number): Move | undefined {
    if (this.#queue.length === 0) this.#queue = this.#plan(mean);
    for (let move = this.#queue.shift(); move !== undefined; move = this.#queue.shift()) {
      if (!move.stream.isClosed) return move;
    }
    return undefined;
  }

  /** For one beat: those first whose place is where they are sent. */
  #plan(mean: number): Move[] {
    const { streams, address, membership, ratePerSecond, time } = this.#options;
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
    const { membership, time, onMoved } = this.#options;
    const member = membership.members.find(({ address }) => address === to);
    const { beat = 0, streams = 0 } = member ?? {};
    const sinceMs = time.monotonic();
    const sent = this.#sent.get(to) ?? { sinceMs, streams, total: 0, beat, count: 0 };
    this.#sent.set(to, sent);
    if (sent.beat !== beat) Object.assign(sent, { beat, count: 0 });
    sent.count++;
    sent.total++;
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
