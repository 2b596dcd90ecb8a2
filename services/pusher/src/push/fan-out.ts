import type { Clock, Timer, Timers } from '@watershed/runtime/clock.ts';

/** In which order waiting pushes are served. */
export const lanes = ['secrets', 'endpoints', 'removals', 'config'] as const;
export type Lane = (typeof lanes)[number];

export interface FanOutOptions<Target> {
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly timers: Timers;
  /** Streams that are served before others get a turn of the event loop. */
  readonly chunk: number;
  /** `waitedMs`: since the push was asked for. */
  readonly push: (target: Target, waitedMs: number) => void;
  /** Reads what `push` is about to read of a target. The number says nothing. */
  readonly look: (target: Target) => number;
}

interface Waiting<Target> {
  readonly target: Target;
  readonly sinceMs: number;
}

/** What is to be done for one scope. */
class Job<Target> {
  lane: Lane;
  /** Single streams, in the order in which they came; since when they wait. */
  readonly #some = new Map<Target, number>();
  /** All of them, as far as they were not served yet. */
  #walk: Iterator<Target> | undefined;
  #walkSinceMs = 0;
  #isBegun = false;
  /** Something new came in the midst of the walk: those that were served get it in another one. */
  #again: { readonly all: Iterable<Target>; readonly sinceMs: number } | undefined;

  constructor(lane: Lane) {
    this.lane = lane;
  }

  addSome(targets: Iterable<Target>, nowMs: number): void {
    // Who waits already keeps its place.
    for (const target of targets) if (!this.#some.has(target)) this.#some.set(target, nowMs);
  }

  addAll(all: Iterable<Target>, nowMs: number): void {
    if (this.#isBegun) {
      this.#again ??= { all, sinceMs: nowMs };
      return;
    }
    if (this.#walk === undefined) this.#walkSinceMs = nowMs;
    this.#walk = all[Symbol.iterator]();
  }

  /** The next ones, up to `most`; fewer: these are the last. */
  take(most: number): readonly Waiting<Target>[] {
    const taken: Waiting<Target>[] = [];
    while (taken.length < most) {
      const next = this.#next();
      if (next === undefined) break;
      taken.push(next);
    }
    return taken;
  }

  #next(): Waiting<Target> | undefined {
    for (const [target, sinceMs] of this.#some) {
      this.#some.delete(target);
      return { target, sinceMs };
    }
    while (this.#walk !== undefined) {
      const next = this.#walk.next();
      this.#isBegun = next.done !== true;
      if (next.done !== true) return { target: next.value, sinceMs: this.#walkSinceMs };
      const again = this.#again;
      this.#walk = again?.all[Symbol.iterator]();
      this.#walkSinceMs = again?.sinceMs ?? 0;
      this.#again = undefined;
    }
    return undefined;
  }
}

/** Streams of one namespace that are served in a row. */
const share = 32;

/**
 * Walks the streams of scopes that have a new view, in chunks: a push to 10,000 streams must not
 * hold up the ACKs and requests of others. Urgent lanes go first; within a lane, namespaces take
 * turns. A stream whose scope gets another view while it waits is served once, with the newest; and
 * however fast views come, the walk goes on where it is, so that each stream has its turn.
 */
export class FanOut<Target> {
  readonly #options: FanOutOptions<Target>;
  /** By lane: the namespaces in turn, each with its scopes' jobs. */
  readonly #queues: ReadonlyMap<Lane, Map<string, Map<string, Job<Target>>>>;
  #turn: Timer | undefined;
  #seen = 0;

  constructor(options: FanOutOptions<Target>) {
    this.#options = options;
    this.#queues = new Map(
      lanes.map((lane) => [lane, new Map<string, Map<string, Job<Target>>>()]),
    );
  }

  /** All that `look` gave: a read that nobody uses is left out. */
  get seen(): number {
    return this.#seen;
  }

  get waiting(): number {
    let count = 0;
    for (const byTenant of this.#queues.values()) {
      for (const jobs of byTenant.values()) count += jobs.size;
    }
    return count;
  }

  /**
   * `targets` are all streams of the scope; those of them that end meanwhile are the caller's
   * concern.
   */
  add(scope: string, tenant: string, lane: Lane, targets: Iterable<Target>): void {
    this.#job(scope, tenant, lane).addAll(targets, this.#options.clock.monotonic());
  }

  /** As `add`, where the change concerns these streams of the scope alone. */
  addSome(scope: string, tenant: string, lane: Lane, targets: Iterable<Target>): void {
    this.#job(scope, tenant, lane).addSome(targets, this.#options.clock.monotonic());
  }

  /** The scope's job, in the more urgent one of its lane and this. */
  #job(scope: string, tenant: string, lane: Lane): Job<Target> {
    this.#turn ??= this.#options.timers.soon(() => this.#run());
    let job: Job<Target> | undefined;
    for (const other of lanes) {
      const known = this.#queues.get(other)?.get(tenant)?.get(scope);
      if (known === undefined) continue;
      if (lanes.indexOf(other) <= lanes.indexOf(lane)) return known;
      this.#queues.get(other)?.get(tenant)?.delete(scope);
      job = known;
    }
    job ??= new Job(lane);
    job.lane = lane;
    const byTenant = this.#queues.get(lane);
    const jobs = byTenant?.get(tenant) ?? new Map<string, Job<Target>>();
    jobs.set(scope, job);
    byTenant?.set(tenant, jobs);
    return job;
  }

  stop(): void {
    this.#turn?.cancel();
    this.#turn = undefined;
    for (const byTenant of this.#queues.values()) byTenant.clear();
  }

  #run(): void {
    this.#turn = undefined;
    let budget = this.#options.chunk;
    for (const byTenant of this.#queues.values()) {
      while (byTenant.size > 0 && budget > 0) {
        const [first] = byTenant;
        if (first === undefined) break;
        const [tenant, jobs] = first;
        budget -= this.#serve(jobs, Math.min(share, budget));
        // Behind the others, unless it is done.
        byTenant.delete(tenant);
        if (jobs.size > 0) byTenant.set(tenant, jobs);
      }
    }
    if (this.waiting > 0) this.#turn ??= this.#options.timers.soon(() => this.#run());
  }

  /**
   * Serves up to `budget` streams; gives how many it were, and at least 1 for having looked. Of
   * thousands of streams nothing is in the processor's caches, and a push follows one pointer after
   * the other. So all are looked at first: what one needs does not wait for what another needs.
   */
  #serve(jobs: Map<string, Job<Target>>, budget: number): number {
    const { look, push } = this.#options;
    let served = 0;
    const nowMs = this.#options.clock.monotonic();
    for (const [scope, job] of jobs) {
      const most = budget - served;
      const taken = job.take(most);
      if (taken.length < most) jobs.delete(scope);
      for (const { target } of taken) this.#seen += look(target);
      for (const { target, sinceMs } of taken) push(target, nowMs - sinceMs);
      served += taken.length;
      if (served >= budget) break;
    }
    return Math.max(1, served);
  }
}
