import type { Registration } from '../../core/registry.ts';
import { register } from '../../core/registry.ts';
import { destinationRuleKind } from './destination-rule.ts';
import { gatewayKind } from './gateway.ts';
import { serviceEntryKind } from './service-entry.ts';
import { sidecarKind } from './sidecar.ts';
import { virtualServiceKind } from './virtual-service.ts';
import { workloadEntryKind } from './workload-entry.ts';

/** Istio's networking kinds. */
export const istioKinds: readonly Registration[] = [
  register(virtualServiceKind),
  register(destinationRuleKind),
  register(gatewayKind),
  register(sidecarKind),
  register(serviceEntryKind),
  register(workloadEntryKind),
];
