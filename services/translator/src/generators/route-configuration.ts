/** The head of a route table; its virtual hosts follow as fragments of their own. */
import { RouteConfiguration } from '@watershed/proto/gen/envoy/config/route/v3/route.ts';
import type { Generator } from '../plan.ts';

export interface RouteConfigurationArgument {
  readonly name: string;
  /** False only for an HTTP proxy's table, whose virtual hosts are told apart by port. */
  readonly ignorePort: boolean;
}

export const routeConfiguration: Generator<RouteConfigurationArgument> = {
  name: 'route-configuration',
  version: 1,
  generate({ name, ignorePort }) {
    const table = RouteConfiguration.fromPartial({
      name,
      // A cluster may arrive after the table; the pusher orders them, Envoy must not reject.
      validateClusters: false,
      ignorePortInHostMatching: ignorePort,
      // istiod's limit for direct responses, in bytes.
      maxDirectResponseBodySizeBytes: 1024 * 1024,
    });
    return { bytes: RouteConfiguration.encode(table).finish() };
  },
};
