import type { Registration } from '../../core/registry.ts';
import { register } from '../../core/registry.ts';
import { authorizationPolicyKind } from './authorization-policy.ts';
import { destinationRuleKind } from './destination-rule.ts';
import { gatewayKind } from './gateway.ts';
import { peerAuthenticationKind } from './peer-authentication.ts';
import { serviceEntryKind } from './service-entry.ts';
import { sidecarKind } from './sidecar.ts';
import { virtualServiceKind } from './virtual-service.ts';
import { workloadEntryKind } from './workload-entry.ts';

/** Istio's kinds of networking, and of who may call whom. */
export const istioKinds: readonly Registration[] = [
  register(virtualServiceKind),
  register(destinationRuleKind),
  register(gatewayKind),
  register(sidecarKind),
  register(serviceEntryKind),
  register(workloadEntryKind),
  register(authorizationPolicyKind),
  register(peerAuthenticationKind),
];
