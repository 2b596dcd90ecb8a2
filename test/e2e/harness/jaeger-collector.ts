import { startJaeger, type Jaeger } from '../../components/jaeger.ts';
import type { Collector, SeenSpan } from './spans.ts';

/** As the query API has them. */
interface JaegerTrace {
  readonly spans: readonly {
    readonly traceID: string;
    readonly spanID: string;
    readonly operationName: string;
    readonly processID: string;
    readonly references: readonly { readonly refType: string; readonly spanID: string }[];
    readonly tags: readonly { readonly key: string; readonly value: string | number | boolean }[];
  }[];
  readonly processes: Readonly<Record<string, { readonly serviceName: string }>>;
}

/** Every change begins there. */
const firstService = 'watershed-ingester';

/** Jaeger, seen through what its user interface asks. */
export class JaegerCollector implements Collector {
  readonly #jaeger: Jaeger;

  private constructor(jaeger: Jaeger) {
    this.#jaeger = jaeger;
  }

  static async start(): Promise<JaegerCollector> {
    return new JaegerCollector(await startJaeger());
  }

  get endpoint(): string {
    return this.#jaeger.otlp;
  }

  async spans(): Promise<readonly SeenSpan[]> {
    const { data } = JSON.parse(await this.text()) as { readonly data: readonly JaegerTrace[] };
    return data.flatMap(({ spans, processes }) =>
      spans.map((span) => ({
        trace: span.traceID,
        id: span.spanID,
        parent: span.references.find(({ refType }) => refType === 'CHILD_OF')?.spanID ?? '',
        service: processes[span.processID]?.serviceName ?? '',
        name: span.operationName,
        attributes: Object.fromEntries(span.tags.map(({ key, value }) => [key, value])),
      })),
    );
  }

  async text(): Promise<string> {
    const url = `${this.#jaeger.query}/api/traces?service=${firstService}&limit=1000&lookback=1h`;
    const response = await fetch(url);
    if (!response.ok) throw new Error(`Jaeger answered ${response.status}`);
    return await response.text();
  }

  stop(): Promise<void> {
    return this.#jaeger.stop();
  }
}
