import type { Time } from '@watershed/runtime/clock.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import { FewLines } from '../few-lines.ts';
import type { PusherMetrics } from '../metrics.ts';
import type { ProxyNode } from '../node-scope.ts';
import type { Frame } from '../session/frame.ts';
import type { SessionNack } from '../session/session-options.ts';
import { traitsOf, type Stage } from '../session/type-traits.ts';
import type { ScopeView } from '../view/scope-view.ts';
import type { PushSpans } from './push-spans.ts';
import type { ScopeQuarantines } from './scope-quarantines.ts';
import type { StreamEnd } from './carrier.ts';
import type { StreamObserver } from './stream-observer.ts';
import type { XdsStream } from './stream.ts';

export interface StreamMeterOptions {
  readonly time: Time;
  readonly logger: Logger;
  readonly metrics: PusherMetrics;
  readonly quarantines: ScopeQuarantines;
  readonly spans: PushSpans;
}

/** Of one NACK, resources that are named in its line. */
const maxReported = 16;

/** Counts, logs and reports what happens on streams. */
export class StreamMeter implements StreamObserver<XdsStream> {
  readonly #options: StreamMeterOptions;
  readonly #lines: FewLines;
  #largestRequest = 0;

  constructor(options: StreamMeterOptions) {
    this.#options = options;
    this.#lines = new FewLines(options.time, options.logger);
  }

  identified({ hostsInline, id, version }: ProxyNode): void {
    if (hostsInline === '') return;
    const message = `a proxy cannot have WATERSHED_VHDS: ${hostsInline}`;
    this.#lines.warnOnce(message, { proxy: id, version });
  }

  sent(_stream: XdsStream, frame: Frame): void {
    const series = this.#options.metrics.of(frame.plan.typeUrl);
    series.pushes.add();
    series.bytes.add(frame.bytes.length);
    series.size.observe(frame.bytes.length);
  }

  suppressed(typeUrl: string): void {
    this.#options.metrics.of(typeUrl).suppressed.add();
  }

  acked(_stream: XdsStream, typeUrl: string): void {
    this.#options.metrics.of(typeUrl).acks.add();
  }

  nacked(stream: XdsStream, nack: SessionNack): void {
    const { metrics, quarantines } = this.#options;
    metrics.of(nack.typeUrl).rejects.add();
    const { changed, removed } = nack.frame.plan;
    const blamed = nack.culprits.length > 0 ? nack.culprits : changed;
    const names = blamed.length > 0 ? blamed.map(({ name }) => name) : removed;
    const proxy = stream.node?.id ?? '';
    this.#lines.warn('a proxy refused a response', {
      proxy,
      type: traitsOf(nack.typeUrl).short,
      resources: names.slice(0, maxReported),
      named: nack.culprits.length > 0,
      message: nack.error.message,
    });
    quarantines.nacked(stream, nack);
  }

  gateForced(stream: XdsStream, stage: Stage): void {
    this.#options.metrics.waitsGivenUp(stage).add();
    this.#lines.warn('a proxy did not answer in time: its push goes on without', {
      proxy: stream.node?.id,
      waitedFor: stage,
    });
  }

  resumed(typeUrl: string, unchanged: boolean): void {
    const series = this.#options.metrics.of(typeUrl);
    (unchanged ? series.resumesUnchanged : series.resumesChanged).add();
  }

  stale(typeUrl: string): void {
    this.#options.metrics.of(typeUrl).expiredNonces.add();
  }

  wrote(frame: Frame, ms: number): void {
    this.#options.metrics.of(frame.plan.typeUrl).pushSeconds.observe(ms / 1_000);
  }

  drained(ms: number): void {
    this.#options.metrics.sendSeconds.observe(ms / 1_000);
  }

  converged(stream: XdsStream, view: ScopeView, ms: number): void {
    this.#options.spans.acked(stream, view);
    this.#options.metrics.convergence.observe(ms / 1_000);
    this.#options.metrics.pushStage.observe(ms / 1_000);
  }

  writeTimeout(stream: XdsStream): void {
    this.#options.metrics.writeTimeouts.add();
    this.#lines.warn('a proxy read nothing for too long', { proxy: stream.node?.id });
  }

  refused(stream: XdsStream, { code, message }: StreamEnd): void {
    if (code === 'internal') this.#options.metrics.internalErrors.add();
    // Who may not do what he asks is told of where that is judged.
    if (code !== 'invalid-argument' && code !== 'resource-exhausted') return;
    this.#options.metrics.badRequests(code).add();
    const { address } = stream.peer;
    const proxy = stream.node?.id;
    this.#lines.warn('a stream ends for what it asked', { proxy, peer: address, problem: message });
  }

  request(bytes: number): void {
    if (bytes <= this.#largestRequest) return;
    this.#largestRequest = bytes;
    this.#options.metrics.largestRequest.set(bytes);
  }
}
