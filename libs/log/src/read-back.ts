import type { OwnedPartitionOptions } from './owned-options.ts';
import { LogError } from './port.ts';
import { Notice, pause } from './time.ts';

/** After so many retries' time the log is asked whether it still has what was not read back. */
const patienceRetries = 4;

/**
 * Whether the log still has what an owner has appended. A log that lost its tail may end just where
 * the owner's reader stands: then no reset tells that what it was to read next is gone.
 *
 * The newest one speaks for all: a tail is lost from its end. (One that was compacted away under a
 * newer record of its key counts as gone when that is not read back: the owner opens once more.)
 */
export class ReadBack {
  readonly #o: OwnedPartitionOptions;
  readonly #gone: (offset: number) => void;
  readonly #signal: AbortSignal;
  /** The newest offset that the log has acknowledged; -1: none. */
  #acknowledged = -1;
  /** Of the owner's records the newest that was read; -1: none. */
  #read = -1;
  #position = 0;
  readonly #news = new Notice();
  #asking = false;

  /** `gone` is told the offset. `signal`: nothing is asked any more. */
  constructor(o: OwnedPartitionOptions, gone: (offset: number) => void, signal: AbortSignal) {
    this.#o = o;
    this.#gone = gone;
    this.#signal = signal;
    // The log may never say where it ends.
    signal.addEventListener('abort', () => this.#news.tell(), { once: true });
  }

  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** Takes an append's offsets; `before`: what was acknowledged when it was called. */
  acknowledge(offsets: readonly number[], before: number): void {
    const [first, last] = [offsets[0], offsets.at(-1)];
    if (first === undefined || last === undefined) return;
    if (first <= before) this.#gone(before);
    this.#acknowledged = Math.max(this.#acknowledged, last);
    this.#check();
    if (!this.#asking && this.#position <= this.#acknowledged) void this.#ask();
  }

  /** A record of the owner's was read. */
  see(offset: number): void {
    this.#read = Math.max(this.#read, offset);
  }

  /** All before `position` was read. */
  advance(position: number): void {
    this.#position = position;
    this.#news.tell();
    this.#check();
  }

  /**
   * Resolves when what is at the offset was read, or nothing is asked any more. Rejects when the
   * log went back to where the reader still was: nothing else would ever tell.
   */
  async reads(offset: number): Promise<void> {
    const isCutOff = this.#isCutOff(offset);
    while (this.#position <= offset && !this.#signal.aborted) {
      if ((await Promise.race([this.#news.next(), isCutOff])) !== true) continue;
      const { topic, partition } = this.#o;
      const what = `${topic}/${partition}: what was at offset ${offset}`;
      throw new LogError('unavailable', `${what} is not on the log any more`, { retriable: true });
    }
  }

  /**
   * Resolves with true when the log says twice that it ends at the offset or before it: a new
   * leader may say so once. With false when that was read, or nothing is asked any more.
   */
  async #isCutOff(offset: number): Promise<boolean> {
    const { log, topic, partition, time, retryMs = 500 } = this.#o;
    for (let seen = 0; seen < 2;) {
      await pause(time, patienceRetries * retryMs, this.#signal);
      if (this.#signal.aborted || this.#position > offset) return false;
      const end = await log.end(topic, partition).catch(() => undefined);
      if (end !== undefined) seen = end.offset > offset ? 0 : seen + 1;
    }
    return true;
  }

  #check(): void {
    const offset = this.#acknowledged;
    if (this.#position > offset && this.#read < offset) this.#gone(offset);
  }

  /** One question at a time, whatever is appended meanwhile. */
  async #ask(): Promise<void> {
    this.#asking = true;
    while (!this.#signal.aborted && this.#position <= this.#acknowledged) {
      const offset = this.#acknowledged;
      if (await this.#isCutOff(offset)) this.#gone(offset);
    }
    this.#asking = false;
  }
}
