/**
 * Finds what was made of equal sets before, whatever their order: a thousand proxies that subscribe
 * to the same thousand resources each name them in an order of their own (Envoy's lists come from
 * hash tables), and must yet share all that is computed from them.
 */
export class KnownSets<T extends object> {
  readonly #maxMembers: number;
  /** By digest; as long as somebody uses them. */
  readonly #all = new Map<string, WeakRef<T>>();
  #sweepAt = 1_024;
  /** Kept though nobody uses them now; those not used for longest go. */
  readonly #kept = new Map<string, { readonly made: T; readonly members: number }>();
  #members = 0;

  /** `maxMembers`: of all sets together that are kept. Default 50,000. */
  constructor(maxMembers = 50_000) {
    this.#maxMembers = maxMembers;
  }

  /** `make`: called for a set that is not known. */
  get(digest: string, members: number, make: () => T): T {
    const kept = this.#kept.get(digest);
    const made = kept?.made ?? this.#all.get(digest)?.deref() ?? this.#add(digest, make());
    if (members > this.#maxMembers) return made;
    if (kept !== undefined) this.#kept.delete(digest);
    else this.#members += members;
    this.#kept.set(digest, { made, members });
    for (const [oldest, { members: its }] of this.#kept) {
      if (this.#members <= this.#maxMembers) break;
      this.#kept.delete(oldest);
      this.#members -= its;
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
