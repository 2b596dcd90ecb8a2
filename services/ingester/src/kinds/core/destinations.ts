/**
 * The addresses behind a headless Service: its clients connect to them and not to one of the
 * Service's, so proxies have a listener for each (HTTP apart, which is told by host).
 */
import { Destinations, Protocol } from '@watershed/model/gen/model.ts';
import type { Endpoint } from '@watershed/model/gen/model.ts';
import { configKey, type EndpointsKey } from '@watershed/model/keys.ts';
import type { Emitted, SourceObject } from '../../kind.ts';
import { byCodeUnit } from '../common/hosts.ts';
import { portProtocol } from './port-protocol.ts';
import type { ServiceSpec } from './service-spec.ts';

const http: ReadonlySet<Protocol> = new Set([
  Protocol.PROTOCOL_HTTP,
  Protocol.PROTOCOL_HTTP2,
  Protocol.PROTOCOL_GRPC,
  Protocol.PROTOCOL_GRPC_WEB,
  Protocol.PROTOCOL_HTTP_PROXY,
]);

/** An object's share of them; none where the Service is not headless, or not there. */
export function destinationsOf(
  { host, cluster, kind, namespace, name }: EndpointsKey,
  service: SourceObject<ServiceSpec> | undefined,
  endpoints: readonly Endpoint[],
): readonly Emitted[] {
  if (service?.spec.headless !== true || service.spec.externalName !== '') return [];
  const ports = service.spec.ports.filter((port) => !http.has(portProtocol(port)));
  const byAddress = new Map<string, Set<string>>();
  for (const endpoint of endpoints) {
    const served = ports.filter((port) => endpoint.ports[port.name] !== undefined);
    const names = byAddress.get(endpoint.address) ?? new Set();
    for (const port of served) names.add(port.name);
    if (names.size > 0) byAddress.set(endpoint.address, names);
  }
  if (byAddress.size === 0) return [];
  const addresses = [...byAddress]
    .map(([address, names]) => ({ address, portNames: [...names].sort() }))
    .sort((a, b) => byCodeUnit(a.address, b.address));
  const value = { ...Destinations.create(), host, namespace, addresses };
  const key = configKey({
    cluster,
    kind: 'destinations',
    namespace,
    name: `${kind}:${name}:${host}`,
  });
  return [{ topic: 'config', key, event: { object: { $case: 'destinations', value } } }];
}
