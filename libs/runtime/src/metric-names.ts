import type { MetricSpec } from './metrics.ts';
import { fineSecondsToThirty } from './pilot-metric-names.ts';

/*
 * Every metric that istiod has no name for, once. Each is exported by the service whose work it
 * tells of; what is the process's own, by every one.
 */
export const watershedMetrics = {
  events: {
    kind: 'counter',
    name: 'watershed_events_total',
    help: 'Events published to the log: upsert or tombstone, by kind of object.',
    labels: ['kind', 'operation'],
  },
  eventsSuppressed: {
    kind: 'counter',
    name: 'watershed_events_suppressed_total',
    help: 'Objects written again with an equal normalised value: no event (the first silence).',
    labels: ['kind'],
  },
  heldDeletions: {
    kind: 'gauge',
    name: 'watershed_held_deletions',
    help: 'Objects whose deletion is held, because too many vanished at once.',
    labels: ['source'],
  },
  diagnostics: {
    kind: 'gauge',
    name: 'watershed_diagnostics',
    help: 'Diagnostics that hold now, by severity.',
    labels: ['severity'],
  },
  generations: {
    kind: 'counter',
    name: 'watershed_generations_total',
    help: 'Runs of a generator.',
    labels: ['generator'],
  },
  generationsSuppressed: {
    kind: 'counter',
    name: 'watershed_generations_suppressed_total',
    help: 'Arguments equal to those before: the generator did not run (the second silence).',
    labels: ['generator'],
  },
  generationFailures: {
    kind: 'counter',
    name: 'watershed_generation_failures_total',
    help: 'Runs of a generator that failed; the last good output is kept.',
    labels: ['generator'],
  },
  assertionFailures: {
    kind: 'counter',
    name: 'watershed_assertion_failures_total',
    help: 'Generators that gave other bytes for an equal argument. Must be 0.',
    labels: ['generator'],
  },
  encodings: {
    kind: 'counter',
    name: 'watershed_encodings_total',
    help: 'Resources and fragments encoded: once per change, not once per proxy.',
    labels: ['type'],
  },
  encodedBytes: {
    kind: 'counter',
    name: 'watershed_encoded_bytes_total',
    help: 'Bytes that those encodings made.',
    labels: ['type'],
  },
  pushesSuppressed: {
    kind: 'counter',
    name: 'watershed_pushes_suppressed_total',
    help: 'Versions equal to what the proxy holds: no push (the third silence).',
    labels: ['type'],
  },
  resumes: {
    kind: 'counter',
    name: 'watershed_resumes_total',
    help: 'Subscriptions that came with versions: unchanged (no bytes: the fourth silence) or changed.',
    labels: ['type', 'outcome'],
  },
  pushedBytes: {
    kind: 'counter',
    name: 'watershed_pushed_bytes_total',
    help: 'Bytes of responses written to streams.',
    labels: ['type'],
  },
  acks: {
    kind: 'counter',
    name: 'watershed_acks_total',
    help: 'Responses that a proxy took.',
    labels: ['type'],
  },
  streams: {
    kind: 'gauge',
    name: 'watershed_streams',
    help: 'Open streams: delta or sotw.',
    labels: ['protocol'],
  },
  pushers: {
    kind: 'gauge',
    name: 'watershed_pushers',
    help: 'Pushers that this one hears of, itself with them.',
    labels: [],
  },
  streamsMoved: {
    kind: 'counter',
    name: 'watershed_streams_moved_total',
    help: 'Streams ended so that their proxies connect to a pusher that has room.',
    labels: [],
  },
  streamsWaiting: {
    kind: 'gauge',
    name: 'watershed_streams_waiting',
    help: 'New streams that wait until there is room to serve them.',
    labels: [],
  },
  admissionSeconds: {
    kind: 'histogram',
    name: 'watershed_admission_seconds',
    help: 'How long new streams had to wait for that.',
    labels: [],
    buckets: fineSecondsToThirty,
  },
  refusals: {
    kind: 'counter',
    name: 'watershed_xds_refusals_total',
    help: 'Calls refused for who their client is: unauthenticated, or denied what it claims to be.',
    labels: ['reason'],
  },
  badRequests: {
    kind: 'counter',
    name: 'watershed_xds_bad_requests_total',
    help: 'Streams ended for what they asked: invalid-argument, or resource-exhausted where a limit is named.',
    labels: ['code'],
  },
  identityBytes: {
    kind: 'gauge',
    name: 'watershed_xds_identity_bytes',
    help: 'What is counted of streams and their names for the identity for which that is most (see WATERSHED_XDS_MAX_IDENTITY_BYTES).',
    labels: [],
  },
  scopes: { kind: 'gauge', name: 'watershed_scopes', help: 'Scopes that are held.', labels: [] },
  scopesWaiting: {
    kind: 'gauge',
    name: 'watershed_scopes_waiting',
    help: 'Scopes that a proxy wants and that have no manifest yet.',
    labels: [],
  },
  epoch: {
    kind: 'gauge',
    name: 'watershed_epoch',
    help: 'The config epoch that a partition has reached.',
    labels: ['partition'],
  },
  partitionsOwned: {
    kind: 'gauge',
    name: 'watershed_partitions_owned',
    help: 'Partitions of the topics endpoints and xds that this shard translates.',
    labels: [],
  },
  lagRecords: {
    kind: 'gauge',
    name: 'watershed_log_lag_records',
    help: 'Offsets between a reader and the end of its partition.',
    labels: ['topic', 'partition'],
  },
  awaySeconds: {
    kind: 'gauge',
    name: 'watershed_dependency_away_seconds',
    help: 'How long the log, Redis or a source was not heard of; 0: it is there.',
    labels: ['name'],
  },
  logHeard: {
    kind: 'gauge',
    name: 'watershed_log_heard_timestamp_seconds',
    help: 'When the log was last heard of (Unix time): what is served is as old as that at most.',
    labels: [],
  },
  appendSeconds: {
    kind: 'histogram',
    name: 'watershed_log_append_seconds',
    help: 'Seconds until appended records were durable.',
    labels: ['topic'],
    buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5],
  },
  recordsAppended: {
    kind: 'counter',
    name: 'watershed_log_appended_records_total',
    help: 'Records appended.',
    labels: ['topic'],
  },
  recordsRead: {
    kind: 'counter',
    name: 'watershed_log_read_records_total',
    help: 'Records read.',
    labels: ['topic'],
  },
  waitsGivenUp: {
    kind: 'counter',
    name: 'watershed_xds_waits_given_up_total',
    help: 'Pushes that went on without the ACK that they waited for.',
    labels: ['stage'],
  },
  quarantined: {
    kind: 'gauge',
    name: 'watershed_quarantined_resources',
    help: 'Versions of resources that several proxies refused, and that others of their scope are not sent.',
    labels: [],
  },
  missingBlobs: {
    kind: 'counter',
    name: 'watershed_blob_misses_total',
    help: 'Digests that a pusher did not find in the blob store, at each try; their owner was asked for them.',
    labels: [],
  },
  lostBlobs: {
    kind: 'counter',
    name: 'watershed_blobs_lost_total',
    help: "Digests that the blob store did not have, each time that they were asked for, that records of the translator's partitions name and that nothing makes any more.",
    labels: [],
  },
  stageSeconds: {
    kind: 'histogram',
    name: 'watershed_stage_seconds',
    help: 'Seconds that a change spends in a stage: ingest, translate, push, and total up to the ACK.',
    labels: ['stage'],
    buckets: [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
  },
} as const satisfies Readonly<Record<string, MetricSpec>>;
