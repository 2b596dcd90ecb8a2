import { BlobsAwayError, type BlobStore, type Digest } from '@watershed/blob/port.ts';
import type { Timer, Timers } from '@watershed/runtime/clock.ts';
import type { Outage } from '@watershed/runtime/outage.ts';
import { traced, type Tracing } from '@watershed/runtime/tracing.ts';
import type { SharedEntry } from './shared-entry.ts';

export interface BlobLoaderOptions {
  readonly blobs: Pick<BlobStore, 'get'>;
  readonly timers: Timers;
  readonly tracing: Tracing;
  /** Digests that the store does not have; told at each try. */
  readonly onMissing: (digests: readonly Digest[]) => void;
  /** Is told where the store is there and fails. */
  readonly outage?: Pick<Outage, 'failed' | 'worked'>;
  /** Between two tries. Default 250 ms, doubling up to 5 s. */
  readonly retryMs?: number;
}

/** Of one request to the store. */
const maxBatch = 500;
const maxRetryMs = 5_000;

/** Who waits for bytes. */
export interface Waiter {
  /** They are there. */
  loaded(): void;
  /** What nobody waits for any more is not asked for again: its owner may make it no more. */
  waits(): boolean;
}

interface Wanted {
  readonly waiters: Set<Waiter>;
  /** Of the change that wants it first. */
  readonly trace: string | undefined;
  /** The store had it not, or did not answer: the next regular try asks again. */
  missed: boolean;
}

/**
 * Fetches blobs and keeps what is in use, once per digest: a fragment that several resources share
 * is one array. Asks again for what is missing as long as somebody wants it; it never fails.
 */
export class BlobLoader {
  readonly #options: BlobLoaderOptions;
  readonly #held = new Map<Digest, WeakRef<Uint8Array>>();
  #sweepAt = 4_096;
  /** Held strongly until all of an entry's parts have arrived. */
  #recent: Uint8Array[] = [];
  readonly #wanted = new Map<Digest, Wanted>();
  #scheduled = false;
  #retry: Timer | undefined;
  #retryMs: number;
  #busy = false;
  #closed = false;

  constructor(options: BlobLoaderOptions) {
    this.#options = options;
    this.#retryMs = options.retryMs ?? 250;
  }

  /** How many digests are waited for. */
  get pending(): number {
    return this.#wanted.size;
  }

  /**
   * Gives an entry its bytes: at once if they are all there, else later, and the waiter is told.
   * `false`: later.
   */
  load(entry: SharedEntry, waiter: Waiter, trace?: string): boolean {
    if (entry.loaded || this.#fill(entry)) return true;
    const want = (): void => {
      for (const digest of entry.digests) {
        if (this.#get(digest) === undefined) this.#want(digest, each, trace);
      }
    };
    const each: Waiter = {
      loaded: () => {
        if (this.#fill(entry)) waiter.loaded();
        else if (waiter.waits()) want();
      },
      waits: () => waiter.waits(),
    };
    want();
    return false;
  }

  /** The bytes of one digest; the waiter is told when they are there, if they are not yet. */
  fetch(digest: Digest, waiter: Waiter, trace?: string): Uint8Array | undefined {
    const bytes = this.#get(digest);
    if (bytes === undefined) this.#want(digest, waiter, trace);
    return bytes;
  }

  close(): void {
    this.#closed = true;
    this.#retry?.cancel();
    this.#wanted.clear();
  }

  #fill(entry: SharedEntry): boolean {
    const fragments: Uint8Array[] = [];
    for (const digest of entry.digests) {
      const bytes = this.#get(digest);
      if (bytes === undefined) return false;
      fragments.push(bytes);
    }
    entry.load(fragments);
    return true;
  }

  #get(digest: Digest): Uint8Array | undefined {
    return this.#held.get(digest)?.deref();
  }

  #want(digest: Digest, waiter: Waiter, trace: string | undefined): void {
    const wanted = this.#wanted.get(digest);
    if (wanted === undefined) {
      this.#wanted.set(digest, { waiters: new Set([waiter]), trace, missed: false });
    } else wanted.waiters.add(waiter);
    if (this.#scheduled || this.#busy || this.#closed) return;
    this.#scheduled = true;
    // All that one change needs becomes one request.
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#start(false);
    });
  }

  /** Fetches what is new; what was missed waits for its time, however much else comes. */
  #start(again: boolean): void {
    if (this.#busy || this.#closed) return;
    this.#busy = true;
    void this.#run().then((complete) => {
      this.#busy = false;
      this.#recent = [];
      const firstMs = this.#options.retryMs ?? 250;
      // What was missed just now is tried soon; what was missed again, later and later.
      if (this.#wanted.size === 0 || (!complete && !again && this.#retryMs > firstMs)) {
        this.#retryMs = firstMs;
        this.#retry?.cancel();
        this.#retry = undefined;
      }
      if (this.#wanted.size === 0 || this.#closed || this.#retry !== undefined) return;
      this.#retry = this.#options.timers.after(this.#retryMs, () => this.#again());
    });
  }

  #again(): void {
    this.#retry = undefined;
    this.#retryMs = Math.min(maxRetryMs, 2 * this.#retryMs);
    for (const [digest, wanted] of this.#wanted) {
      wanted.missed = false;
      for (const waiter of wanted.waiters) if (!waiter.waits()) wanted.waiters.delete(waiter);
      if (wanted.waiters.size === 0) this.#wanted.delete(digest);
    }
    this.#start(true);
  }

  /** `true`: all that is new is there. */
  async #run(): Promise<boolean> {
    const missing: Digest[] = [];
    for (;;) {
      const digests = this.#next();
      if (digests.length === 0) break;
      try {
        const found = await this.#read(digests);
        this.#options.outage?.worked();
        missing.push(...this.#take(digests, found));
      } catch (error) {
        for (const wanted of this.#wanted.values()) wanted.missed = true;
        if (!(error instanceof BlobsAwayError)) this.#options.outage?.failed(error);
        return false;
      }
    }
    if (missing.length > 0) this.#options.onMissing(missing);
    return missing.length === 0;
  }

  #read(digests: readonly Digest[]): Promise<readonly (Uint8Array | undefined)[]> {
    const traces = new Set(digests.map((digest) => this.#wanted.get(digest)?.trace));
    const [parent, ...links] = [...traces].filter((trace) => trace !== undefined);
    const attributes = { 'watershed.blobs': digests.length };
    return traced(this.#options.tracing, 'blob.get', { parent, links, attributes }, () =>
      this.#options.blobs.get(digests),
    );
  }

  #next(): readonly Digest[] {
    const next: Digest[] = [];
    for (const [digest, { missed }] of this.#wanted) {
      if (!missed) next.push(digest);
      if (next.length === maxBatch) break;
    }
    return next;
  }

  #take(digests: readonly Digest[], found: readonly (Uint8Array | undefined)[]): Digest[] {
    const missing: Digest[] = [];
    const waiters = new Set<Waiter>();
    for (const [index, digest] of digests.entries()) {
      const bytes = found[index];
      if (bytes === undefined) {
        missing.push(digest);
        const wanted = this.#wanted.get(digest);
        if (wanted !== undefined) wanted.missed = true;
        continue;
      }
      this.#recent.push(bytes);
      this.#hold(digest, bytes);
      for (const waiter of this.#wanted.get(digest)?.waiters ?? []) waiters.add(waiter);
      this.#wanted.delete(digest);
    }
    for (const waiter of waiters) waiter.loaded();
    return missing;
  }

  #hold(digest: Digest, bytes: Uint8Array): void {
    if (this.#held.size >= this.#sweepAt) {
      for (const [other, ref] of this.#held) {
        if (ref.deref() === undefined) this.#held.delete(other);
      }
      this.#sweepAt = Math.max(4_096, 2 * this.#held.size);
    }
    this.#held.set(digest, new WeakRef(bytes));
  }
}
