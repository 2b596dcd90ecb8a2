/** ClusterLoadAssignments: a head, and a fragment per locality (and priority). */
import type { Reader } from '@watershed/derive/graph.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import { assignmentHead, localityEndpoints } from '../generators/endpoints.ts';
import type { Inputs } from '../inputs.ts';
import { job, type Diagnostic, type Job, type ResourceKey } from '../plan.ts';
import type { ClusterFacts, FactsQuery } from './cluster-facts.ts';
import { clusterVariant, nameOfCluster, parseCluster } from './cluster-key.ts';
import type { ClusterKey } from './cluster-key.ts';
import { sameJob } from './jobs.ts';
import type { LocalityQueries } from './localities.ts';
import type { PlanOf } from './parts.ts';
import {
  fragmentsOf,
  parsePlace,
  placedAt,
  placedVariant,
  subjectOf,
  type Fragment,
  type ProxyPlace,
} from './placement.ts';

/** The assignment of a cluster for a proxy somewhere. */
export function assignmentResource(key: ClusterKey, place: ProxyPlace): ResourceKey {
  const variant = placedVariant(clusterVariant(key), place);
  return { typeUrl: resourceTypes.endpoint, name: nameOfCluster(key), variant, host: key.host };
}

export function createAssignments(
  inputs: Inputs,
  facts: FactsQuery,
  localities: LocalityQueries,
): PlanOf {
  /** A locality whose endpoints are unchanged keeps its job. */
  const fragment = inputs.graph.query<Fragment, Job | undefined>({
    name: 'assignmentFragment',
    id: (key) => JSON.stringify(key),
    compute: (read, fragment) => {
      const known = localities.shareOf(read, fragment.share);
      return known && job(localityEndpoints, placedAt(known, fragment));
    },
    equal: sameJob,
  });
  return (read, key) => {
    const cluster = parseCluster(key.name, key.variant);
    const known = cluster && read.query(facts, cluster);
    if (cluster === undefined || known?.kind !== 'eds') return undefined;
    const fragments = fragmentsOf(read, localities, known, parsePlace(key.variant));
    const jobs = fragments.flatMap((one) => read.query(fragment, one) ?? []);
    const empty = jobs.length === 0;
    const problem = empty ? problemOf(inputs, localities, read, cluster, known) : undefined;
    return {
      key,
      parts: [job(assignmentHead, { clusterName: key.name }), ...jobs],
      refs: [],
      bypassesEpochs: true,
      empty,
      ...(problem === undefined ? {} : { diagnostics: [problem] }),
    };
  };
}

/** A subset of a host with endpoints that none of them is in, ready or not: a wrong label. */
function problemOf(
  inputs: Inputs,
  localities: LocalityQueries,
  read: Reader,
  { host, subset, policies }: ClusterKey,
  facts: ClusterFacts,
): Diagnostic | undefined {
  if (subset === '' || !read.query(localities.lacks, subjectOf(facts))) return undefined;
  const keys = policies.split(' ');
  const says = (key: string): boolean =>
    read.get(inputs.policies, key)?.value.subsets.some(({ name }) => name === subset) ?? false;
  const object = keys.find(says) ?? '';
  const field = `spec.subsets[${subset}].labels`;
  const value = JSON.stringify(facts.subsetLabels);
  return { object, field, value, reason: `no endpoint of ${host} has these labels` };
}
