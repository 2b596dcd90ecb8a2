import { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask, type Ask } from '../../components/clients.ts';

export interface Failure {
  /** Milliseconds since the load began. */
  readonly atMs: number;
  readonly what: string;
}

export interface LoadResult {
  readonly requests: number;
  readonly failures: readonly Failure[];
  /** How often each backend answered. */
  readonly by: ReadonlyMap<string, number>;
}

export interface LoadOptions extends Ask {
  /** Requests that are under way at once; each waits `pauseMs` before its next. Default 4. */
  readonly workers?: number;
  /** Default 10. */
  readonly pauseMs?: number;
}

const maxFailures = 1_000;

/** Requests one after the other on kept connections, until it is stopped; all but 200 is a failure. */
export class Load {
  readonly #options: LoadOptions;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #startedAt = performance.now();
  readonly #failures: Failure[] = [];
  readonly #by = new Map<string, number>();
  readonly #running: Promise<unknown>;
  #requests = 0;
  #stopped = false;

  constructor(options: LoadOptions) {
    this.#options = options;
    const workers = Array.from({ length: options.workers ?? 4 }, () => this.#work());
    this.#running = Promise.all(workers);
  }

  get requests(): number {
    return this.#requests;
  }

  async stop(): Promise<LoadResult> {
    this.#stopped = true;
    await this.#running;
    this.#agent.destroy();
    return { requests: this.#requests, failures: this.#failures, by: this.#by };
  }

  async #work(): Promise<void> {
    const { workers: _workers, pauseMs = 10, ...request } = this.#options;
    while (!this.#stopped) {
      const atMs = performance.now() - this.#startedAt;
      this.#requests += 1;
      try {
        const { status, headers, body } = await ask({ ...request, agent: this.#agent });
        if (status === 200) {
          const name = headers['x-backend'] ?? '';
          this.#by.set(name, (this.#by.get(name) ?? 0) + 1);
        } else this.#fail(atMs, `${status} ${body.slice(0, 200)}`);
      } catch (error) {
        this.#fail(atMs, error instanceof Error ? error.message : String(error));
      }
      await sleep(pauseMs);
    }
  }

  #fail(atMs: number, what: string): void {
    if (this.#failures.length < maxFailures) this.#failures.push({ atMs, what });
  }
}

/** What a backend should get of so many requests, of 100, and how far off that may be. */
export interface Share {
  readonly count: number;
  readonly wanted: number;
  readonly within: number;
}

/**
 * How far off a backend's share of requests is, which `send` gives by backend. Each is drawn by
 * lot, so where that is more than it may be it is looked at more closely: with four times as many.
 */
export async function offBy(
  name: string,
  { count, wanted, within }: Share,
  send: (requests: number) => Promise<ReadonlyMap<string, number>>,
): Promise<number> {
  const off = async (requests: number): Promise<number> => {
    const by = await send(requests);
    const total = [...by.values()].reduce((sum, answers) => sum + answers, 0);
    return Math.abs((100 * (by.get(name) ?? 0)) / total - wanted);
  };
  const found = await off(count);
  return found < within ? found : off(4 * count);
}

/** So many requests as fast as a few connections carry them: how often each backend answered. */
export async function spread(
  count: number,
  options: LoadOptions,
): Promise<ReadonlyMap<string, number>> {
  const load = new Load({ workers: 16, pauseMs: 0, ...options });
  while (load.requests < count) await sleep(5);
  const { failures, by } = await load.stop();
  if (failures.length > 0) throw new Error(`failed: ${JSON.stringify(failures.slice(0, 5))}`);
  return by;
}
