/** Which hosts there are, as far as this source says. */
import type { Reader } from '@watershed/derive/graph.ts';
import type { ServiceEntry } from '@watershed/proto/istio/networking/v1alpha3/service_entry.ts';
import type { ObjectRef, SourceObject, World } from '../../kind.ts';
import { butRefused } from '../common/absent.ts';
import { serviceAt, wildcardsOver } from '../common/hosts.ts';
import { hasPort, type ServiceSpec } from '../core/service-spec.ts';
import { serviceKind } from '../core/service.ts';
import { hostIndex, serviceEntryKind } from './service-entry.ts';

export function serviceOf(read: Reader, world: World, host: string): ServiceSpec | undefined {
  const at = serviceAt(host, world.settings.domain);
  return at && read.get(world.objects(serviceKind), `${at.namespace}/${at.name}`)?.spec;
}

export function entriesOf(
  read: Reader,
  world: World,
  host: string,
): readonly SourceObject<ServiceEntry>[] {
  return read.lookup(world.index(serviceEntryKind, hostIndex), host).map(({ value }) => value);
}

/** Those that would be called so, had they not been refused. */
export function refusedAt(read: Reader, world: World, host: string): readonly ObjectRef[] {
  const at = serviceAt(host, world.settings.domain);
  const services = at && world.refused(read, serviceKind, `${at.namespace}/${at.name}`);
  return [...(services ?? []), ...world.refused(read, serviceEntryKind, host)];
}

/** Why nothing is called so; undefined: something is. A cluster has one host's name, as it is. */
export function absentHost(read: Reader, world: World, host: string): string | undefined {
  if (serviceOf(read, world, host) !== undefined) return undefined;
  if (entriesOf(read, world, host).length > 0) return undefined;
  const refused = refusedAt(read, world, host);
  const reason = `no Service or ServiceEntry in this cluster has host ${host}${butRefused(refused)}`;
  // `web.shop` is taken as it is.
  const longer = `${host}.svc.${world.settings.domain}`;
  if (serviceOf(read, world, longer) !== undefined) return `${reason}; ${longer} is a Service's`;
  const wider = wildcardsOver(host).find((wildcard) => entriesOf(read, world, wildcard).length > 0);
  return wider === undefined ? reason : `${reason}; ${wider} of a ServiceEntry is another host`;
}

/** Why nothing of a host that is there has the port; entries may list no ports, too. */
export function absentPort(
  read: Reader,
  world: World,
  host: string,
  number: number,
): string | undefined {
  const service = serviceOf(read, world, host);
  if (service !== undefined) {
    return hasPort(service, number) ? undefined : `Service ${host} has no such port`;
  }
  const isServed = entriesOf(read, world, host).some(
    ({ spec: { ports } }) => ports.length === 0 || ports.some((port) => port.number === number),
  );
  return isServed ? undefined : `no ServiceEntry of ${host} has such a port`;
}
