/** Whether this process serves, and who wants to be told when that changes. */
export class ServingState {
  readonly #watchers = new Set<() => void>();
  /** What is to end with it. */
  readonly #lasting = new Set<() => void>();
  #value = false;
  #stopped = false;

  get value(): boolean {
    return this.#value;
  }

  set(value: boolean): void {
    if (value === this.#value || this.#stopped) return;
    this.#value = value;
    for (const watcher of this.#watchers) watcher();
  }

  /** Gives back how to stop watching. */
  watch(changed: () => void): () => void {
    this.#watchers.add(changed);
    return () => void this.#watchers.delete(changed);
  }

  /** It will serve no more: whoever watches is told so, and then ended. */
  stop(): void {
    this.set(false);
    this.#stopped = true;
    for (const end of [...this.#lasting]) end();
  }

  /** Gives back how to forget `end`. */
  endWith(end: () => void): () => void {
    if (this.#stopped) end();
    else this.#lasting.add(end);
    return () => void this.#lasting.delete(end);
  }
}
