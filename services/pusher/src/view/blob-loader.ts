import type { BlobStore, Digest } from '@watershed/blob/port.ts';
import type { Timer, Timers } from '@watershed/runtime/clock.ts';
import { traced, type Tracing } from '@watershed/runtime/tracing.ts';
import type { SharedEntry } from './shared-entry.ts';

export interface BlobLoaderOptions {
  readonly blobs: Pick<BlobStore, 'get'>;
  readonly timers: Timers;
  readonly tracing: Tracing;
  /** Digests that the store does not have; told at each try. */
  readonly onMissing: (digests: readonly Digest[]) => void;
  readonly onError: (error: unknown) => void;
  /** Between two tries. Default 250 ms, doubling up to 5 s. */
  readonly retryMs?: number;
}

/** Of one request to the store. */
const maxBatch = 500;
const maxRetryMs = 5_000;

type Listener = () => void;

interface Wanted {
  readonly listeners: Set<Listener>;
  /** Of the change that wants it first. */
  readonly trace: string | undefined;
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
   * Gives an entry its bytes: at once if they are all there, else later, with a call of `loaded`.
   * `false`: later.
   */
  load(entry: SharedEntry, loaded: Listener, trace?: string): boolean {
    if (entry.loaded || this.#fill(entry)) return true;
    const want = (): void => {
      for (const digest of entry.digests) {
        if (this.#get(digest) === undefined) this.#want(digest, listener, trace);
      }
    };
    const listener: Listener = () => {
      if (this.#fill(entry)) loaded();
      else want();
    };
    want();
    return false;
  }

  /** The bytes of one digest; `loaded` is called when they are there, if they are not yet. */
  fetch(digest: Digest, loaded: Listener, trace?: string): Uint8Array | undefined {
    const bytes = this.#get(digest);
    if (bytes === undefined) this.#want(digest, loaded, trace);
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

  #want(digest: Digest, listener: Listener, trace: string | undefined): void {
    const wanted = this.#wanted.get(digest);
    if (wanted === undefined) {
      this.#wanted.set(digest, { listeners: new Set([listener]), trace });
    } else wanted.listeners.add(listener);
    if (this.#scheduled || this.#busy || this.#closed) return;
    this.#scheduled = true;
    // All that one change needs becomes one request.
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#start();
    });
  }

  #start(): void {
    if (this.#busy || this.#closed) return;
    this.#busy = true;
    this.#retry?.cancel();
    this.#retry = undefined;
    void this.#run().then((complete) => {
      this.#busy = false;
      this.#recent = [];
      if (complete) this.#retryMs = this.#options.retryMs ?? 250;
      if (this.#wanted.size === 0 || this.#closed) return;
      this.#retry = this.#options.timers.after(this.#retryMs, () => this.#start());
      this.#retryMs = Math.min(maxRetryMs, 2 * this.#retryMs);
    });
  }

  /** `true`: all that was wanted is there. */
  async #run(): Promise<boolean> {
    const tried = new Set<Digest>();
    const missing: Digest[] = [];
    for (;;) {
      const digests = [...this.#wanted.keys()].filter((d) => !tried.has(d)).slice(0, maxBatch);
      if (digests.length === 0) break;
      for (const digest of digests) tried.add(digest);
      try {
        const found = await this.#read(digests);
        missing.push(...this.#take(digests, found));
      } catch (error) {
        this.#options.onError(error);
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

  #take(digests: readonly Digest[], found: readonly (Uint8Array | undefined)[]): Digest[] {
    const missing: Digest[] = [];
    const listeners = new Set<Listener>();
    for (const [index, digest] of digests.entries()) {
      const bytes = found[index];
      if (bytes === undefined) {
        missing.push(digest);
        continue;
      }
      this.#recent.push(bytes);
      this.#hold(digest, bytes);
      for (const listener of this.#wanted.get(digest)?.listeners ?? []) listeners.add(listener);
      this.#wanted.delete(digest);
    }
    for (const listener of listeners) listener();
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
