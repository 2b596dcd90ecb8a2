import type { Inputs } from '../inputs.ts';
import type { Plans } from '../plan.ts';
import { composePlans } from './compose.ts';
import { createCore } from './core.ts';
import { createRouterPlans } from './routers.ts';
import { createSidecarRoutes } from './routes.ts';

/** The queries that the engine runs. */
export function createPlans(inputs: Inputs): Plans {
  const core = createCore(inputs);
  return composePlans(core, createSidecarRoutes(core), createRouterPlans(core));
}
