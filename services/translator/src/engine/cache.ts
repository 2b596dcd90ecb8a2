/**
 * The generator cache: (generator, its version, digest of the argument) → the digest of the bytes.
 * The bytes themselves are in the blob store, or small; what is kept here is small, and bounded.
 */
import { digestOf } from '@watershed/blob/digest.ts';
import type { Blob, Digest } from '@watershed/blob/port.ts';
import { watershedMetrics } from '@watershed/runtime/metric-names.ts';
import { pilotMetrics } from '@watershed/runtime/pilot-metric-names.ts';
import type { Counter, Gauge, Metrics } from '@watershed/runtime/metrics.ts';
import type { Diagnostic, Job } from '../plan.ts';
import { Canonical } from './canonical.ts';

/** One part of a resource, as it was generated. */
export interface Fragment {
  readonly digest: Digest;
  readonly size: number;
  readonly diagnostics: readonly Diagnostic[];
  /** Of what may be inlined; the blob store need not have it. */
  readonly bytes: Uint8Array | undefined;
}

/** Of all fragments of a resource together: larger ones are in the blob store alone. */
export const maxInlinedBytes = 1_024;

/**
 * How often a hit is generated again, to find a generator whose bytes depend on more than its
 * argument.
 */
export type Assertion =
  | 'always'
  /** One in `every` hits, on the average. `random` gives a number in [0, 1). */
  | { readonly every: number; readonly random: () => number };

export interface CacheOptions {
  /** Least recently used ones go first. 0: none are kept. */
  readonly maxEntries: number;
  readonly assertion: Assertion;
  readonly metrics: Metrics;
  /** Default: one that leaves nothing out. */
  readonly canonical?: Canonical;
  /** Told of each blob that was made; `inline`: the fragment has its bytes. */
  readonly made: (blob: Blob, inline: boolean) => void;
}

/** The generator failed on this argument: what it affects keeps its last good output. */
export class GeneratorError extends Error {
  readonly generator: string;
  constructor(generator: string, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super(`${generator}: ${reason}`, { cause });
    this.name = 'GeneratorError';
    this.generator = generator;
  }
}

/** Equal arguments gave other bytes: a mistake in the generator that nothing can make up for. */
export class ImpureGeneratorError extends Error {
  constructor(generator: string, key: string) {
    super(`${generator} gave other bytes (or diagnostics) for an equal argument (${key})`);
    this.name = 'ImpureGeneratorError';
  }
}

/** Of one generator: its runs, hits in their place, and what went wrong. */
interface Counters {
  readonly made: Counter;
  readonly suppressed: Counter;
  readonly failed: Counter;
  readonly impure: Counter;
}

export class GeneratorCache {
  readonly #options: CacheOptions;
  readonly #canonical: Canonical;
  /** In order of use, the oldest first. */
  readonly #entries = new Map<string, Fragment>();
  /** Goes on where it was: from the beginning, each would pass all that was deleted there. */
  #oldest = this.#entries.keys();
  /** An unchanged job needs no digest. Not used where every hit is asserted. */
  readonly #byJob = new WeakMap<Job, Fragment>();
  readonly #hits: Counter;
  readonly #misses: Counter;
  readonly #evictions: Counter;
  readonly #size: Gauge;
  /** By generator. */
  readonly #counters = new Map<string, Counters>();

  constructor(options: CacheOptions) {
    this.#options = options;
    this.#canonical = options.canonical ?? new Canonical();
    const reads = options.metrics.counter(pilotMetrics.cacheReads);
    this.#hits = reads.with({ type: 'hit' });
    this.#misses = reads.with({ type: 'miss' });
    this.#evictions = options.metrics.counter(pilotMetrics.cacheEvictions).with({ type: 'size' });
    this.#size = options.metrics.gauge(pilotMetrics.cacheSize).with();
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Digests that a hit may name: their blobs must be kept. */
  *digests(): IterableIterator<Digest> {
    for (const fragment of this.#entries.values()) yield fragment.digest;
  }

  /**
   * Throws a GeneratorError, or an ImpureGeneratorError where every hit is asserted; a sampled
   * assertion that fails is counted, and the new bytes count.
   */
  fragment(job: Job): Fragment {
    const { assertion } = this.#options;
    const same = assertion === 'always' ? undefined : this.#byJob.get(job);
    if (same !== undefined) {
      this.#hits.add();
      this.#countersOf(job).suppressed.add();
      return same;
    }
    const fragment = this.#look(job);
    this.#byJob.set(job, fragment);
    return fragment;
  }

  /** Generates whatever is known, for blobs that the store has lost or never had. */
  again(job: Job): Blob {
    return this.#generate(job).blob;
  }

  #look(job: Job): Fragment {
    const { name, version } = job.generator;
    const key = `${name}@${version}:${this.#canonical.digest(job.argument, name)}`;
    const known = this.#entries.get(key);
    if (known === undefined) {
      this.#misses.add();
      return this.#keep(key, this.#generate(job).fragment);
    }
    this.#hits.add();
    this.#countersOf(job).suppressed.add();
    return this.#keep(key, this.#asserted(job, key, known));
  }

  #asserted(job: Job, key: string, known: Fragment): Fragment {
    const { assertion } = this.#options;
    if (assertion !== 'always' && assertion.random() * assertion.every >= 1) return known;
    const again = this.#generate(job).fragment;
    if (again.digest === known.digest && sameDiagnostics(again, known)) return known;
    this.#countersOf(job).impure.add();
    if (assertion === 'always') throw new ImpureGeneratorError(job.generator.name, key);
    return again;
  }

  #generate(job: Job): { readonly fragment: Fragment; readonly blob: Blob } {
    const { made, failed } = this.#countersOf(job);
    made.add();
    try {
      const { bytes, diagnostics = [] } = job.run();
      const blob = { digest: digestOf(bytes), bytes };
      const size = bytes.length;
      const inline = job.generator.inline === true && size <= maxInlinedBytes;
      this.#options.made(blob, inline);
      const kept = inline ? bytes : undefined;
      const fragment = Object.freeze({ digest: blob.digest, size, diagnostics, bytes: kept });
      return { fragment, blob };
    } catch (error) {
      failed.add();
      throw new GeneratorError(job.generator.name, error);
    }
  }

  #keep(key: string, fragment: Fragment): Fragment {
    this.#entries.delete(key);
    this.#entries.set(key, fragment);
    while (this.#entries.size > this.#options.maxEntries) this.#evict();
    this.#size.set(this.#entries.size);
    return fragment;
  }

  #evict(): void {
    const { value: oldest } = this.#oldest.next();
    if (oldest === undefined) this.#oldest = this.#entries.keys();
    else if (this.#entries.delete(oldest)) this.#evictions.add();
  }

  #countersOf({ generator: { name: generator } }: Job): Counters {
    const known = this.#counters.get(generator);
    if (known !== undefined) return known;
    const { metrics } = this.#options;
    // There from the beginning: to Prometheus a counter that is born as 1 has never grown.
    const counters = {
      made: metrics.counter(watershedMetrics.generations).with({ generator }),
      suppressed: metrics.counter(watershedMetrics.generationsSuppressed).with({ generator }),
      failed: metrics.counter(watershedMetrics.generationFailures).with({ generator }),
      impure: metrics.counter(watershedMetrics.assertionFailures).with({ generator }),
    };
    this.#counters.set(generator, counters);
    return counters;
  }
}

function sameDiagnostics(a: Fragment, b: Fragment): boolean {
  return JSON.stringify(a.diagnostics) === JSON.stringify(b.diagnostics);
}
