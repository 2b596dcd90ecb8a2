/** Which pushers there are, and what they can read; they tell it by `feedback`. */
interface Pusher {
  readonly readsInlined: boolean;
  /** Milliseconds since the Unix epoch. */
  readonly expiresMs: number;
}

export class Pushers {
  /** By their records' keys. */
  readonly #known = new Map<string, Pusher>();

  /** `undefined`: it has left. */
  set(record: string, pusher: Pusher | undefined): void {
    if (pusher === undefined) this.#known.delete(record);
    else this.#known.set(record, pusher);
  }

  /**
   * Whether some pusher looks for what is inlined in the blob store: one of an earlier version, or
   * whoever has not told yet. One that comes later asks for what it misses.
   */
  storesInlined(nowMs: number): boolean {
    let known = false;
    for (const [record, { readsInlined, expiresMs }] of this.#known) {
      if (expiresMs <= nowMs) this.#known.delete(record);
      else if (!readsInlined) return true;
      else known = true;
    }
    return !known;
  }
}
