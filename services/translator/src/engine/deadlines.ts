/** Things that are to happen to keys at a time, unless called off. */
export class Deadlines<K> {
  readonly #dueMs = new Map<K, number>();

  set(key: K, dueMs: number): void {
    this.#dueMs.set(key, dueMs);
  }

  delete(key: K): void {
    this.#dueMs.delete(key);
  }

  /** When the next one is due. */
  next(): number | undefined {
    let next: number | undefined;
    for (const dueMs of this.#dueMs.values()) {
      if (next === undefined || dueMs < next) next = dueMs;
    }
    return next;
  }

  /** Takes out all that are due, in the order in which they were set. */
  take(nowMs: number): readonly K[] {
    const due: K[] = [];
    for (const [key, dueMs] of this.#dueMs) if (dueMs <= nowMs) due.push(key);
    for (const key of due) this.#dueMs.delete(key);
    return due;
  }
}
