import type { Clock, Timer, Timers } from '@watershed/runtime/clock.ts';

export interface AdmissionLimits {
  /** Of one turn of the event loop, what new streams may take. Default 10 ms. */
  readonly sliceMs: number;
  /** A loop that is later than that has other work: new streams come one by one. Default 50 ms. */
  readonly lagMs: number;
  /** Given to new streams' transports and not taken yet. Default 64 MiB. */
  readonly queuedBytes: number;
  /**
   * What one stream counts at most: the buffer is shared, a transport copies what a window lets go.
   * Default 256 KiB.
   */
  readonly windowBytes: number;
  /** After which what a client does not read counts no more: it must delay nobody. Default 1 s. */
  readonly stallMs: number;
  /** What a resumed stream may be sent before it counts as a new one. Default 64 KiB. */
  readonly freeBytes: number;
  /** More are turned away. Default 100,000. */
  readonly maxWaiting: number;
}

const defaultLimits: AdmissionLimits = {
  sliceMs: 10,
  lagMs: 50,
  queuedBytes: 64 * 1024 * 1024,
  windowBytes: 256 * 1024,
  stallMs: 1_000,
  freeBytes: 64 * 1024,
  maxWaiting: 100_000,
};

export interface AdmissionOptions {
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly timers: Timers;
  /** New streams a second, resumed ones too, whatever they cost; 0: by what they cost. */
  readonly ratePerSecond: number;
  readonly limits?: Partial<AdmissionLimits> | undefined;
  /** One has come in; 0: it did not have to wait. */
  readonly onAdmitted?: (waitedMs: number) => void;
  readonly onWaiting?: (count: number) => void;
}

/** A stream that wants what may cost much: all that its scope has. */
export interface Newcomer {
  /** Tenants take turns. */
  readonly tenant: string;
  /** It has waited long enough. */
  admitted(): void;
}

/** `full`: so many wait that it must be turned away. */
type Answer = 'go' | 'wait' | 'full';

/** How long the loop may be given to others, where it is late. */
const maxRestMs = 500;

/**
 * When new streams get what they ask for. A thousand proxies that come at once would hold up the
 * pushes and ACKs of those that are there, and fill memory; a fixed rate (istiod's 25 a second)
 * would make a hundred thousand wait an hour though they cost almost nothing. So it goes by cost:
 * they get a slice of each turn of the event loop, less of a late one, and no more bytes than are
 * being read. Who has to wait is held in order, one tenant after the other.
 */
export class Admission {
  readonly limits: AdmissionLimits;
  readonly #options: AdmissionOptions;
  /** By tenant, in turn; since when each waits. */
  readonly #waiting = new Map<string, Map<Newcomer, number>>();
  #count = 0;
  #usedMs = 0;
  #queuedBytes = 0;
  /** By rate: when the next may come. */
  #nextMs = Number.NEGATIVE_INFINITY;
  #turn: Timer | undefined;
  #dueMs = 0;
  #lagMs = 0;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.limits = { ...defaultLimits, ...options.limits };
  }

  /** What a resumed stream may be sent without asking. */
  get freeBytes(): number {
    return this.#options.ratePerSecond > 0 ? 0 : this.limits.freeBytes;
  }

  /** May be asked again and again; `wait`: it will be told. */
  ask(who: Newcomer): Answer {
    if (this.#waiting.get(who.tenant)?.has(who) === true) return 'wait';
    if (this.#count === 0 && this.#hasRoom()) {
      this.#take(0);
      return 'go';
    }
    if (this.#count >= this.limits.maxWaiting) return 'full';
    const ofTenant = this.#waiting.get(who.tenant) ?? new Map<Newcomer, number>();
    this.#waiting.set(who.tenant, ofTenant.set(who, this.#options.clock.monotonic()));
    this.#counted(1);
    this.#schedule();
    return 'wait';
  }

  /** It is gone. */
  forget(who: Newcomer): void {
    const ofTenant = this.#waiting.get(who.tenant);
    if (ofTenant?.delete(who) !== true) return;
    if (ofTenant.size === 0) this.#waiting.delete(who.tenant);
    this.#counted(-1);
  }

  /** So much of this turn went into a new stream. */
  used(ms: number): void {
    this.#usedMs += ms;
    this.#turnEnds();
  }

  /** So much was given to a new stream's transport. Gives back what to call once it has left. */
  queued(bytes: number): () => void {
    const copied = Math.min(bytes, this.limits.windowBytes);
    this.#queuedBytes += copied;
    let held = true;
    const release = (): void => {
      if (!held) return;
      held = false;
      stall.cancel();
      this.#queuedBytes -= copied;
      if (this.#count > 0) this.#schedule();
    };
    const stall = this.#options.timers.after(this.limits.stallMs, release);
    return release;
  }

  stop(): void {
    this.#turn?.cancel();
    this.#turn = undefined;
    this.#waiting.clear();
  }

  /** For the debug page. */
  state(): object {
    return {
      ratePerSecond: this.#options.ratePerSecond,
      waiting: this.#count,
      byTenant: Object.fromEntries([...this.#waiting].map(([name, { size }]) => [name, size])),
      queuedBytes: this.#queuedBytes,
      lagMs: this.#lagMs,
      limits: this.limits,
    };
  }

  #hasRoom(): boolean {
    const { ratePerSecond, clock } = this.#options;
    if (ratePerSecond > 0) return clock.monotonic() >= this.#nextMs;
    return this.#usedMs < this.limits.sliceMs && this.#queuedBytes < this.limits.queuedBytes;
  }

  #take(waitedMs: number): void {
    const { ratePerSecond, clock, onAdmitted } = this.#options;
    if (ratePerSecond > 0) {
      this.#nextMs = Math.max(this.#nextMs, clock.monotonic()) + 1_000 / ratePerSecond;
    }
    onAdmitted?.(waitedMs);
  }

  #counted(by: number): void {
    this.#count += by;
    this.#options.onWaiting?.(this.#count);
  }

  /** A new turn, a new slice. */
  #turnEnds(): void {
    if (this.#turn !== undefined) return;
    this.#dueMs = this.#options.clock.monotonic();
    this.#turn = this.#options.timers.soon(() => this.#run());
  }

  #schedule(): void {
    const { ratePerSecond, clock } = this.#options;
    if (ratePerSecond === 0) return this.#turnEnds();
    if (this.#turn === undefined) this.#after(Math.max(0, this.#nextMs - clock.monotonic()));
    return undefined;
  }

  #after(delayMs: number): void {
    this.#turn?.cancel();
    this.#dueMs = this.#options.clock.monotonic() + delayMs;
    this.#turn = this.#options.timers.after(delayMs, () => this.#run());
  }

  #run(): void {
    this.#turn = undefined;
    this.#usedMs = 0;
    this.#lagMs = Math.max(0, this.#options.clock.monotonic() - this.#dueMs);
    const late = this.#options.ratePerSecond === 0 && this.#lagMs > this.limits.lagMs;
    while (this.#count > 0 && this.#hasRoom()) {
      this.#admitNext();
      if (late) break;
    }
    if (this.#count === 0) return;
    if (late) this.#after(Math.min(maxRestMs, this.#lagMs));
    // Bytes that leave, or are not read for too long, make room.
    else if (this.#options.ratePerSecond > 0 || this.#queuedBytes < this.limits.queuedBytes) {
      this.#schedule();
    }
  }

  #admitNext(): void {
    for (const [tenant, ofTenant] of this.#waiting) {
      for (const [who, sinceMs] of ofTenant) {
        ofTenant.delete(who);
        // Behind the other tenants, unless none of it waits.
        this.#waiting.delete(tenant);
        if (ofTenant.size > 0) this.#waiting.set(tenant, ofTenant);
        this.#counted(-1);
        this.#take(this.#options.clock.monotonic() - sinceMs);
        who.admitted();
        return;
      }
    }
  }
}
