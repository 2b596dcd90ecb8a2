/** Epochs at which partitions stood, and those at which all of them did. */

/** Of one partition, beyond what all have passed. Of a longer history the newest are kept. */
const maxTold = 1_024;

export class Watermarks {
  /** By partition, ascending: what it has told since the last cut, and at it. */
  readonly #told: readonly Set<number>[];
  readonly #newest: number[];

  constructor(partitions: number) {
    this.#told = Array.from({ length: partitions }, () => new Set([0]));
    this.#newest = this.#told.map(() => 0);
  }

  get newest(): readonly number[] {
    return this.#newest;
  }

  /** Gives whether that is new. */
  tell(partition: number, epoch: number): boolean {
    const told = this.#told[partition];
    const before = this.#newest[partition];
    if (told === undefined || before === undefined || epoch === before) return false;
    // `config` was put back to an older copy: what was told is of another history.
    if (epoch < before) told.clear();
    told.add(epoch);
    this.#newest[partition] = epoch;
    const [oldest] = told;
    if (told.size > maxTold && oldest !== undefined) told.delete(oldest);
    return true;
  }

  /** The newest epoch at which every partition stood, between two passes; 0: none is known. */
  get common(): number {
    const [fewest = new Set<number>()] = this.#told.toSorted((a, b) => a.size - b.size);
    const isCommon = (epoch: number): boolean => this.#told.every((told) => told.has(epoch));
    return [...fewest].findLast(isCommon) ?? 0;
  }

  /** A cut was made there: nothing before it is asked for any more. */
  passed(epoch: number): void {
    for (const told of this.#told) {
      for (const one of told) {
        if (one >= epoch) break;
        told.delete(one);
      }
    }
  }
}
