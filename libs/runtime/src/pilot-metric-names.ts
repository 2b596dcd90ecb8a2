import type { MetricSpec } from './metrics.ts';

/*
 * Istiod's metrics, with its labels and buckets (istio's monitoring.go of pilot/pkg/xds, pkg/xds
 * and pilot/pkg/bootstrap, and pilot/pkg/model/typed_xds_cache.go), where they mean the same here;
 * dashboards and alerts made for istiod go on working. `type` is the short name of an xDS type:
 * cds, eds, lds, rds, sds.
 */

const secondsToThirty = [0.1, 0.5, 1, 3, 5, 10, 20, 30] as const;
export const fineSecondsToThirty = [0.01, 0.1, 0.5, 1, 3, 5, 10, 20, 30] as const;

export const pilotMetrics = {
  build: {
    kind: 'gauge',
    name: 'istio_build',
    help: "The version of this process; `component` is pilot in all services, for istio's dashboards.",
    labels: ['component', 'tag'],
  },
  uptimeSeconds: {
    kind: 'gauge',
    name: 'istiod_uptime_seconds',
    help: 'Seconds since this process has started.',
    labels: [],
  },
  configEvents: {
    kind: 'counter',
    name: 'pilot_k8s_cfg_events',
    help: 'Objects of configuration that came, changed or went in a source, by kind: add, update, delete.',
    labels: ['type', 'event'],
  },
  registryEvents: {
    kind: 'counter',
    name: 'pilot_k8s_reg_events',
    help: "The same of Kubernetes' own objects: services, endpoints, pods, namespaces.",
    labels: ['type', 'event'],
  },
  validationsPassed: {
    kind: 'counter',
    name: 'galley_validation_passed',
    help: 'Versions of objects that were accepted; `resource` is the kind.',
    labels: ['group', 'version', 'resource'],
  },
  validationsFailed: {
    kind: 'counter',
    name: 'galley_validation_failed',
    help: 'Versions of objects that were refused: invalid_resource, or unknown_type (all under one series).',
    labels: ['group', 'version', 'resource', 'reason'],
  },
  info: {
    kind: 'gauge',
    name: 'pilot_info',
    help: 'Version and build information.',
    labels: ['version'],
  },
  clients: {
    kind: 'gauge',
    name: 'pilot_xds',
    help: 'Proxies connected to this process, by the version that they say they are.',
    labels: ['version'],
  },
  services: { kind: 'gauge', name: 'pilot_services', help: 'Services known.', labels: [] },
  virtualServices: {
    kind: 'gauge',
    name: 'pilot_virt_services',
    help: 'Routes known (VirtualServices and HTTPRoutes).',
    labels: [],
  },
  pushes: {
    kind: 'counter',
    name: 'pilot_xds_pushes',
    help: 'Responses sent to proxies by type, and failures to send them (cds_senderr and so on).',
    labels: ['type'],
  },
  pushTriggers: {
    kind: 'counter',
    name: 'pilot_push_triggers',
    help: 'What pushes were triggered by: config, endpoint, secret or proxyrequest.',
    labels: ['type'],
  },
  inboundUpdates: {
    kind: 'counter',
    name: 'pilot_inbound_updates',
    help: 'Changes read from the log: config, eds, svc or svcdelete.',
    labels: ['type'],
  },
  debounceSeconds: {
    kind: 'histogram',
    name: 'pilot_debounce_time',
    help: 'Seconds from the first change that is held back to the push that carries it.',
    labels: [],
    buckets: fineSecondsToThirty,
  },
  pushSeconds: {
    kind: 'histogram',
    name: 'pilot_xds_push_time',
    help: 'Seconds that it takes to compose and write a push, by type.',
    labels: ['type'],
    buckets: fineSecondsToThirty,
  },
  queueSeconds: {
    kind: 'histogram',
    name: 'pilot_proxy_queue_time',
    help: 'Seconds that a stream waits for its turn.',
    labels: [],
    buckets: secondsToThirty,
  },
  convergenceSeconds: {
    kind: 'histogram',
    name: 'pilot_proxy_convergence_time',
    help: 'Seconds from a change to the proxy having been sent all that follows from it.',
    labels: [],
    buckets: secondsToThirty,
  },
  sendSeconds: {
    kind: 'histogram',
    name: 'pilot_xds_send_time',
    help: 'Seconds until a written response has left this process.',
    labels: [],
    buckets: [0.01, 0.1, 1, 3, 5, 10, 20, 30],
  },
  configSizeBytes: {
    kind: 'histogram',
    name: 'pilot_xds_config_size_bytes',
    help: 'Sizes of responses; here `type` is the full type URL, as in istiod.',
    labels: ['type'],
    buckets: [1, 10_000, 1_000_000, 4_000_000, 10_000_000, 40_000_000],
  },
  rejects: {
    kind: 'counter',
    name: 'pilot_total_xds_rejects',
    help: 'Responses that a proxy refused (NACKs).',
    labels: ['type'],
  },
  expiredNonces: {
    kind: 'counter',
    name: 'pilot_xds_expired_nonce',
    help: 'Requests that answer a response older than the last.',
    labels: ['type'],
  },
  internalErrors: {
    kind: 'counter',
    name: 'pilot_total_xds_internal_errors',
    help: 'Failures of this process while it served a proxy.',
    labels: [],
  },
  writeTimeouts: {
    kind: 'counter',
    name: 'pilot_xds_write_timeout',
    help: 'Streams ended because the proxy took nothing for too long.',
    labels: [],
  },
  largestRequestBytes: {
    kind: 'gauge',
    name: 'pilot_xds_recv_max',
    help: 'The largest request received so far.',
    labels: [],
  },
  rejectedConfigs: {
    kind: 'counter',
    name: 'pilot_total_rejected_configs',
    help: 'Versions of objects that were refused, by kind. Unlike in istiod, `name` is empty: it has no bound.',
    labels: ['type', 'name'],
  },
  cacheReads: {
    kind: 'counter',
    name: 'xds_cache_reads',
    help: 'Look-ups of generated resources by their key: hit or miss.',
    labels: ['type'],
  },
  cacheEvictions: {
    kind: 'counter',
    name: 'xds_cache_evictions',
    help: 'Generated resources dropped: clear (no longer wanted) or size.',
    labels: ['type'],
  },
  cacheSize: {
    kind: 'gauge',
    name: 'xds_cache_size',
    help: 'Generated resources that are kept for reuse.',
    labels: [],
  },
} as const satisfies Readonly<Record<string, MetricSpec>>;
