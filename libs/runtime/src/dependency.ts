import type { Clock } from './clock.ts';
import type { Logger } from './logger.ts';
import { Outage, reasonOf } from './outage.ts';

export interface DependencyOptions {
  readonly logger: Logger;
  readonly time: Pick<Clock, 'now'>;
  /** What follows while it is away, for people. */
  readonly meanwhile?: string;
}

/**
 * What a process needs and does not run itself (the log, the blob store, a source), as it shows: a
 * line of the log as it goes and one as it comes, and a remark of `/ready` and a metric meanwhile.
 * The process stays ready: it serves what it has, and its like have no other log.
 */
export class Dependency {
  readonly name: string;
  readonly #options: DependencyOptions;
  readonly #outage: Outage;
  #away: { readonly sinceMs: number; readonly reason: string } | undefined;

  constructor(name: string, options: DependencyOptions) {
    this.name = name;
    this.#options = options;
    const away = `${name} is away; it is tried again`;
    this.#outage = new Outage({ logger: options.logger, away, back: `${name} is there` });
  }

  /** It is silent or away; `sinceMs`: when it was last heard of, if that is known. */
  failed(error: unknown, sinceMs = this.#options.time.now()): void {
    this.#away = { sinceMs: this.#away?.sinceMs ?? sinceMs, reason: reasonOf(error) };
    this.#outage.failed(error);
  }

  worked(): void {
    this.#away = undefined;
    this.#outage.worked();
  }

  /** If it is away: it was heard of then, by a process before this one. */
  lastHeard(sinceMs: number): void {
    if (this.#away !== undefined) this.#away = { ...this.#away, sinceMs };
  }

  /** The last one; `undefined`: it is there. */
  get reason(): string | undefined {
    return this.#away?.reason;
  }

  /** 0: it is there. */
  get awaySeconds(): number {
    if (this.#away === undefined) return 0;
    return Math.max(0, (this.#options.time.now() - this.#away.sinceMs) / 1_000);
  }

  /** For people; `undefined`: it is there. */
  get remark(): string | undefined {
    if (this.#away === undefined) return undefined;
    const { meanwhile } = this.#options;
    const text = `${this.name} is away for ${Math.round(this.awaySeconds)} s (${this.#away.reason})`;
    return meanwhile === undefined ? text : `${text}: ${meanwhile}`;
  }
}
