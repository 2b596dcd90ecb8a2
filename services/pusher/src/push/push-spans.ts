import type { Clock } from '@watershed/runtime/clock.ts';
import type { Span, Tracing } from '@watershed/runtime/tracing.ts';
import type { ScopeView } from '../view/scope-view.ts';

/** A stream that a view is pushed to. */
export interface Receiver {
  readonly node: { readonly id: string } | undefined;
}

type Receivers = Iterable<Receiver> & { readonly size: number };

interface Open {
  readonly view: ScopeView;
  readonly span: Span;
  readonly streams: number;
  readonly startedMs: number;
  /** Of a small push: the streams that have not answered yet. */
  readonly waiting: Map<Receiver, Span>;
  acked: number;
  lastAckMs: number;
}

/** A push to so few streams has a span for each, until its proxy has ACKed all of it. */
const maxSingle = 8;

/**
 * One span per view of a scope: from the change that it came from, over the log, until the proxies
 * of all streams of the scope have ACKed it, or until it is replaced. It says how many did, and
 * when the last one did.
 */
export class PushSpans {
  readonly #tracing: Tracing;
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #open = new Map<string, Open>();

  constructor(tracing: Tracing, clock: Pick<Clock, 'monotonic'>) {
    this.#tracing = tracing;
    this.#clock = clock;
  }

  /** `streams`: those that it concerns. */
  begin(view: ScopeView, types: readonly string[], streams: Receivers): void {
    this.#end(view.scope);
    if (view.trace === undefined || streams.size === 0) return;
    const span = this.#tracing.start('push', {
      parent: view.trace,
      attributes: {
        'watershed.scope': view.scope,
        'watershed.epoch': view.epoch,
        'watershed.types': types.join(','),
        'watershed.streams': streams.size,
      },
    });
    if (!span.recording) {
      span.end();
      return;
    }
    const waiting = new Map<Receiver, Span>();
    for (const stream of streams.size <= maxSingle ? streams : []) {
      const attributes = { 'watershed.proxy': stream.node?.id ?? '' };
      waiting.set(stream, this.#tracing.start('ack', { parent: span.traceparent, attributes }));
    }
    const startedMs = this.#clock.monotonic();
    const counts = { streams: streams.size, acked: 0, lastAckMs: 0 };
    this.#open.set(view.scope, { view, span, startedMs, waiting, ...counts });
  }

  /** The stream's proxy has ACKed all of the view. */
  acked(stream: Receiver, view: ScopeView): void {
    const open = this.#open.get(view.scope);
    if (open?.view !== view) return;
    open.acked++;
    open.lastAckMs = this.#clock.monotonic() - open.startedMs;
    open.waiting.get(stream)?.end();
    open.waiting.delete(stream);
    if (open.acked >= open.streams) this.#end(view.scope);
  }

  stop(): void {
    for (const scope of this.#open.keys()) this.#end(scope);
  }

  #end(scope: string): void {
    const open = this.#open.get(scope);
    if (open === undefined) return;
    this.#open.delete(scope);
    for (const span of open.waiting.values()) {
      span.fail(new Error('gone, or given a newer view, before it had all of this one'));
      span.end();
    }
    open.span.set('watershed.acked', open.acked);
    if (open.acked > 0) open.span.set('watershed.last_ack_ms', open.lastAckMs);
    open.span.end();
  }
}
