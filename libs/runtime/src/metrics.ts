import {
  collectDefaultMetrics,
  Counter as PromCounter,
  Gauge as PromGauge,
  Histogram as PromHistogram,
  Registry,
} from 'prom-client';
import { exposeEventLoopLag, neverMs } from './event-loop-lag.ts';

/** A metric as it is declared; see metric-names.ts. */
export interface MetricSpec {
  readonly kind: 'counter' | 'gauge' | 'histogram';
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
  /** Upper bounds, ascending; histograms only. */
  readonly buckets?: readonly number[];
}

type Labels<S extends MetricSpec> = Readonly<Record<S['labels'][number], string>>;
type LabelArgs<S extends MetricSpec> = S['labels'][number] extends never ? [] : [Labels<S>];

export interface Counter {
  add(count?: number): void;
}

export interface Gauge {
  set(value: number): void;
  add(difference: number): void;
}

export interface Histogram {
  observe(value: number): void;
}

/**
 * The series of one metric. Ask for a series once and keep it: adding to it is then only an
 * addition.
 */
export interface Family<S extends MetricSpec, Series> {
  with(...labels: LabelArgs<S>): Series;
}

export interface MetricsOptions {
  /** Adds the process's own: CPU, memory, event loop lag, garbage collection. Default false. */
  readonly process?: boolean;
  /** How many series a metric may have; what comes later is counted under `other`. Default 2,000. */
  readonly maxSeries?: number;
}

/** They list every socket for each scrape, and say no more than our own gauges do. */
const ofEachHandle = ['handles', 'resources'].flatMap((what) => [
  `nodejs_active_${what}`,
  `nodejs_active_${what}_total`,
]);

/** The metrics of one process (or of one test). */
export class Metrics {
  readonly #registry = new Registry();
  readonly #families = new Map<string, unknown>();
  readonly #maxSeries: number;

  constructor(options: MetricsOptions = {}) {
    this.#maxSeries = options.maxSeries ?? 2_000;
    if (options.process !== true) return;
    collectDefaultMetrics({ register: this.#registry, eventLoopMonitoringPrecision: neverMs });
    exposeEventLoopLag(this.#registry);
    for (const name of ofEachHandle) this.#registry.removeSingleMetric(name);
  }

  counter<const S extends MetricSpec & { kind: 'counter' }>(spec: S): Family<S, Counter> {
    return this.#family(spec, () => this.#makeCounter(spec));
  }

  gauge<const S extends MetricSpec & { kind: 'gauge' }>(spec: S): Family<S, Gauge> {
    return this.#family(spec, () => this.#makeGauge(spec));
  }

  histogram<const S extends MetricSpec & { kind: 'histogram' }>(spec: S): Family<S, Histogram> {
    return this.#family(spec, () => this.#makeHistogram(spec));
  }

  /** A gauge without labels whose value is asked for when it is read. */
  derived(spec: MetricSpec & { readonly kind: 'gauge' }, read: () => number): void {
    const gauge: PromGauge = new PromGauge({
      ...this.#common(spec),
      collect: () => gauge.set(read()),
    });
  }

  /** A gauge whose series are asked for when it is read: what is not told any more is gone. */
  derivedSeries<const S extends MetricSpec & { kind: 'gauge' }>(
    spec: S,
    read: () => Iterable<readonly [Labels<S>, number]>,
  ): void {
    const gauge: PromGauge = new PromGauge({
      ...this.#common(spec),
      collect: () => {
        gauge.reset();
        for (const [labels, value] of read()) gauge.set(labels, value);
      },
    });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** Prometheus' text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  /** The value of one series (of a histogram: how many observations); 0 if it was never touched. */
  async value(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    for (const metric of await this.#registry.getMetricsAsJSON()) {
      for (const { value, labels: have, ...rest } of metric.values) {
        const wanted =
          'metricName' in rest ? rest.metricName === `${name}_count` : metric.name === name;
        const same = Object.entries(labels).every(([key, text]) => have[key] === text);
        if (wanted && same && metric.name === name) return value;
      }
    }
    return 0;
  }

  #makeCounter(spec: MetricSpec): (labels: Record<string, string>) => Counter {
    const added = new Map<Record<string, string>, { count: number }>();
    const metric = new PromCounter({
      ...this.#common(spec),
      collect: () => {
        for (const [labels, series] of added) {
          metric.inc(labels, series.count);
          series.count = 0;
        }
      },
    });
    return (labels) => {
      const series = { count: 0 };
      added.set(labels, series);
      return {
        add: (count = 1) => {
          series.count += count;
        },
      };
    };
  }

  #makeGauge(spec: MetricSpec): (labels: Record<string, string>) => Gauge {
    const metric = new PromGauge(this.#common(spec));
    return (labels) => {
      const series = metric.labels(labels);
      series.set(0);
      return { set: (value) => series.set(value), add: (difference) => series.inc(difference) };
    };
  }

  #makeHistogram(spec: MetricSpec): (labels: Record<string, string>) => Histogram {
    const metric = new PlainHistogram(this.#common(spec), spec.buckets ?? []);
    return (labels) => metric.series(labels);
  }

  #common(spec: MetricSpec) {
    const { name, help } = spec;
    return { name, help, labelNames: [...spec.labels], registers: [this.#registry] };
  }

  /** The same spec twice is the same family: parts of a process need not know of each other. */
  #family<S extends MetricSpec, Series>(
    spec: S,
    make: () => (labels: Record<string, string>) => Series,
  ): Family<S, Series> {
    const known = this.#families.get(spec.name);
    // Families are stored under their spec's name, which is declared once with its kind.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    if (known !== undefined) return known as Family<S, Series>;
    const family = seriesOf<S, Series>(spec, make(), this.#maxSeries);
    this.#families.set(spec.name, family);
    return family;
  }
}

interface Buckets {
  readonly labels: Readonly<Record<string, string>>;
  /** By upper bound, not cumulative; the last is that of +Inf. */
  readonly counts: number[];
  sum: number;
}

/**
 * Prometheus' histogram whose observations are additions, as the counters' are: the library's own
 * take some microseconds each, and there are several per push.
 */
class PlainHistogram extends PromHistogram {
  readonly #name: string;
  /** Gives all but the values. */
  readonly #empty: PromHistogram;
  readonly #bounds: readonly number[];
  readonly #series: Buckets[] = [];

  constructor(
    common: { name: string; help: string; labelNames: string[]; registers: Registry[] },
    bounds: readonly number[],
  ) {
    super({ ...common, buckets: [...bounds] });
    this.#name = common.name;
    this.#empty = new PromHistogram({ ...common, buckets: [], registers: [] });
    this.#bounds = bounds;
  }

  series(labels: Readonly<Record<string, string>>): Histogram {
    const bounds = this.#bounds;
    const series: Buckets = { labels, counts: [...bounds.map(() => 0), 0], sum: 0 };
    this.#series.push(series);
    const { counts } = series;
    return {
      observe: (value) => {
        let at = 0;
        while (at < bounds.length && value > (bounds[at] ?? 0)) at++;
        counts[at] = (counts[at] ?? 0) + 1;
        series.sum += value;
      },
    };
  }

  override async get(): ReturnType<PromHistogram['get']> {
    const values = this.#series.flatMap(({ labels, counts, sum }) => {
      let total = 0;
      const buckets = counts.map((count, at) => {
        total += count;
        const le = this.#bounds[at] ?? '+Inf';
        return { metricName: `${this.#name}_bucket`, labels: { ...labels, le }, value: total };
      });
      return [
        ...buckets,
        { metricName: `${this.#name}_sum`, labels, value: sum },
        { metricName: `${this.#name}_count`, labels, value: total },
      ];
    });
    return { ...(await this.#empty.get()), values };
  }

  /** What the registry asks for when it writes text. */
  getForPromString(): ReturnType<PromHistogram['get']> {
    return this.get();
  }
}

function seriesOf<S extends MetricSpec, Series>(
  spec: S,
  make: (labels: Record<string, string>) => Series,
  maxSeries: number,
): Family<S, Series> {
  const made = new Map<string, Series>();
  const get = (values: readonly string[]): Series => {
    const key = JSON.stringify(values);
    const known = made.get(key);
    if (known !== undefined) return known;
    const other = spec.labels.map(() => 'other');
    if (made.size >= maxSeries && key !== JSON.stringify(other)) return get(other);
    const series = make(
      Object.fromEntries(spec.labels.map((name, at) => [name, values[at] ?? ''])),
    );
    made.set(key, series);
    return series;
  };
  if (spec.labels.length === 0) get([]);
  return {
    with: (...args) => {
      const labels: Readonly<Record<string, string>> = args[0] ?? {};
      return get(spec.labels.map((name) => labels[name] ?? ''));
    },
  };
}
