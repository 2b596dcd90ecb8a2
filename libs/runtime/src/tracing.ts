/**
 * Traces through the pipeline: an event carries a W3C `traceparent` from its source to the push
 * that it causes, so each tier's span joins the one before, across the log. Without a collector
 * nothing is recorded, and what an event carries is handed on as it came.
 */
export interface Tracing {
  start(name: string, options?: SpanOptions): Span;
  /** Sends what was recorded; never rejects. */
  shutdown(): Promise<void>;
}

export type AttributeValue = string | number | boolean;

export interface SpanOptions {
  /** A `traceparent`; one that is malformed counts as none. */
  readonly parent?: string | undefined;
  /** Other causes, as when one push carries many changes. */
  readonly links?: readonly string[];
  readonly attributes?: Readonly<Record<string, AttributeValue>>;
}

export interface Span {
  /** What to hand on; `undefined` without tracing and without a parent. */
  readonly traceparent: string | undefined;
  /** Whether anybody will see it: for attributes that cost something to make. */
  readonly recording: boolean;
  set(name: string, value: AttributeValue): void;
  /** Marks it as failed; it still has to be ended. */
  fail(error: unknown): void;
  end(): void;
}

const traceparentHeader = 'traceparent';

export interface TraceContext {
  readonly traceId: string;
  readonly spanId: string;
  readonly sampled: boolean;
}

/** W3C Trace Context, level 1; later versions are read as far as they are alike. */
const pattern =
  /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/u;

export function parseTraceparent(text: string | undefined): TraceContext | undefined {
  const match = text === undefined || text.length > 512 ? null : pattern.exec(text);
  if (match === null) return undefined;
  const [, version, traceId = '', spanId = '', flags = '', more] = match;
  if (version === '00' && more !== undefined) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export function formatTraceparent(context: TraceContext): string {
  return `00-${context.traceId}-${context.spanId}-${context.sampled ? '01' : '00'}`;
}

/** The `traceparent` of a record's headers, if it is one. */
export function extractTraceparent(headers: Readonly<Record<string, string>>): string | undefined {
  const text = headers[traceparentHeader];
  return parseTraceparent(text) === undefined ? undefined : text;
}

/** The headers with the span's `traceparent`; as they are if it has none. */
export function injectTraceparent(
  headers: Readonly<Record<string, string>>,
  span: Pick<Span, 'traceparent'>,
): Readonly<Record<string, string>> {
  if (span.traceparent === undefined) return headers;
  return { ...headers, [traceparentHeader]: span.traceparent };
}

/** A span around a call that is a part of a trace; where there is no trace, there is no span. */
export async function traced<T>(
  tracing: Tracing,
  name: string,
  options: SpanOptions,
  call: () => Promise<T>,
): Promise<T> {
  const span = (options.parent === undefined ? noTracing : tracing).start(name, options);
  try {
    return await call();
  } catch (error) {
    span.fail(error);
    throw error;
  } finally {
    span.end();
  }
}

class PassedOn implements Span {
  readonly traceparent: string | undefined;
  readonly recording = false;
  constructor(traceparent: string | undefined) {
    this.traceparent = traceparent;
  }
  set(): void {}
  fail(): void {}
  end(): void {}
}

const nothing = new PassedOn(undefined);

/** Records nothing and costs nothing. */
export const noTracing: Tracing = {
  start: (_name, options) =>
    options?.parent === undefined ? nothing : new PassedOn(options.parent),
  shutdown: () => Promise.resolve(),
};
