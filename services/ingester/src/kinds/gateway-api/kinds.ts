import type { Registration } from '../../core/registry.ts';
import { register } from '../../core/registry.ts';
import { gatewayClassKind } from './gateway-class.ts';
import { k8sGatewayKind } from './gateway.ts';
import { httpRouteKind } from './http-route.ts';
import { referenceGrantKind } from './reference-grant.ts';

/** The Gateway API's kinds. */
export const gatewayApiKinds: readonly Registration[] = [
  register(gatewayClassKind),
  register(k8sGatewayKind),
  register(httpRouteKind),
  register(referenceGrantKind),
];
