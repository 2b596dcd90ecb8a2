/** What fails, how often, and how often it did. */
import type { BlobNetwork } from './blobs.ts';
import type { Fate, LogNetwork } from './log/log.ts';
import type { CallNetwork } from './network.ts';
import type { Random } from './random.ts';

export class Faults {
  /** How often each was hit. */
  readonly hits = new Map<string, number>();
  readonly #random: Random;
  #on: boolean;
  /** Who cannot reach the log, and who not the blob store. */
  readonly #cutOff = { log: new Set<string>(), blobs: new Set<string>() };
  #logDown = false;

  constructor(random: Random, on: boolean) {
    this.#random = random;
    this.#on = on;
  }

  hit(what: string): void {
    this.hits.set(what, (this.hits.get(what) ?? 0) + 1);
  }

  /** From now on nothing fails, or something may again. */
  set(on: boolean): void {
    this.#on = on;
    if (on) return;
    this.#logDown = false;
    this.#cutOff.log.clear();
    this.#cutOff.blobs.clear();
  }

  delayMs(from: number, to: number): number {
    return this.#random.spread(from, to);
  }

  setLogDown(down: boolean): void {
    this.#logDown = down;
  }

  cutOff(from: 'log' | 'blobs', name: string, off: boolean): void {
    if (off) this.#cutOff[from].add(name);
    else this.#cutOff[from].delete(name);
  }

  log(name: string): LogNetwork {
    return {
      down: () => this.#logDown || this.#cutOff.log.has(name),
      latencyMs: () => this.#latencyMs('the log is slow', 3_000),
      fate: () => this.#fate(),
      breaks: () => this.#happens(0.005, 'a reading breaks'),
      lateMs: () => this.#random.spread(10, 10_000),
      maxRecords: () => (this.#on ? 1 + this.#random.below(30) : 1_000),
    };
  }

  blobs(name: string): BlobNetwork {
    return {
      latencyMs: () => this.#latencyMs('the blob store is slow', 5_000),
      fails: () => this.#cutOff.blobs.has(name) || this.#happens(0.02, 'a blob call fails'),
    };
  }

  calls(): CallNetwork {
    return {
      latencyMs: () => this.#latencyMs('a message is slow', 2_000),
      blockedMs: () => (this.#happens(0.05, 'a client reads slowly') ? this.delayMs(1, 3_000) : 0),
    };
  }

  /** Of a client, for one response. */
  thinkMs(): number {
    return this.#latencyMs('a client is slow', 3_000);
  }

  #latencyMs(what: string, mostMs: number): number {
    if (!this.#on) return 1;
    if (this.#happens(0.02, what)) return this.#random.spread(50, mostMs);
    return this.#random.spread(0.1, 10);
  }

  #happens(probability: number, what: string): boolean {
    if (!this.#on || !this.#random.chance(probability)) return false;
    this.hit(what);
    return true;
  }

  #fate(): Fate {
    if (!this.#on || !this.#random.chance(0.04)) return 'taken';
    const fate = this.#random.pick(['refused', 'lost', 'late', 'twice', 'part'] as const);
    this.hit(`an append is ${fate}`);
    return fate;
  }
}
