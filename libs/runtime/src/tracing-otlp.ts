import {
  ROOT_CONTEXT,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Context,
  type Link,
  type Span as OtelSpan,
  type SpanContext,
  type Tracer,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
  type ReadableSpan,
  type Sampler,
  type SpanExporter,
} from '@opentelemetry/sdk-trace';
import type { Logger } from './logger.ts';
import type { processOptions } from './options-common.ts';
import type { ConfigOf } from './options.ts';
import {
  formatTraceparent,
  parseTraceparent,
  type AttributeValue,
  type Span,
  type SpanOptions,
  type Tracing,
} from './tracing.ts';

export interface TracingOptions {
  /** `undefined`: nothing is traced. */
  readonly url: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly sampler: ConfigOf<typeof processOptions>['tracesSampler'];
  readonly samplerArg: number;
  readonly serviceName: string;
  readonly serviceVersion: string;
  readonly resource: Readonly<Record<string, string>>;
  readonly logger: Logger;
}

const maxQueuedSpans = 4_096;
const maxLinks = 32;
const maxAttributeLength = 1_024;

/** Spans are batched and sent as OTLP over HTTP; what cannot be sent is dropped and told in the log. */
export class OtlpTracing implements Tracing {
  readonly #provider: TracerProvider;
  readonly #tracer: Tracer;
  readonly #logger: Logger;

  constructor(options: TracingOptions & { readonly url: string }) {
    const exporter = new OTLPTraceExporter({
      url: options.url,
      headers: { ...options.headers },
      timeoutMillis: options.timeoutMs,
    });
    this.#logger = options.logger;
    this.#provider = new TracerProvider({
      resource: resourceFromAttributes({
        ...options.resource,
        'service.name': options.serviceName,
        'service.version': options.serviceVersion,
      }),
      sampler: samplerOf(options),
      spanLimits: { linkCountLimit: maxLinks, attributeValueLengthLimit: maxAttributeLength },
      spanProcessors: [
        new BatchSpanProcessor({
          exporter: new ToldExporter(exporter, options.logger),
          maxQueueSize: maxQueuedSpans,
          exportTimeoutMillis: options.timeoutMs,
        }),
      ],
    });
    this.#tracer = this.#provider.getTracer('watershed', options.serviceVersion);
  }

  start(name: string, options: SpanOptions = {}): Span {
    const links = (options.links ?? []).slice(0, maxLinks).flatMap(linkOf);
    const attributes = { ...options.attributes };
    return new OtlpSpan(
      this.#tracer.startSpan(name, { attributes, links }, parentOf(options.parent)),
    );
  }

  async shutdown(): Promise<void> {
    try {
      await this.#provider.shutdown();
    } catch (error) {
      this.#logger.warn('the last spans were not sent', { error });
    }
  }
}

class OtlpSpan implements Span {
  readonly #span: OtelSpan;

  constructor(span: OtelSpan) {
    this.#span = span;
  }

  get traceparent(): string {
    const { traceId, spanId, traceFlags } = this.#span.spanContext();
    return formatTraceparent({ traceId, spanId, sampled: (traceFlags & TraceFlags.SAMPLED) !== 0 });
  }

  get recording(): boolean {
    return this.#span.isRecording();
  }

  set(name: string, value: AttributeValue): void {
    this.#span.setAttribute(name, value);
  }

  fail(error: unknown): void {
    const known = error instanceof Error ? error : new Error(String(error));
    this.#span.recordException(known);
    this.#span.setStatus({ code: SpanStatusCode.ERROR, message: known.message });
  }

  end(): void {
    this.#span.end();
  }
}

/** Tells the log of exports that failed: by itself the SDK says nothing. */
class ToldExporter implements SpanExporter {
  readonly #exporter: SpanExporter;
  readonly #logger: Logger;

  constructor(exporter: SpanExporter, logger: Logger) {
    this.#exporter = exporter;
    this.#logger = logger;
  }

  export(spans: ReadableSpan[], done: Parameters<SpanExporter['export']>[1]): void {
    this.#exporter.export(spans, (result) => {
      const code: number = result.code;
      if (code !== 0) {
        this.#logger.warn('spans were not sent', { spans: spans.length, error: result.error });
      }
      done(result);
    });
  }

  shutdown(): Promise<void> {
    return this.#exporter.shutdown();
  }
}

function spanContextOf(traceparent: string | undefined): SpanContext | undefined {
  const parsed = parseTraceparent(traceparent);
  if (parsed === undefined) return undefined;
  const { traceId, spanId, sampled } = parsed;
  return {
    traceId,
    spanId,
    traceFlags: sampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
    isRemote: true,
  };
}

function parentOf(traceparent: string | undefined): Context {
  const parent = spanContextOf(traceparent);
  return parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent);
}

function linkOf(traceparent: string): readonly Link[] {
  const context = spanContextOf(traceparent);
  return context === undefined ? [] : [{ context }];
}

function samplerOf({ sampler, samplerArg }: TracingOptions): Sampler {
  switch (sampler) {
    case 'always_on':
      return new AlwaysOnSampler();
    case 'always_off':
      return new AlwaysOffSampler();
    case 'traceidratio':
      return new TraceIdRatioBasedSampler(samplerArg);
    case 'parentbased_always_on':
      return new ParentBasedSampler({ root: new AlwaysOnSampler() });
    case 'parentbased_always_off':
      return new ParentBasedSampler({ root: new AlwaysOffSampler() });
    case 'parentbased_traceidratio':
      return new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(samplerArg) });
  }
}
