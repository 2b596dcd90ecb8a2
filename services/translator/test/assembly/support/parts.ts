/** Route tables without hosts, and no routers: both are tested beside the code that plans them. */
import type { ScopeClass } from '@watershed/model/gen/record.ts';
import type { ManifestTypePlan, ResourceKey, ResourcePlan } from '../../../src/plan.ts';
import type { PartsOf } from './world.ts';

export const parts: PartsOf = ({ inputs: { graph } }) => {
  const shared = graph.query<ResourceKey, ResourcePlan | undefined>({
    name: 'emptyTable',
    id: (key) => `${key.name}\n${key.variant}`,
    compute: (_read, key) => ({ key, parts: [], refs: [], follows: [], bypassesEpochs: false }),
  });
  const types = graph.query<ScopeClass, readonly ManifestTypePlan[]>({
    name: 'noRouter',
    id: (scope) => scope.namespace,
    compute: () => [],
  });
  return { routes: { shared }, routers: { shared, types } };
};
