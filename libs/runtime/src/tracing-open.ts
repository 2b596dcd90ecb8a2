import type { Logger } from './logger.ts';
import type { processOptions } from './options-common.ts';
import type { ConfigOf } from './options.ts';
import type { TracingOptions } from './tracing-otlp.ts';
import { noTracing, type Tracing } from './tracing.ts';

type ProcessConfig = ConfigOf<typeof processOptions>;

/** What OpenTelemetry's standard variables ask for. */
export function tracingOptions(
  config: ProcessConfig,
  program: { readonly name: string; readonly version: string },
  logger: Logger,
): TracingOptions {
  return {
    url: urlOf(config),
    headers: pairsOf(config.otlpHeaders),
    timeoutMs: config.otlpTimeoutMs,
    sampler: config.tracesSampler,
    samplerArg: config.tracesSamplerArg,
    serviceName: config.serviceName ?? program.name,
    serviceVersion: program.version,
    resource: pairsOf(config.resourceAttributes),
    logger,
  };
}

/** Loads OpenTelemetry's SDK only if there is somebody to send spans to. */
export async function openTracing(options: TracingOptions): Promise<Tracing> {
  const { url } = options;
  if (url === undefined) return noTracing;
  const { OtlpTracing } = await import('./tracing-otlp.ts');
  return new OtlpTracing({ ...options, url });
}

function urlOf(config: ProcessConfig): string | undefined {
  if (config.tracesDisabled || config.tracesExporter === 'none') return undefined;
  if (config.otlpEndpoint !== undefined) return config.otlpEndpoint;
  if (config.otlpBaseEndpoint === undefined) return undefined;
  return `${config.otlpBaseEndpoint.replace(/\/+$/u, '')}/v1/traces`;
}

/** `key=value` with percent-encoded values, as the standard has it; what has no "=" is left out. */
function pairsOf(items: readonly string[]): Readonly<Record<string, string>> {
  const pairs: Record<string, string> = {};
  for (const item of items) {
    const at = item.indexOf('=');
    if (at > 0) pairs[item.slice(0, at).trim()] = decoded(item.slice(at + 1).trim());
  }
  return pairs;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
