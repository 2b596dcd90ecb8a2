import { register, type Registration } from '../../core/registry.ts';
import { endpointSliceKind } from './endpoint-slice.ts';
import { configMapKind, meshConfigKind } from './mesh-config.ts';
import { namespaceKind } from './namespace.ts';
import { nodeKind } from './node.ts';
import { emitPod } from './pod-workload.ts';
import { podKind } from './pod.ts';
import { secretKind } from './secret.ts';
import { serviceKind } from './service.ts';

/** Kubernetes' own kinds, and the mesh's settings. */
export const coreKinds: readonly Registration[] = [
  register(namespaceKind),
  register(serviceKind),
  register(endpointSliceKind),
  register(podKind, emitPod),
  register(nodeKind),
  register(secretKind),
  register(meshConfigKind),
  register(configMapKind),
];
