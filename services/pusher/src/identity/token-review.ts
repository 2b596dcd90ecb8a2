/**
 * Whose a Kubernetes token is, as the API server says (TokenReview, `authentication.k8s.io/v1`): it
 * knows of accounts, Pods and tokens that are there no more, which keys alone do not tell. istiod
 * asks so, too. An answer is kept for seconds only, so that what is taken back ends soon.
 */
import { hash } from 'node:crypto';
import type { Clock } from '@watershed/runtime/clock.ts';
import { describeError } from '@watershed/runtime/errors.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import { decodeJwt } from 'jose';
import { setNewest } from '../set-newest.ts';
import type { VerifyToken } from './authenticator.ts';
import type { Identity } from './spiffe.ts';

/** Asks an API server: a TokenReview in, one with its status out, both as JSON. */
export type PostReview = (review: object) => Promise<unknown>;

export interface TokenReviewOptions {
  readonly post: PostReview;
  /** A token must be for one of these. */
  readonly audiences: readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** Of answers that are kept. Default 10,000. */
  readonly maxKept?: number;
  /** Of questions at once; others wait, at most as many as are kept. Default 32. */
  readonly maxAsking?: number;
}

/** How long a token that was taken is taken without asking; one that was not, refused. */
const takenMs = 30_000;
const refusedMs = 5_000;
/** Of clocks that differ. */
const toleranceMs = 30_000;

type Verdict = Identity | string;

interface Kept {
  readonly untilMs: number;
  readonly verdict: Verdict;
}

/** A verifier of tokens. Its errors say what is wrong and quote nothing of the token. */
export function createTokenReview(options: TokenReviewOptions): VerifyToken {
  const reviews = new Reviews(options);
  return async (token) => {
    const verdict = await reviews.of(token);
    if (typeof verdict === 'string') throw new Error(verdict);
    return verdict;
  };
}

class Reviews {
  readonly #options: TokenReviewOptions;
  readonly #maxKept: number;
  readonly #maxAsking: number;
  /** By the token's digest, in order of the asking. */
  readonly #kept = new Map<string, Kept>();
  /** One question for all that come with the same token. */
  readonly #asking = new Map<string, Promise<Verdict>>();
  readonly #waiting: (() => void)[] = [];
  #asked = 0;

  constructor(options: TokenReviewOptions) {
    this.#options = options;
    this.#maxKept = options.maxKept ?? 10_000;
    this.#maxAsking = options.maxAsking ?? 32;
  }

  async of(token: string): Promise<Verdict> {
    // The signature is the API server's to check; what has expired, or is none, it is not asked of.
    const expiresMs = expiryOf(token);
    const leftMs = expiresMs + toleranceMs - this.#options.clock.now();
    if (leftMs <= 0) return 'it has expired';
    const key = hash('sha256', token);
    const nowMs = this.#options.clock.monotonic();
    const kept = this.#kept.get(key);
    if (kept !== undefined && nowMs < kept.untilMs) return kept.verdict;
    let asking = this.#asking.get(key);
    if (asking === undefined) {
      asking = this.#ask(token, key, leftMs).finally(() => this.#asking.delete(key));
      this.#asking.set(key, asking);
    }
    return asking;
  }

  async #ask(token: string, key: string, leftMs: number): Promise<Verdict> {
    await this.#turn();
    try {
      const { audiences, clock, post } = this.#options;
      const answer = await post({
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenReview',
        spec: { token, audiences },
      });
      const verdict = verdictOf(answer, audiences);
      const keptMs = typeof verdict === 'string' ? refusedMs : Math.min(takenMs, leftMs);
      const kept = { untilMs: clock.monotonic() + keptMs, verdict };
      setNewest(this.#kept, key, kept, this.#maxKept);
      return verdict;
    } catch (error) {
      // Whose it is is not known: nothing is kept, and the client comes again.
      this.#options.logger.warn('the API server cannot be asked whose a token is', {
        problem: describeError(error),
      });
      throw new Error('the API server cannot be asked whose it is', { cause: error });
    } finally {
      // Who waits takes the place over.
      const next = this.#waiting.shift();
      if (next === undefined) this.#asked--;
      else next();
    }
  }

  async #turn(): Promise<void> {
    if (this.#asked < this.#maxAsking) {
      this.#asked++;
      return;
    }
    if (this.#waiting.length >= this.#maxKept) throw new Error('too many tokens wait');
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
    });
  }
}

function expiryOf(token: string): number {
  let seconds: unknown;
  try {
    seconds = decodeJwt(token).exp;
  } catch {
    throw new Error('it is not a JWT');
  }
  if (typeof seconds !== 'number') throw new Error('it does not expire');
  return seconds * 1_000;
}

/** An identity, or why it is none; `error` may quote the token, so it is not told. */
function verdictOf(answer: unknown, audiences: readonly string[]): Verdict {
  const status = recordOf(recordOf(answer)['status']);
  const { authenticated, audiences: of } = status;
  if (authenticated !== true) return 'the API server does not take it';
  // One that does not know audiences says none: then the token is for the server itself.
  if (!Array.isArray(of) || !of.some((one) => audiences.includes(String(one)))) {
    return 'it is not for this audience';
  }
  const user = recordOf(status['user']);
  const [, namespace, serviceAccount] =
    /^system:serviceaccount:([a-z0-9-]{1,63}):([a-z0-9.-]{1,253})$/u.exec(
      String(user['username']),
    ) ?? [];
  if (namespace === undefined || serviceAccount === undefined) {
    return 'its subject is no service account';
  }
  const pods = recordOf(user['extra'])['authentication.kubernetes.io/pod-name'];
  const pod: unknown = Array.isArray(pods) ? pods.at(0) : undefined;
  return { namespace, serviceAccount, pod: typeof pod === 'string' ? pod : '' };
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return {};
  return Object.fromEntries(Object.entries(value));
}
