import { Dependency, type DependencyOptions } from './dependency.ts';

/**
 * Whether a process can do its work, by named tokens: each part names what it waits for, and takes
 * the name back when it has it. Ready is when none is left; `/ready` lists the rest, and says of
 * each dependency that is away since when and why.
 */
export class Readiness {
  readonly #missing = new Set<string>();
  readonly #waiting: (() => void)[] = [];
  readonly #remarks: (() => string | undefined)[] = [];
  readonly #dependencies = new Map<string, Dependency>();
  #standIns = 0;

  /**
   * Not ready until the returned function is called. A name that is waited for already is a
   * mistake.
   */
  expect(token: string): () => void {
    if (this.#missing.has(token)) throw new RangeError(`readiness token ${token} is taken`);
    this.#missing.add(token);
    return () => {
      this.#missing.delete(token);
      if (this.#missing.size === 0) for (const resolve of this.#waiting.splice(0)) resolve();
    };
  }

  /** Whoever uses it tells of it. */
  dependency(name: string, options: DependencyOptions): Dependency {
    const dependency = new Dependency(name, options);
    this.#dependencies.set(name, dependency);
    return dependency;
  }

  /** As `dependency`, and `expect` until it has worked. */
  awaits(name: string, options: DependencyOptions): Pick<Dependency, 'failed' | 'worked'> {
    const dependency = this.dependency(name, options);
    const met = this.expect(name);
    return {
      failed: (error, sinceMs) => dependency.failed(error, sinceMs),
      worked: () => {
        met();
        dependency.worked();
      },
    };
  }

  /** For the metric: each by its name, 0 while it is there. */
  get away(): Iterable<readonly [{ readonly name: string }, number]> {
    return Array.from(this.#dependencies.values(), ({ name, awaySeconds }) => [
      { name },
      awaySeconds,
    ]);
  }

  /** By name. */
  get dependencies(): ReadonlyMap<string, Dependency> {
    return this.#dependencies;
  }

  /**
   * What is waited for may stay away, and the work is done without: ready until the returned
   * function is called. `/ready` goes on saying what is waited for.
   */
  standIn(): () => void {
    this.#standIns++;
    let isOver = false;
    return () => {
      if (!isOver) this.#standIns--;
      isOver = true;
    };
  }

  /** `/ready` says it, whether ready or not, while it returns something. */
  remark(say: () => string | undefined): void {
    this.#remarks.push(say);
  }

  get remarks(): readonly string[] {
    const away = Array.from(this.#dependencies.values(), ({ remark }) => remark);
    return [...away, ...this.#remarks.map((say) => say())].filter((said) => said !== undefined);
  }

  /** In the order in which they were named. */
  get missing(): readonly string[] {
    return [...this.#missing];
  }

  get ready(): boolean {
    return this.#missing.size === 0 || this.#standIns > 0;
  }

  /** Resolves when (or at once, if) nothing is waited for. */
  whenReady(): Promise<void> {
    if (this.#missing.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }
}
