/** Which hosts there are, as far as this source says. */
import type { Reader } from '@watershed/derive/graph.ts';
import type { ServiceEntry } from '@watershed/proto/istio/networking/v1alpha3/service_entry.ts';
import type { SourceObject, World } from '../../kind.ts';
import { serviceAt } from '../common/hosts.ts';
import type { ServiceSpec } from '../core/service-spec.ts';
import { serviceKind } from '../core/service.ts';
import { hostIndex, serviceEntryKind } from './service-entry.ts';

export function serviceOf(read: Reader, world: World, host: string): ServiceSpec | undefined {
  const at = serviceAt(host, world.settings.domain);
  return at && read.get(world.objects(serviceKind), `${at.namespace}/${at.name}`)?.spec;
}

/** ServiceEntries that have it, or a wildcard that matches it. */
export function entriesOf(
  read: Reader,
  world: World,
  host: string,
): readonly SourceObject<ServiceEntry>[] {
  const index = world.index(serviceEntryKind, hostIndex);
  return covering(host).flatMap((of) => read.lookup(index, of).map(({ value }) => value));
}

/** The host, and the wildcards that match it. */
export function covering(host: string): readonly string[] {
  const labels = host.split('.');
  return [host, ...labels.slice(1).map((_, at) => `*.${labels.slice(at + 1).join('.')}`)];
}
