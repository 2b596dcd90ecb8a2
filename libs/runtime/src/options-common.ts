import { checkRedis, redisOptions } from './options-blobs.ts';
import { checkKafka, kafkaOptions, sharedGroup as shared } from './options-log.ts';
import { defineOptions, type ConfigOf } from './options.ts';

const addresses = 'Addresses';
const configuration = 'Configuration';
const observability = 'Logs, metrics and traces';

/** What every process has. */
export const processOptions = defineOptions({
  monitoringAddr: {
    type: 'address',
    flag: '--monitoringAddr',
    env: ['WATERSHED_MONITORING_ADDR'],
    default: '127.0.0.1:15014',
    group: addresses,
    doc: 'Where /ready, /metrics, /version and /debug are served. Loopback by default; /debug answers callers on this machine, and from elsewhere operators with a token.',
  },
  debugOnHttp: {
    type: 'bool',
    env: ['ENABLE_DEBUG_ON_HTTP'],
    default: true,
    doc: 'Whether there are pages under /debug.',
  },
  shutdownMs: {
    type: 'duration',
    flag: '--shutdownDuration',
    env: ['WATERSHED_SHUTDOWN_DURATION'],
    default: '10s',
    max: '1h',
    group: configuration,
    doc: 'How long an ordered stop may take before what is left is cut off.',
  },
  logLevels: {
    type: 'string',
    flag: '--log_output_level',
    env: ['WATERSHED_LOG_LEVEL'],
    default: 'default:info',
    placeholder: 'scope:level,…',
    group: observability,
    doc: 'The least level that is logged, for all scopes or for some: debug, info, warn, error, fatal or none.',
  },
  logAsJson: {
    type: 'bool',
    flag: '--log_as_json',
    env: ['WATERSHED_LOG_AS_JSON'],
    group: observability,
    doc: 'Log lines as JSON; when not set, JSON unless the output is a terminal.',
  },
  otlpEndpoint: {
    type: 'string',
    env: ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'],
    placeholder: 'url',
    pattern: /^https?:\/\//u,
    form: 'http://… or https://…',
    doc: 'Where spans are sent (OTLP over HTTP, protobuf), as it is. Nothing is traced without an endpoint.',
  },
  otlpBaseEndpoint: {
    type: 'string',
    env: ['OTEL_EXPORTER_OTLP_ENDPOINT'],
    placeholder: 'url',
    pattern: /^https?:\/\//u,
    form: 'http://… or https://…',
    doc: 'The same for all signals: /v1/traces is appended to it.',
  },
  otlpHeaders: {
    type: 'list',
    env: ['OTEL_EXPORTER_OTLP_TRACES_HEADERS', 'OTEL_EXPORTER_OTLP_HEADERS'],
    placeholder: 'key=value,…',
    secret: true,
    doc: 'Headers sent with each export.',
  },
  otlpTimeoutMs: {
    type: 'int',
    env: ['OTEL_EXPORTER_OTLP_TRACES_TIMEOUT', 'OTEL_EXPORTER_OTLP_TIMEOUT'],
    default: 10_000,
    min: 1,
    unit: 'ms',
    doc: 'How long one export may take.',
  },
  tracesExporter: {
    type: 'enum',
    env: ['OTEL_TRACES_EXPORTER'],
    values: ['otlp', 'none'],
    default: 'otlp',
    doc: 'none: no spans, whatever the endpoint.',
  },
  tracesDisabled: {
    type: 'bool',
    env: ['OTEL_SDK_DISABLED'],
    default: false,
    doc: 'true: no spans, whatever the endpoint.',
  },
  tracesSampler: {
    type: 'enum',
    env: ['OTEL_TRACES_SAMPLER'],
    values: [
      'always_on',
      'always_off',
      'traceidratio',
      'parentbased_always_on',
      'parentbased_always_off',
      'parentbased_traceidratio',
    ],
    default: 'parentbased_always_on',
    doc: "Which traces are kept; the default is OpenTelemetry's.",
  },
  tracesSamplerArg: {
    type: 'number',
    env: ['OTEL_TRACES_SAMPLER_ARG'],
    default: 1,
    min: 0,
    max: 1,
    doc: 'The share of traces that a ratio sampler keeps.',
  },
  serviceName: {
    type: 'string',
    env: ['OTEL_SERVICE_NAME'],
    doc: "The service.name of all spans. Default: the program's name.",
  },
  resourceAttributes: {
    type: 'list',
    env: ['OTEL_RESOURCE_ATTRIBUTES'],
    placeholder: 'key=value,…',
    doc: 'Attributes of all spans.',
  },
});

/** Where configuration comes from and what its names mean. */
export const sourceOptions = defineOptions({
  configDirs: {
    type: 'list',
    flag: '--configDir',
    aliases: ['--config-dir'],
    env: ['WATERSHED_CONFIG_DIR'],
    placeholder: 'directory,…',
    group: configuration,
    doc: 'Directories of YAML or JSON files to read and to watch; may be given several times.',
  },
  meshConfig: {
    type: 'string',
    flag: '--meshConfig',
    env: ['WATERSHED_MESH_CONFIG'],
    placeholder: 'file',
    group: configuration,
    doc: "A file with Istio's MeshConfig; its configSources of the form fs:///DIR are read as well.",
  },
  clusterId: {
    type: 'string',
    flag: '--clusterID',
    env: ['CLUSTER_ID'],
    default: 'Kubernetes',
    pattern: /^[^|\s]{1,253}$/u,
    form: 'at most 253 characters without spaces and |',
    group: configuration,
    doc: 'The name of the cluster that this source speaks for.',
  },
  domain: {
    type: 'string',
    flag: '--domain',
    env: ['WATERSHED_DOMAIN'],
    default: 'cluster.local',
    pattern: /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/u,
    form: 'a DNS name in lower case',
    group: configuration,
    doc: "The DNS suffix of Services' names.",
  },
  ambient: {
    type: 'bool',
    flag: '--ambient',
    env: ['PILOT_ENABLE_AMBIENT'],
    default: false,
    group: configuration,
    doc: 'Put every workload on the log: ztunnels get them. Without it they get services and policies.',
  },
});

/** Where a process keeps what it must find again. */
export const dataOptions = defineOptions({
  dataDir: {
    type: 'string',
    flag: '--dataDir',
    aliases: ['--data-dir'],
    env: ['WATERSHED_DATA_DIR'],
    default: 'data',
    pattern: /./u,
    placeholder: 'directory',
    group: configuration,
    doc: 'Where the embedded log and the last good manifests are kept.',
  },
});

/** What processes that share the work share: the log, and the blobs that its records name. */
export const sharedOptions = defineOptions({
  ...kafkaOptions,
  kafkaBrokers: {
    type: 'list',
    flag: '--kafkaBrokers',
    env: ['WATERSHED_KAFKA_BROKERS'],
    placeholder: 'host:port,…',
    group: shared,
    doc: 'Kafka as the log: some brokers of the cluster.',
  },
  partitions: {
    type: 'int',
    flag: '--partitions',
    env: ['WATERSHED_PARTITIONS'],
    default: 64,
    min: 1,
    max: 4_096,
    unit: 'partitions',
    group: shared,
    doc: 'Of the topics endpoints and xds; so many translators can share the work. Every process must be told the same; it cannot be changed later.',
  },
  ...redisOptions,
});

/** What a process needs that cannot do its work alone. */
export function checkShared(
  config: ConfigOf<typeof kafkaOptions> &
    Partial<ConfigOf<typeof redisOptions>> & { readonly kafkaBrokers: readonly string[] },
  needs: { readonly blobs: boolean },
): readonly string[] {
  const alone = 'in one process with the other tiers, run watershed instead';
  const problems = [...checkKafka(config), ...checkRedis(config)];
  if (config.kafkaBrokers.length === 0) problems.push(`--kafkaBrokers: missing; ${alone}`);
  if (needs.blobs && config.redisUrl === undefined) {
    problems.push(`--redisUrl: missing; ${alone}`);
  }
  return problems;
}

/** How proxies are served. */
export const xdsOptions = defineOptions({
  grpcAddr: {
    type: 'address',
    flag: '--grpcAddr',
    env: ['WATERSHED_GRPC_ADDR'],
    default: '127.0.0.1:15010',
    group: addresses,
    doc: "Where xDS is served in plaintext. Loopback by default, because whoever can connect can read all configuration; istiod's :15010 opens it to the network, with --allowPlaintext.",
  },
  transport: {
    type: 'enum',
    env: ['WATERSHED_XDS_TRANSPORT'],
    values: ['net', 'http2', 'grpc-js'],
    default: 'net',
    doc: 'What speaks gRPC: HTTP/2 of our own on sockets (net), node:http2, or grpc-js, which copies every message of every stream.',
  },
  debounceAfterMs: {
    type: 'duration',
    env: ['PILOT_DEBOUNCE_AFTER'],
    default: '100ms',
    max: '1h',
    doc: 'A push waits until configuration has been quiet for so long.',
  },
  debounceMaxMs: {
    type: 'duration',
    env: ['PILOT_DEBOUNCE_MAX'],
    default: '10s',
    max: '1h',
    doc: 'A push waits no longer than that, quiet or not.',
  },
  edsDebounce: {
    type: 'bool',
    env: ['PILOT_ENABLE_EDS_DEBOUNCE'],
    default: false,
    doc: 'Whether endpoints wait as configuration does. Off, unlike in istiod: an endpoint is one small record here, so there is nothing to gain from making it wait.',
  },
  pushThrottle: {
    type: 'int',
    env: ['PILOT_PUSH_THROTTLE'],
    default: 0,
    min: 0,
    max: 1_000_000,
    unit: 'streams',
    doc: 'How many streams are written to before others get a turn. 0: chosen by the pusher.',
  },
  maxRequestsPerSecond: {
    type: 'number',
    env: ['PILOT_MAX_REQUESTS_PER_SECOND'],
    default: 0,
    min: 0,
    max: 1_000_000,
    doc: 'How many new streams a second are served. 0, unlike in istiod: as many as the event loop and memory have room for; those that come back and need nothing do not count.',
  },
  resourceTtls: {
    type: 'list',
    env: ['WATERSHED_RESOURCE_TTL'],
    placeholder: 'type=duration,…',
    doc: 'Proxies that know TTLs (Envoy over delta does) drop resources of these types when the control plane has been out of reach for so long, as lds=1h,cds=1h; heartbeats keep them as long as it is there. 0 takes back what was said before. Unset: proxies keep what they have for ever.',
  },
  maxNameBytes: {
    type: 'int',
    env: ['WATERSHED_XDS_MAX_NAME_BYTES'],
    default: 134_217_728,
    min: 1_048_576,
    max: 1_073_741_824,
    unit: 'bytes',
    doc: 'What the names may take that one connection asks for or says that it has, all its streams together: their characters, and 192 bytes for each. A stream that asks for more ends with RESOURCE_EXHAUSTED. A sidecar that comes back with 20,000 clusters and their endpoints takes 20 MB.',
  },
  maxIdentityBytes: {
    type: 'int',
    env: ['WATERSHED_XDS_MAX_IDENTITY_BYTES'],
    default: 0,
    min: 0,
    max: 1_099_511_627_776,
    unit: 'bytes',
    doc: 'What the streams of one identity may take, with or without a proxy behind each: 16 KiB a stream, and their names, equal lists once. A client without an identity counts by its address. A stream beyond it ends with RESOURCE_EXHAUSTED. At least 1 MiB; 0: half of what the process may have as heap, with 4 GB the streams of 130,000 proxies.',
  },
  cacheEntries: {
    type: 'int',
    env: ['PILOT_XDS_CACHE_SIZE'],
    default: 60_000,
    min: 1,
    max: 100_000_000,
    unit: 'entries',
    doc: 'How many generated resources are kept for reuse.',
  },
});

/** Less than the streams of a few proxies: every stream would be refused, and nothing say why. */
const leastIdentityBytes = 1_048_576;

/** For `Program.check`: what the ranges of single rows cannot say. */
export function checkXds({
  debounceAfterMs,
  debounceMaxMs,
  maxIdentityBytes,
}: {
  readonly debounceAfterMs: number;
  readonly debounceMaxMs: number;
  readonly maxIdentityBytes: number;
}): readonly string[] {
  const problems: string[] = [];
  if (debounceAfterMs > debounceMaxMs) {
    problems.push('PILOT_DEBOUNCE_AFTER: must not be longer than PILOT_DEBOUNCE_MAX');
  }
  if (maxIdentityBytes > 0 && maxIdentityBytes < leastIdentityBytes) {
    const range = `must be 0 or at least ${leastIdentityBytes} bytes`;
    problems.push(`WATERSHED_XDS_MAX_IDENTITY_BYTES: ${range}, but is ${maxIdentityBytes}`);
  }
  return problems;
}
