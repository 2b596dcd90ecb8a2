import type { Reader } from '@watershed/derive/graph.ts';
import { decode, isServed, object, optional, refine, required, text } from '../../decode.ts';
import type { Kind, World } from '../../kind.ts';
import { anyReference, group } from './fields.ts';

export interface GatewayClass {
  readonly controllerName: string;
}

/** Classes of these controllers are served. istiod's too: so that its users change nothing. */
const controllers = new Set(['watershed.dev/gateway-controller', 'istio.io/gateway-controller']);

/** Classes that are there without an object, as istiod makes `istio`. */
const impliedClasses = new Set(['watershed', 'istio']);

const parametersRef = refine(anyReference, (value, at) => {
  at.warn(value.name, 'is not supported and has no effect');
  return value;
});

const gatewayClass = object(
  {
    controllerName: required(
      text({
        min: 1,
        max: 253,
        pattern: /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/\S+$/u,
        reason: 'must be a domain, "/" and a path, as example.com/controller',
      }),
    ),
    parametersRef: optional(parametersRef),
  },
  ['description'],
);

export const gatewayClassKind: Kind<GatewayClass> = {
  apiVersions: [`${group}/v1`, `${group}/v1beta1`],
  kind: 'GatewayClass',
  namespaced: false,
  decode: (raw) => {
    const { spec, problems } = decode(gatewayClass, raw['spec'] ?? {}, {
      path: 'spec',
      unknownFields: isServed(raw) ? 'warning' : 'error',
    });
    if (spec === undefined) return { problems };
    const { controllerName } = spec;
    // What is wrong with the class of another controller is its own affair.
    return { spec: { controllerName }, problems: controllers.has(controllerName) ? problems : [] };
  },
  // Read by Gateways.
  emit: () => ({ events: [], problems: [] }),
};

/**
 * Whose the Gateways of a class are. `unknown`: no object defines it, so nobody will serve them: a
 * typing error, most likely.
 */
export function ownerOfClass(
  read: Reader,
  world: World,
  name: string,
): 'ours' | 'foreign' | 'unknown' {
  const known = read.get(world.objects(gatewayClassKind), `/${name}`);
  if (known === undefined) return impliedClasses.has(name) ? 'ours' : 'unknown';
  return controllers.has(known.spec.controllerName) ? 'ours' : 'foreign';
}
