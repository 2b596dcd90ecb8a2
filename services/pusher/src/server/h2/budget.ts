import { ConnectionError, errorCodes } from './frames.ts';

export interface Rate {
  /** At once. */
  readonly burst: number;
  /** And then. */
  readonly perSecond: number;
}

/**
 * What a client may do that costs us more than it. In HTTP/2's floods each frame is allowed, but
 * not so many (CVE-2019-9511 to 9518, 2023-44487, 2025-8671).
 */
export class Budget {
  readonly #rate: Rate;
  readonly #now: () => number;
  #left: number;
  /** When `#left` was true. */
  #at: number;

  /** `now`: in ms; it is asked only when a burst is used up. */
  constructor(rate: Rate, now: () => number) {
    this.#rate = rate;
    this.#now = now;
    this.#left = rate.burst;
    this.#at = now();
  }

  /** Whether there was one left. */
  spend(): boolean {
    if (this.#left < 1) {
      const { burst, perSecond } = this.#rate;
      const at = this.#now();
      this.#left = Math.min(burst, this.#left + ((at - this.#at) / 1_000) * perSecond);
      this.#at = at;
      if (this.#left < 1) return false;
    }
    this.#left--;
    return true;
  }
}

/** Sent bytes for one frame that they let a client answer with: many open windows every 4 KiB. */
const bytesPerFrame = 1_024;

/**
 * Of frames that carry nothing. Who is sent much has much to answer (WINDOW_UPDATE, and PING to
 * measure the way), so what is sent earns them.
 */
export class IdleFrames {
  readonly #budget: Budget;
  readonly #mostBytes: number;
  /** Sent, and not used up by frames: bytes, for a fraction would be an object of its own. */
  #earnedBytes = 0;

  constructor(rate: Rate, now: () => number) {
    this.#budget = new Budget(rate, now);
    this.#mostBytes = rate.burst * bytesPerFrame;
  }

  /** `sentBytes`: since the last one. Ends the connection when there is none left. */
  count(sentBytes: number): void {
    this.#earnedBytes = Math.min(this.#mostBytes, this.#earnedBytes + sentBytes);
    if (this.#earnedBytes >= bytesPerFrame) this.#earnedBytes -= bytesPerFrame;
    else spendOrEnd(this.#budget, 'too many frames that carry nothing');
  }
}

/** Ends the connection when there is none left. */
export function spendOrEnd(budget: Budget, what: string): void {
  if (!budget.spend()) throw new ConnectionError(errorCodes.enhanceYourCalm, what);
}
