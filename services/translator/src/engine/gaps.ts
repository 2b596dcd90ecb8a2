/**
 * What compaction took away. A record that is missing was superseded by a later one of its key. Who
 * had read it holds its value until there; who comes after the compaction holds none, or an older
 * one. So between a gap and the end of the log the two hold different things at the same position:
 * a cut there would have a route of the one and lack its cluster, which the other makes.
 */
import type { ReadBatch } from '@watershed/log/port.ts';

export class Gaps {
  #next: number | undefined;
  #isOpen = false;

  /**
   * Takes note of a batch; they must come in order. Gives whether, behind it, a superseding record
   * may still be to come.
   */
  see({ records, position, caughtUp, reset }: ReadBatch): boolean {
    // All that is read again is waited for anyway.
    if (reset !== undefined) this.#next = undefined;
    for (const { offset } of records) this.#expect(offset, offset + 1);
    this.#expect(position.offset, position.offset);
    if (caughtUp) this.#isOpen = false;
    return this.#isOpen;
  }

  #expect(offset: number, next: number): void {
    if (this.#next !== undefined && offset > this.#next) this.#isOpen = true;
    this.#next = next;
  }
}
