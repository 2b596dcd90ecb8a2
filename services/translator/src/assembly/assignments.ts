/** ClusterLoadAssignments: a head, and a fragment per locality (and priority). */
import { resourceTypes } from '@watershed/proto/any.ts';
import { assignmentHead, localityEndpoints } from '../generators/endpoints.ts';
import type { Inputs } from '../inputs.ts';
import { job, type Job, type ResourceKey } from '../plan.ts';
import type { FactsQuery } from './cluster-facts.ts';
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
    return {
      key,
      parts: [job(assignmentHead, { clusterName: key.name }), ...jobs],
      refs: [],
      bypassesEpochs: true,
      empty: jobs.length === 0,
    };
  };
}
