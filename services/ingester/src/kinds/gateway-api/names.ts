/**
 * Names of the Gateway API's objects in the model. Istio's Gateway and VirtualService have records
 * of the same kinds, and an object of either API may have the same name, so these carry a prefix
 * that no name can have.
 */
export function gatewayName(name: string): string {
  return `gateway-api:${name}`;
}

export function httpRouteName(name: string): string {
  return `httproute:${name}`;
}
