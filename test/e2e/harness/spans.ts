/** What a collector of traces was sent, as far as the tests look at it. */
export interface SeenSpan {
  readonly trace: string;
  readonly id: string;
  /** Empty: it is the first of its trace. */
  readonly parent: string;
  readonly service: string;
  readonly name: string;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
}

/** A collector that the services send OTLP to. */
export interface Collector {
  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  readonly endpoint: string;
  spans(): Promise<readonly SeenSpan[]>;
  /** All that it was sent, as text that a secret would be found in. */
  text(): Promise<string>;
  stop(): Promise<void>;
}

/** The spans that another one is the parent of, by name. */
export function childrenOf(
  spans: readonly SeenSpan[],
  parent: SeenSpan,
  name: string,
): readonly SeenSpan[] {
  return spans.filter(
    (span) => span.trace === parent.trace && span.parent === parent.id && span.name === name,
  );
}
