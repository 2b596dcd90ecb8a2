/** What of a proxy's node some output depends on: label keys, and whether its locality matters. */
import type { Query, Reader } from '@watershed/derive/graph.ts';
import type { LocalityLb, Policy, Route, TrafficPolicy } from '@watershed/model/gen/model.ts';
import type { Selectors } from '@watershed/model/gen/record.ts';
import { everything, type Inputs } from '../inputs.ts';
import { sameData } from './equal.ts';
import type { MeshQueries } from './mesh.ts';

export interface SelectorQueries {
  /** By namespace. */
  readonly selectors: Query<string, Selectors>;
  /** Label keys that routes visible to a namespace match on (`sourceLabels`), sorted. */
  readonly sourceLabels: Query<string, readonly string[]>;
  /** Label keys that gateways of a namespace's proxies select by, sorted. */
  readonly gatewayLabels: Query<string, readonly string[]>;
}

/** What a set of policies reads of a proxy. */
interface PolicyNeeds {
  readonly labels: readonly string[];
  readonly locality: boolean;
}

type Keys = Iterable<string>;

export function createSelectorQueries(inputs: Inputs, mesh: MeshQueries): SelectorQueries {
  const { graph, indexes } = inputs;
  const query = <V>(name: string, compute: (read: Reader, namespace: string) => V) =>
    graph.query<string, V>({ name, id: (key) => key, compute, equal: sameData });

  const routeLabels = query('routeLabels', (read, exportTo) =>
    sorted(read.lookup(indexes.routesByMesh, exportTo).flatMap((e) => sourceKeys(e.value.value))),
  );
  const sourceLabels = query('sourceLabels', (read, namespace) =>
    sorted([...read.query(routeLabels, '*'), ...read.query(routeLabels, namespace)]),
  );
  const policyNeeds = query('policyNeeds', (read, exportTo) =>
    needsOf(read.lookup(indexes.policiesByExport, exportTo).map((e) => e.value.value)),
  );
  const ownPolicies = query('ownPolicies', (read, namespace) =>
    needsOf(read.lookup(indexes.policiesByNamespace, namespace).map((e) => e.value.value)),
  );
  const workloadLabels = query('workloadLabels', (read, namespace) =>
    sorted([
      ...read
        .lookup(indexes.servicesByNamespace, namespace)
        .flatMap((entry) => Object.keys(entry.value.value.selector)),
      ...read
        .lookup(indexes.scopesByNamespace, namespace)
        .flatMap((entry) => Object.keys(entry.value.value.workloadSelector)),
      ...read
        .lookup(indexes.policiesByNamespace, namespace)
        .flatMap((entry) => Object.keys(entry.value.value.workloadSelector)),
      ...read
        .lookup(indexes.peerAuthenticationsByNamespace, namespace)
        .flatMap((entry) => Object.keys(entry.value.value.selector)),
    ]),
  );
  const gatewayLabels = query('gatewayLabels', (read, namespace) =>
    gatewayKeys(inputs, read, namespace),
  );
  const meshNeeds = mesh.facet('localityNeeds', (value) => localityNeeds(value.localityLb));

  const selectors = query('selectors', (read, namespace): Selectors => {
    const needs = [
      read.query(policyNeeds, '*'),
      read.query(policyNeeds, namespace),
      read.query(ownPolicies, namespace),
      read.query(meshNeeds, ''),
    ];
    return {
      labelKeys: sorted([
        ...read.query(workloadLabels, namespace),
        ...read.query(gatewayLabels, namespace),
        ...read.query(sourceLabels, namespace),
        ...needs.flatMap((need) => need.labels),
      ]),
      locality: needs.some((need) => need.locality),
    };
  });
  return { selectors, sourceLabels, gatewayLabels };
}

function sorted(keys: Keys): string[] {
  return [...new Set(keys)].sort();
}

function sourceKeys(route: Route): string[] {
  return route.rules.flatMap((rule) =>
    rule.matches.flatMap((match) => Object.keys(match.sourceLabels)),
  );
}

function gatewayKeys(inputs: Inputs, read: Reader, namespace: string): readonly string[] {
  return sorted(
    read
      .lookup(inputs.indexes.gateways, everything)
      .map((entry) => entry.value)
      .filter((gateway) => !gateway.value.sameNamespace || gateway.namespace === namespace)
      .flatMap((gateway) => Object.keys(gateway.value.selector)),
  );
}

function needsOf(policies: readonly Policy[]): PolicyNeeds {
  const all = policies.flatMap(trafficsOf);
  const locality = all.map((traffic) => localityNeeds(traffic.loadBalancer?.locality));
  return {
    labels: sorted(locality.flatMap((need) => need.labels)),
    locality:
      all.some((traffic) => traffic.outlierDetection !== undefined) ||
      locality.some((need) => need.locality),
  };
}

function trafficsOf(policy: Policy): TrafficPolicy[] {
  const tops = [policy.traffic, ...policy.subsets.map((subset) => subset.traffic)];
  const defined = tops.filter((traffic) => traffic !== undefined);
  const ports = defined.flatMap((traffic) => traffic.ports.flatMap((port) => port.traffic ?? []));
  return [...defined, ...ports];
}

function localityNeeds(locality: LocalityLb | undefined): PolicyNeeds {
  if (locality === undefined || locality.enabled === false) return { labels: [], locality: false };
  return {
    // `key` or `key=value`: with a value, the proxy's own is not read.
    labels: locality.failoverPriority.filter((label) => !label.includes('=')),
    locality: locality.distribute.length > 0,
  };
}
