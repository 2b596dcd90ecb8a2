/** Whether this process serves, and who wants to be told when that changes. */
export class ServingState {
  readonly #watchers = new Set<() => void>();
  #value = false;

  get value(): boolean {
    return this.#value;
  }

  set(value: boolean): void {
    if (value === this.#value) return;
    this.#value = value;
    for (const watcher of this.#watchers) watcher();
  }

  /** Gives back how to stop watching. */
  watch(changed: () => void): () => void {
    this.#watchers.add(changed);
    return () => void this.#watchers.delete(changed);
  }
}
