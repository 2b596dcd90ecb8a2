import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { watershedMetrics } from '@watershed/runtime/metric-names.ts';
import { pilotMetrics } from '@watershed/runtime/pilot-metric-names.ts';
import { Metrics } from '@watershed/runtime/metrics.ts';
import { expect, test } from 'vitest';
import { projectFiles, textOf } from '../layout/sources.ts';
import { metricsOf } from './promql.ts';

const directory = join(import.meta.dirname, '../../k8s/dashboards');

interface Dashboard {
  readonly panels: readonly {
    readonly title: string;
    readonly datasource: { readonly uid: string };
    readonly targets: readonly { readonly expr: string }[];
  }[];
}

const dashboards = readdirSync(directory).map(
  (name) => JSON.parse(readFileSync(join(directory, name), 'utf8')) as Dashboard,
);

/** Series by name: those that are declared, and those of every process. */
async function exported(): Promise<ReadonlySet<string>> {
  const declared = [pilotMetrics, watershedMetrics].flatMap((group) => Object.values(group));
  const series = declared.flatMap(({ kind, name }) =>
    kind === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
  );
  const text = await new Metrics({ process: true }).text();
  const own = [...text.matchAll(/^# TYPE (\S+)/gmu)].map(([, name = '']) => name);
  return new Set([...series, ...own]);
}

const queries = dashboards.flatMap(({ panels }) => panels.flatMap(({ targets }) => targets));

test('every query of a dashboard names metrics that are exported', async () => {
  const known = await exported();
  expect(queries.length).toBeGreaterThan(20);
  for (const { expr } of queries) {
    const names = metricsOf(expr);
    expect({ expr, unknown: names.filter((name) => !known.has(name)) }).toEqual({
      expr,
      unknown: [],
    });
    expect(names.length).toBeGreaterThan(0);
  }
});

/** Of the client library. */
function isOfEveryProgram(name: string): boolean {
  return /^(?:process|nodejs)_/u.test(name);
}

test('rates are taken over windows that a scrape once a minute fills', () => {
  const windows = queries.flatMap(({ expr }) => [...expr.matchAll(/\[(\w+)\]/gu)]);
  const units = new Map([
    ['m', 60],
    ['h', 3_600],
  ]);
  expect(windows.length).toBeGreaterThan(10);
  for (const [, window = ''] of windows) {
    const seconds = Number(window.slice(0, -1)) * (units.get(window.slice(-1)) ?? 1);
    expect({ window, seconds }).toEqual({ window, seconds: Math.max(seconds, 240) });
  }
});

test('of what programs of others export as well, a dashboard shows ours alone', () => {
  const shared = queries.filter(({ expr }) => metricsOf(expr).some(isOfEveryProgram));
  expect(shared.length).toBeGreaterThan(2);
  for (const { expr } of shared) expect(expr).toContain(' and on (instance) pilot_info');
});

test('every metric that is declared is exported by somebody', () => {
  const sources = projectFiles().filter((path) => /^(?:libs|services)\/.*src\/.*\.ts$/u.test(path));
  const names = /(?:Metrics\.|['"])(\w+)/gu;
  const used = new Set(
    sources
      .filter((path) => !path.endsWith('metric-names.ts'))
      .map(textOf)
      .filter((text) => text.includes('metric-names.ts'))
      .flatMap((text) => [...text.matchAll(names)].map(([, name]) => name)),
  );
  const declared = [pilotMetrics, watershedMetrics].flatMap((group) => Object.keys(group));
  expect(declared.filter((name) => !used.has(name))).toEqual([]);
});

/**
 * What istio's own dashboard of the control plane reads (grafana.com 7645), of this release and of
 * those before it, where it can mean something here. It reads more: of Go's runtime, of istiod's
 * webhook for injection, of conflicts among listeners, which are diagnostics here.
 */
const istiosDashboard = [
  'sum(istio_build{component="pilot"}) by (tag)',
  'process_virtual_memory_bytes{app="istiod"}',
  'process_resident_memory_bytes{app="istiod"}',
  'irate(process_cpu_seconds_total{app="istiod"}[1m])',
  'sum(irate(pilot_xds_pushes[1m])) by (type)',
  'sum(rate(pilot_k8s_reg_events[1m])) by (type, event)',
  'sum(rate(pilot_k8s_cfg_events[1m])) by (type, event)',
  'sum(rate(pilot_push_triggers[1m])) by (type)',
  'sum(pilot_total_xds_rejects) by (type)',
  'pilot_total_xds_internal_errors',
  'sum(pilot_xds)',
  'sum(rate(pilot_xds_push_time_bucket{}[1m])) by (le)',
  'sum(rate(pilot_xds_config_size_bytes_bucket{}[1m])) by (le)',
  'sum(rate(galley_validation_passed[1m]))',
  'sum(rate(galley_validation_failed[1m]))',
  'histogram_quantile(0.99, sum(rate(pilot_proxy_convergence_time_bucket[1m])) by (le))',
  'pilot_xds_write_timeout',
  'pilot_virt_services',
  'pilot_services',
];

test("istio's dashboard of the control plane finds its metrics", async () => {
  const known = await exported();
  const names = new Set(istiosDashboard.flatMap(metricsOf));
  expect([...names].filter((name) => !known.has(name))).toEqual([]);
});

test('the metrics of a query are told from its functions, labels and words', () => {
  expect(
    metricsOf(
      'histogram_quantile(0.9, sum by (le, a) (rate(x_bucket{b="c_d"}[5m]))) > bool y or z',
    ),
  ).toEqual(['x_bucket', 'y', 'z']);
});

test('dashboards read the data source that is provisioned', () => {
  const provisioned = readFileSync(join(directory, '../compose/grafana/datasources.yml'), 'utf8');
  const uids = dashboards.flatMap(({ panels }) => panels.map(({ datasource }) => datasource.uid));
  expect([...new Set(uids)]).toEqual(['prometheus']);
  expect(provisioned).toContain('uid: prometheus\n');
});
