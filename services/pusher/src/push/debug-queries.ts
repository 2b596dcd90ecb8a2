/**
 * Istio's questions about this server, asked on a stream of ADS as `istioctl` does: the type
 * `istio.io/debug` with the name of a debug page, `istio.io/debug/syncz`, and
 * `istio.io/debug/config_dump` with the name of a proxy. They are no resources: each is answered
 * when it is asked, nothing is pushed, and who asks gets no session and no scope.
 */
import type { Mode, Request } from '../session/request.ts';

export interface DebugQuery {
  readonly mode: Mode;
  readonly typeUrl: string;
  readonly names: readonly string[];
  /** For the response. */
  readonly nonce: string;
}

/**
 * Makes the response, with gRPC's prefix.
 *
 * @throws OperatingError `invalid`: it cannot be asked so
 */
export type AnswerQuery = (query: DebugQuery) => Promise<Uint8Array>;

const debugType = 'istio.io/debug';

export function isDebugType(typeUrl: string): boolean {
  return typeUrl === debugType || typeUrl.startsWith(`${debugType}/`);
}

export interface DebugQueriesOptions {
  readonly answer: AnswerQuery;
  /** There is something to write. */
  readonly ready: () => void;
  readonly failed: (error: unknown) => void;
}

/**
 * Those of one stream: one is answered at a time, and of those that come meanwhile the newest is
 * kept.
 */
export class DebugQueries {
  readonly #options: DebugQueriesOptions;
  #count = 0;
  #busy = false;
  /** What was asked last. */
  #last: DebugQuery | undefined;
  #next: DebugQuery | undefined;
  #ready: Uint8Array | undefined;

  constructor(options: DebugQueriesOptions) {
    this.#options = options;
  }

  take(request: Request): void {
    const { mode, typeUrl, nonce } = request;
    const { names } = request.mode === 'sotw' ? request.names : request.subscribe;
    if (this.#isAnswer(nonce, typeUrl, names, mode)) return;
    this.#last = { mode, typeUrl, names, nonce: `${noncePrefix}${++this.#count}` };
    this.#next = this.#last;
    this.#go();
  }

  /** Something that was asked has no answer yet. */
  get isDue(): boolean {
    return this.#busy || this.#ready !== undefined || this.#next !== undefined;
  }

  /** What is to be written now. */
  next(): Uint8Array | undefined {
    const ready = this.#ready;
    this.#ready = undefined;
    this.#go();
    return ready;
  }

  /**
   * Whether it only ACKs what it was told. The nonces that `istioctl` begins with are its own: they
   * say nothing.
   */
  #isAnswer(nonce: string, typeUrl: string, names: readonly string[], mode: Mode): boolean {
    if (!nonce.startsWith(noncePrefix)) return false;
    const last = this.#last;
    if (last?.nonce !== nonce || last.typeUrl !== typeUrl) return true;
    // State of the world repeats its names.
    return mode === 'delta' ? names.length === 0 : names.join('\n') === last.names.join('\n');
  }

  #go(): void {
    if (this.#busy || this.#ready !== undefined || this.#next === undefined) return;
    const query = this.#next;
    this.#next = undefined;
    this.#busy = true;
    this.#options.answer(query).then(
      (framed) => {
        this.#busy = false;
        this.#ready = framed;
        this.#options.ready();
      },
      (error: unknown) => {
        this.#busy = false;
        this.#options.failed(error);
      },
    );
  }
}

/** None of a session's has it. */
const noncePrefix = 'debug-';
