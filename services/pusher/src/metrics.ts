import { watershedMetrics } from '@watershed/runtime/metric-names.ts';
import { pilotMetrics } from '@watershed/runtime/pilot-metric-names.ts';
import type { Counter, Gauge, Histogram, Metrics } from '@watershed/runtime/metrics.ts';
import { ProxyVersions } from './proxy-versions.ts';
import type { Mode } from './session/request.ts';
import { protocolTypes, stages, traitsOf, type Stage } from './session/type-traits.ts';

/** The series of one type of resource. */
export interface TypeMetrics {
  readonly pushes: Counter;
  readonly bytes: Counter;
  readonly size: Histogram;
  readonly suppressed: Counter;
  readonly acks: Counter;
  readonly rejects: Counter;
  readonly expiredNonces: Counter;
  readonly encodings: Counter;
  readonly encodedBytes: Counter;
  readonly pushSeconds: Histogram;
  readonly resumesUnchanged: Counter;
  readonly resumesChanged: Counter;
}

/** The pusher's metrics, each series looked up once. */
export class PusherMetrics {
  readonly #metrics: Metrics;
  readonly #types = new Map<string, TypeMetrics>();
  /** Types that have series of their own: clients may ask for any. */
  readonly #told = new Set(protocolTypes);
  #last: TypeMetrics | undefined;
  #lastUrl = '';
  readonly convergence: Histogram;
  readonly queue: Histogram;
  readonly debounce: Histogram;
  readonly sendSeconds: Histogram;
  readonly largestRequest: Gauge;
  readonly writeTimeouts: Counter;
  readonly internalErrors: Counter;
  readonly missingBlobs: Counter;
  readonly scopes: Gauge;
  /** By what was waited for. */
  readonly waitsGivenUp: (stage: Stage) => Counter;
  readonly quarantined: Gauge;
  readonly scopesWaiting: Gauge;
  readonly pushStage: Histogram;
  readonly streamsWaiting: Gauge;
  readonly admissionSeconds: Histogram;
  readonly recordsRead: Counter;
  readonly logHeard: Gauge;
  readonly overdueCuts: Counter;
  readonly pushers: Gauge;
  readonly streamsMoved: Counter;
  readonly clients = new ProxyVersions();

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
    this.convergence = metrics.histogram(pilotMetrics.convergenceSeconds).with();
    this.queue = metrics.histogram(pilotMetrics.queueSeconds).with();
    this.debounce = metrics.histogram(pilotMetrics.debounceSeconds).with();
    this.sendSeconds = metrics.histogram(pilotMetrics.sendSeconds).with();
    this.largestRequest = metrics.gauge(pilotMetrics.largestRequestBytes).with();
    this.writeTimeouts = metrics.counter(pilotMetrics.writeTimeouts).with();
    this.internalErrors = metrics.counter(pilotMetrics.internalErrors).with();
    this.missingBlobs = metrics.counter(watershedMetrics.missingBlobs).with();
    this.quarantined = metrics.gauge(watershedMetrics.quarantined).with();
    this.waitsGivenUp = (stage) => metrics.counter(watershedMetrics.waitsGivenUp).with({ stage });
    this.overdueCuts = metrics.counter(watershedMetrics.overdueCuts).with();
    this.pushers = metrics.gauge(watershedMetrics.pushers).with();
    this.streamsMoved = metrics.counter(watershedMetrics.streamsMoved).with();
    this.scopes = metrics.gauge(watershedMetrics.scopes).with();
    this.scopesWaiting = metrics.gauge(watershedMetrics.scopesWaiting).with();
    this.streamsWaiting = metrics.gauge(watershedMetrics.streamsWaiting).with();
    this.admissionSeconds = metrics.histogram(watershedMetrics.admissionSeconds).with();
    this.pushStage = metrics.histogram(watershedMetrics.stageSeconds).with({ stage: 'push' });
    this.logHeard = metrics.gauge(watershedMetrics.logHeard).with();
    metrics.derivedSeries(pilotMetrics.clients, () =>
      this.clients.most().map(([version, count]) => [{ version }, count]),
    );
    this.recordsRead = metrics.counter(watershedMetrics.recordsRead).with({ topic: 'xds' });
    this.#begin();
  }

  /**
   * There from the start: a rate has nothing to go by where its series comes with the first, and an
   * autoscaler takes who does not say that it has no streams for one that it knows nothing of.
   */
  #begin(): void {
    for (const mode of ['sotw', 'delta'] as const) this.streams(mode);
    for (const type of ['config', 'endpoint', 'proxyrequest'] as const) this.trigger(type);
    for (const stage of [...stages.first, ...stages.routing]) this.waitsGivenUp(stage);
    for (const code of ['invalid-argument', 'resource-exhausted'] as const) this.badRequests(code);
    for (const reason of ['unauthenticated', 'denied'] as const) this.refused(reason);
  }

  /** There are such resources: their types are told apart, also where they are not Envoy's. */
  served(types: Iterable<string>): void {
    for (const typeUrl of types) {
      if (this.#told.has(typeUrl)) continue;
      this.#told.add(typeUrl);
      this.#last = undefined;
    }
  }

  /** The series of types that nothing is served of are those of `other`. */
  of(typeUrl: string): TypeMetrics {
    // A push to thousands asks for one again and again.
    if (typeUrl === this.#lastUrl && this.#last !== undefined) return this.#last;
    const told = this.#told.has(typeUrl) ? typeUrl : 'other';
    let series = this.#types.get(told);
    if (series === undefined) {
      const metrics = this.#metrics;
      const type = traitsOf(told).short.toLowerCase();
      const resumes = metrics.counter(watershedMetrics.resumes);
      series = {
        pushes: metrics.counter(pilotMetrics.pushes).with({ type }),
        bytes: metrics.counter(watershedMetrics.pushedBytes).with({ type }),
        size: metrics.histogram(pilotMetrics.configSizeBytes).with({ type: told }),
        suppressed: metrics.counter(watershedMetrics.pushesSuppressed).with({ type }),
        acks: metrics.counter(watershedMetrics.acks).with({ type }),
        rejects: metrics.counter(pilotMetrics.rejects).with({ type }),
        expiredNonces: metrics.counter(pilotMetrics.expiredNonces).with({ type }),
        pushSeconds: metrics.histogram(pilotMetrics.pushSeconds).with({ type }),
        resumesUnchanged: resumes.with({ type, outcome: 'unchanged' }),
        resumesChanged: resumes.with({ type, outcome: 'changed' }),
        encodings: metrics.counter(watershedMetrics.encodings).with({ type: `${type}-response` }),
        encodedBytes: metrics
          .counter(watershedMetrics.encodedBytes)
          .with({ type: `${type}-response` }),
      };
      this.#types.set(told, series);
    }
    this.#lastUrl = typeUrl;
    this.#last = series;
    return series;
  }

  streams(mode: Mode): Gauge {
    return this.#metrics.gauge(watershedMetrics.streams).with({ protocol: mode });
  }

  /** Asked for when it is read. */
  identityBytes(most: () => number): void {
    this.#metrics.derived(watershedMetrics.identityBytes, most);
  }

  badRequests(code: 'invalid-argument' | 'resource-exhausted'): Counter {
    return this.#metrics.counter(watershedMetrics.badRequests).with({ code });
  }

  refused(reason: 'unauthenticated' | 'denied'): Counter {
    return this.#metrics.counter(watershedMetrics.refusals).with({ reason });
  }

  trigger(type: 'config' | 'endpoint' | 'secret' | 'proxyrequest'): Counter {
    return this.#metrics.counter(pilotMetrics.pushTriggers).with({ type });
  }

  epoch(partition: number): Gauge {
    return this.#metrics.gauge(watershedMetrics.epoch).with({ partition: `xds-${partition}` });
  }
}
