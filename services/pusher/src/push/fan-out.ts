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
}

interface Job<Target> {
  readonly scope: string;
  readonly lane: Lane;
  readonly targets: Iterator<Target>;
  readonly sinceMs: number;
}

/** Streams of one namespace that are served in a row. */
const share = 32;

/**
 * Walks the streams of scopes that have a new view, in chunks: a push to 10,000 streams must not
 * hold up the ACKs and requests of others. Urgent lanes go first; within a lane, namespaces take
 * turns. A scope that gets another view while it waits is served once, with the newest.
 */
export class FanOut<Target> {
  readonly #options: FanOutOptions<Target>;
  /** By lane: the namespaces in turn, each with its scopes' jobs. */
  readonly #queues: ReadonlyMap<Lane, Map<string, Map<string, Job<Target>>>>;
  #turn: Timer | undefined;

  constructor(options: FanOutOptions<Target>) {
    this.#options = options;
    this.#queues = new Map(
      lanes.map((lane) => [lane, new Map<string, Map<string, Job<Target>>>()]),
    );
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
    const now = this.#options.clock.monotonic();
    let sinceMs = now;
    let urgent = lane;
    for (const other of lanes) {
      const jobs = this.#queues.get(other)?.get(tenant);
      const known = jobs?.get(scope);
      if (known === undefined) continue;
      jobs?.delete(scope);
      if (lanes.indexOf(other) < lanes.indexOf(urgent)) urgent = other;
      sinceMs = Math.min(sinceMs, known.sinceMs);
    }
    const byTenant = this.#queues.get(urgent);
    const jobs = byTenant?.get(tenant) ?? new Map<string, Job<Target>>();
    jobs.set(scope, { scope, lane: urgent, targets: targets[Symbol.iterator](), sinceMs });
    byTenant?.set(tenant, jobs);
    this.#turn ??= this.#options.timers.soon(() => this.#run());
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

  /** Serves up to `budget` streams; gives how many it were, and at least 1 for having looked. */
  #serve(jobs: Map<string, Job<Target>>, budget: number): number {
    let served = 0;
    const nowMs = this.#options.clock.monotonic();
    for (const [scope, job] of jobs) {
      while (served < budget) {
        const next = job.targets.next();
        if (next.done === true) {
          jobs.delete(scope);
          break;
        }
        served++;
        this.#options.push(next.value, nowMs - job.sinceMs);
      }
      if (served >= budget) break;
    }
    return Math.max(1, served);
  }
}
