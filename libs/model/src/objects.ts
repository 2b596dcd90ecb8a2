/**
 * Which object of the users a record of `config` is of. Kinds of several APIs have records of one
 * kind, and objects of the same name; what their records' names have more is what no name of an
 * object can have.
 */
import type { ConfigKey, ConfigKind, ObjectName } from './keys.ts';

const gatewayPrefix = 'gateway-api:';
const httpRoutePrefix = 'httproute:';

/** Of a Gateway of the Gateway API; Istio's has its own name. */
export function gatewayName(name: string): string {
  return gatewayPrefix + name;
}

/** Of an HTTPRoute; a VirtualService has its own name. */
export function httpRouteName(name: string): string {
  return httpRoutePrefix + name;
}

/** Of one host of a ServiceEntry; a Service has its own name. */
export function entryName(name: string, host: string): string {
  return `${name}:${host}`;
}

const networking = 'networking.istio.io';
const security = 'security.istio.io';
const gatewayApi = 'gateway.networking.k8s.io';

/** Others are nobody's object. */
const kinds: Readonly<Partial<Record<ConfigKind, Pick<ObjectName, 'group' | 'kind'>>>> = {
  mesh: { group: 'mesh.istio.io', kind: 'MeshConfig' },
  namespace: { group: '', kind: 'Namespace' },
  service: { group: '', kind: 'Service' },
  policy: { group: networking, kind: 'DestinationRule' },
  gateway: { group: networking, kind: 'Gateway' },
  route: { group: networking, kind: 'VirtualService' },
  scope: { group: networking, kind: 'Sidecar' },
  secret: { group: '', kind: 'Secret' },
  authorization: { group: security, kind: 'AuthorizationPolicy' },
  peerAuthentication: { group: security, kind: 'PeerAuthentication' },
};

export function objectOf({ kind, namespace, name }: ConfigKey): ObjectName {
  const plain = { ...(kinds[kind] ?? { group: '', kind }), namespace, name };
  const at = name.indexOf(':');
  if (at < 0) return plain;
  // A route of an HTTPRoute may be one of several: `httproute:NAME:consumer`.
  const [, rest = ''] = name.split(':');
  switch (kind) {
    case 'gateway':
      return { group: gatewayApi, kind: 'Gateway', namespace, name: rest };
    case 'route':
      return { group: gatewayApi, kind: 'HTTPRoute', namespace, name: rest };
    case 'service':
      return { group: networking, kind: 'ServiceEntry', namespace, name: name.slice(0, at) };
    default:
      return plain;
  }
}
