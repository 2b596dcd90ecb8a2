import { free } from '../growing.ts';

/** Of the memory for parts that are smaller. */
const leastBytes = 4_096;

/** Bytes that nobody reads yet: as much memory as came, in the parts in which they came. */
export class Held {
  readonly #parts: Buffer[] = [];
  /** Of the last, what is free. */
  #room = 0;

  /** A copy. */
  append(bytes: Buffer): void {
    const last = this.#parts.at(-1);
    const fits = last === undefined ? 0 : bytes.copy(last, last.length - this.#room);
    this.#room -= fits;
    const rest = bytes.length - fits;
    if (rest === 0) return;
    const part = Buffer.allocUnsafeSlow(Math.max(rest, leastBytes));
    bytes.copy(part, 0, fits);
    this.#parts.push(part);
    this.#room = part.length - rest;
  }

  /** Hands on what there is, while `wanted`; gives whether that was all. */
  handOn(take: (bytes: Buffer) => void, wanted: () => boolean): boolean {
    for (let part = this.#parts[0]; part !== undefined; part = this.#parts[0]) {
      if (!wanted()) return false;
      this.#parts.shift();
      const room = this.#parts.length === 0 ? this.#room : 0;
      this.#room -= room;
      take(part.subarray(0, part.length - room));
      free(part);
    }
    return true;
  }
}
