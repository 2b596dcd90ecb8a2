/**
 * Finds what was made of equal sets before, whatever their order: a thousand proxies that subscribe
 * to the same thousand resources each name them in an order of their own (Envoy's lists come from
 * hash tables), and must yet share all that is computed from them.
 */
export class KnownSets<T extends object> {
  readonly #bytesOf: (made: T) => number;
  readonly #maxBytes: number;
  /** By digest; as long as somebody uses them. */
  readonly #all = new Map<string, WeakRef<T>>();
  #sweepAt = 1_024;
  /** Kept though nobody uses them now; those not used for longest go. */
  readonly #kept = new Map<string, T>();
  #bytes = 0;

  /** `maxBytes`: of all sets together that are kept. Default 16 MiB: 50,000 names or more. */
  constructor(bytesOf: (made: T) => number, maxBytes = 16 * 1024 * 1024) {
    this.#bytesOf = bytesOf;
    this.#maxBytes = maxBytes;
  }

  /** `make`: called for a set that is not known. */
  get(digest: string, make: () => T): T {
    const kept = this.#kept.get(digest);
    const made = kept ?? this.#all.get(digest)?.deref() ?? this.#add(digest, make());
    const bytes = this.#bytesOf(made);
    if (bytes > this.#maxBytes) return made;
    if (kept !== undefined) this.#kept.delete(digest);
    else this.#bytes += bytes;
    this.#kept.set(digest, made);
    for (const [oldest, its] of this.#kept) {
      if (this.#bytes <= this.#maxBytes) break;
      this.#kept.delete(oldest);
      this.#bytes -= this.#bytesOf(its);
    }
    return made;
  }

  #add(digest: string, made: T): T {
    if (this.#all.size >= this.#sweepAt) this.#sweep();
    this.#all.set(digest, new WeakRef(made));
    return made;
  }

  #sweep(): void {
    for (const [digest, ref] of this.#all) if (ref.deref() === undefined) this.#all.delete(digest);
    this.#sweepAt = Math.max(1_024, 2 * this.#all.size);
  }
}
