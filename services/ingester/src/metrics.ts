import { watershedMetrics } from '@watershed/runtime/metric-names.ts';
import { pilotMetrics } from '@watershed/runtime/pilot-metric-names.ts';
import type { MetricSpec, Metrics } from '@watershed/runtime/metrics.ts';
import type { Counters } from './core/counters.ts';
import type { Diagnostics } from './core/diagnostics.ts';
import type { HeldObject } from './core/holds.ts';
import type { RawObject } from './kind.ts';

const silencesSpec = {
  kind: 'counter',
  name: 'watershed_ingest_silences_total',
  help: 'Looks that gave no event, by what was the same: unit, object, event or log.',
  labels: ['silence'],
} as const satisfies MetricSpec;

const objectsSpec = {
  kind: 'gauge',
  name: 'watershed_ingest_objects',
  help: 'Objects of the sources.',
  labels: [],
} as const satisfies MetricSpec;

const keysSpec = {
  kind: 'gauge',
  name: 'watershed_ingest_events',
  help: 'Keys that the log should hold for this cluster.',
  labels: [],
} as const satisfies MetricSpec;

const retriesSpec = {
  kind: 'counter',
  name: 'watershed_ingest_retries_total',
  help: 'Appends that failed and were tried again.',
  labels: [],
} as const satisfies MetricSpec;

/** API groups of what istiod's registry reads. */
const ofKubernetes: ReadonlySet<string> = new Set(['', 'discovery.k8s.io']);
const unknown = { group: '', version: '', resource: '' };

function resourceOf({ apiVersion, kind }: Pick<RawObject, 'apiVersion' | 'kind'>) {
  const [group = '', version] = apiVersion.split('/');
  return version === undefined
    ? { group: '', version: group, resource: kind }
    : { group, version, resource: kind };
}

export interface IngestMetrics {
  readonly counters: Counters;
  /** A source has handed something over: its series are there from then on, also at 0. */
  readonly read: (source: string) => void;
  /** Sets the gauges to what holds now. */
  readonly show: (state: IngestState) => void;
  readonly durableAfter: (seconds: number) => void;
}

export interface IngestState {
  readonly sizes: { readonly objects: number; readonly events: number };
  readonly held: readonly HeldObject[];
  readonly diagnostics: Diagnostics;
}

export function ingestMetrics(metrics: Metrics): IngestMetrics {
  const events = metrics.counter(watershedMetrics.events);
  const suppressed = metrics.counter(watershedMetrics.eventsSuppressed);
  const silences = metrics.counter(silencesSpec);
  const configEvents = metrics.counter(pilotMetrics.configEvents);
  const registryEvents = metrics.counter(pilotMetrics.registryEvents);
  const passed = metrics.counter(pilotMetrics.validationsPassed);
  const failed = metrics.counter(pilotMetrics.validationsFailed);
  const rejected = metrics.counter(pilotMetrics.rejectedConfigs);
  const retries = metrics.counter(retriesSpec).with();
  const objects = metrics.gauge(objectsSpec).with();
  const keys = metrics.gauge(keysSpec).with();
  const held = metrics.gauge(watershedMetrics.heldDeletions);
  const diagnostics = metrics.gauge(watershedMetrics.diagnostics);
  const ingestSeconds = metrics.histogram(watershedMetrics.stageSeconds).with({ stage: 'ingest' });
  const heldSources = new Set<string>();
  const shown = new Map<string, number>();
  return {
    counters: {
      suppressed: (silence, kind, count) => {
        if (count === 0) return;
        silences.with({ silence }).add(count);
        suppressed.with({ kind }).add(count);
      },
      published: (kind, operation) => events.with({ kind, operation }).add(),
      seen: ({ group, kind }, event) => {
        (ofKubernetes.has(group) ? registryEvents : configEvents).with({ type: kind, event }).add();
      },
      accepted: (raw) => passed.with(resourceOf(raw)).add(),
      refused: (raw, why) => {
        // Whoever writes files chooses the names of kinds that are not known.
        if (why === 'unknown') failed.with({ ...unknown, reason: 'unknown_type' }).add();
        else failed.with({ ...resourceOf(raw), reason: 'invalid_resource' }).add();
        rejected.with({ type: why === 'unknown' ? '' : raw.kind, name: '' }).add();
      },
      retried: () => retries.add(),
    },
    read: (source) => {
      if (heldSources.has(source)) return;
      heldSources.add(source);
      held.with({ source }).set(0);
    },
    show: (state) => {
      objects.set(state.sizes.objects);
      keys.set(state.sizes.events);
      for (const { source } of state.held) heldSources.add(source);
      for (const source of heldSources) {
        held.with({ source }).set(state.held.filter((object) => object.source === source).length);
      }
      for (const [severity, count] of Object.entries(state.diagnostics.counts())) {
        // In one process the translator's count in the same series.
        diagnostics.with({ severity }).add(count - (shown.get(severity) ?? 0));
        shown.set(severity, count);
      }
    },
    durableAfter: (seconds) => ingestSeconds.observe(seconds),
  };
}
