import type { Digest } from '@watershed/blob/port.ts';
import type { Append, Log } from '@watershed/log/port.ts';
import { within } from '@watershed/log/time.ts';
import { Feedback, type Pusher, type ScopeClass } from '@watershed/model/gen/record.ts';
import { partitionOf, topics } from '@watershed/model/keys.ts';
import type { Time, Timer } from '@watershed/runtime/clock.ts';
import type { Refusal } from './push/nack-tally.ts';
import { setNewest } from './set-newest.ts';

export interface FeedbackOptions {
  readonly log: Log;
  readonly time: Time;
  /** This pusher's name; unique among pushers. */
  readonly name: string;
  /** Of the topic `feedback`. Default 1. */
  readonly partitions?: number | undefined;
  /** How long a demand holds without being repeated. Default 60 s; repeated in a third of it. */
  readonly demandMs?: number;
}

export interface NackReport extends Refusal {
  /** The last one. */
  readonly proxy: string;
  readonly message: string;
  /** See `Nack`. */
  readonly proxies: readonly string[];
}

/** What waits to be told, at most; more replaces what waits longest. */
const maxPending = 10_000;
const retryMs = 1_000;
/** A log that is away must not hold up the end. */
const lastWordMs = 2_000;

type Report = Feedback['report'];

/**
 * Tells upstream, by the topic `feedback`, what this pusher needs and what became of what it sent.
 * A demand is repeated while it is true, and expires; the rest is told once. Keys: `d|pusher|scope`
 * (demands), `b|pusher|digest` (missing blobs), `n|pusher|scope|proxy version|type|resource`
 * (NACKs), `p|pusher` (that it is there), names percent-encoded.
 */
export class FeedbackWriter {
  readonly #options: FeedbackOptions;
  readonly #demands = new Map<string, ScopeClass>();
  /** By key: the newest report, `undefined`: a tombstone. */
  readonly #pending = new Map<string, { readonly scope: string; readonly report: Report }>();
  #repeat: Timer | undefined;
  #flush: Timer | undefined;
  #writing = false;
  #stopped = false;

  constructor(options: FeedbackOptions) {
    this.#options = options;
  }

  get demands(): ReadonlyMap<string, ScopeClass> {
    return this.#demands;
  }

  demand(scope: string, scopeClass: ScopeClass): void {
    if (this.#demands.has(scope)) return;
    this.#demands.set(scope, scopeClass);
    this.#put(this.#key('d', scope), scope, this.#demandOf(scope, scopeClass));
    this.#repeat ??= this.#options.time.after(this.#demandMs / 3, () => this.#repeatAll());
  }

  undemand(scope: string): void {
    if (this.#demands.delete(scope)) this.#put(this.#key('d', scope), scope, undefined);
  }

  missing(digests: readonly Digest[]): void {
    for (const digest of digests) {
      const value = { digests: [Buffer.from(digest, 'hex')] };
      this.#put(this.#key('b', digest), '', { $case: 'missing', value });
    }
  }

  /** The blob is there: who asks for it no more must not keep its owner busy. */
  found(digests: readonly Digest[]): void {
    for (const digest of digests) this.#put(this.#key('b', digest), '', undefined);
  }

  nack(report: NackReport): void {
    const { scope, proxies } = report;
    const value = { ...report, version: Buffer.from(report.version), proxies: [...proxies] };
    this.#put(nackKey(this.#options.name, report), scope, { $case: 'nack', value });
  }

  /** That this pusher is there; `undefined`: it leaves. */
  member(value: Pusher | undefined): void {
    this.#put(this.#key('p'), '', value && { $case: 'pusher', value });
  }

  /** What this pusher told of a refusal, or another that is gone. */
  takeBack(pusher: string, refusal: Refusal): void {
    this.#put(nackKey(pusher, refusal), refusal.scope, undefined);
  }

  /**
   * Takes back all demands; resolves when that is written, or cannot be by then. Who hears nothing
   * of it waits until they expire.
   */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#repeat?.cancel();
    this.#flush?.cancel();
    for (const scope of this.#demands.keys()) {
      this.#pending.set(this.#key('d', scope), { scope, report: undefined });
    }
    this.#demands.clear();
    const written = this.#write().catch(() => undefined);
    await within(this.#options.time, lastWordMs, written);
  }

  get #demandMs(): number {
    return this.#options.demandMs ?? 60_000;
  }

  #demandOf(scope: string, scopeClass: ScopeClass): Report {
    const expiresMs = this.#options.time.now() + this.#demandMs;
    return { $case: 'demand', value: { scope, scopeClass, expiresMs } };
  }

  #repeatAll(): void {
    this.#repeat = undefined;
    if (this.#stopped || this.#demands.size === 0) return;
    for (const [scope, scopeClass] of this.#demands) {
      this.#put(this.#key('d', scope), scope, this.#demandOf(scope, scopeClass));
    }
    this.#repeat = this.#options.time.after(this.#demandMs / 3, () => this.#repeatAll());
  }

  #key(kind: string, ...parts: readonly string[]): string {
    return keyOf(kind, this.#options.name, ...parts);
  }

  #put(key: string, scope: string, report: Report): void {
    setNewest(this.#pending, key, { scope, report }, maxPending);
    if (!this.#stopped) this.#flush ??= this.#options.time.soon(() => void this.#run());
  }

  async #run(): Promise<void> {
    this.#flush = undefined;
    if (this.#writing) return;
    try {
      await this.#write();
    } catch {
      if (!this.#stopped) this.#flush ??= this.#options.time.after(retryMs, () => void this.#run());
    }
  }

  async #write(): Promise<void> {
    const { log, partitions = 1 } = this.#options;
    while (this.#pending.size > 0) {
      const taken = [...this.#pending];
      this.#pending.clear();
      this.#writing = true;
      try {
        await log.append(
          taken.map(([key, { scope, report }]): Append => ({
            topic: topics.feedback,
            partition: partitionOf(scope, partitions),
            key,
            value: report === undefined ? undefined : Feedback.encode({ report }).finish(),
          })),
        );
      } catch (error) {
        // What is newer stays.
        for (const [key, one] of taken) if (!this.#pending.has(key)) this.#pending.set(key, one);
        throw error;
      } finally {
        this.#writing = false;
      }
    }
  }
}

function nackKey(pusher: string, { scope, proxyVersion, typeUrl, resource }: Refusal): string {
  return keyOf('n', pusher, scope, proxyVersion, typeUrl, resource);
}

function keyOf(kind: string, ...parts: readonly string[]): string {
  return [kind, ...parts.map(encodeURIComponent)].join('|');
}
