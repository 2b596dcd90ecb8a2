/** What is done to the shard between passes: partitions come and go then, never within one. */
export class Handovers<S> {
  #waiting: { readonly work: (shard: S) => void; readonly done: () => void }[] = [];

  /** Resolves when it was done. */
  add(work: (shard: S) => void): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ work, done: resolve });
    return promise;
  }

  run(shard: S): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { work, done } of waiting) {
      work(shard);
      done();
    }
  }
}
