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

/** Ends the connection when there is none left. */
export function spendOrEnd(budget: Budget, what: string): void {
  if (!budget.spend()) throw new ConnectionError(errorCodes.enhanceYourCalm, what);
}
