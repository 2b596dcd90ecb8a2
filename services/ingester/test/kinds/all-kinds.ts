import type { Registration } from '../../src/core/registry.ts';
import { coreKinds } from '../../src/kinds/core/kinds.ts';
import { istioKinds } from '../../src/kinds/istio/kinds.ts';

export const allKinds: readonly Registration[] = [...coreKinds, ...istioKinds];
