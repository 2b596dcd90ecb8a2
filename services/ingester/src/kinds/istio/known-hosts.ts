/** Which hosts there are, as far as this source says. */
import type { Reader } from '@watershed/derive/graph.ts';
import type { World } from '../../kind.ts';
import { serviceAt } from '../common/hosts.ts';
import type { ServiceSpec } from '../core/service-spec.ts';
import { serviceKind } from '../core/service.ts';
import { hostIndex, serviceEntryKind } from './service-entry.ts';

export function serviceOf(read: Reader, world: World, host: string): ServiceSpec | undefined {
  const at = serviceAt(host, world.settings.domain);
  return at && read.get(world.objects(serviceKind), `${at.namespace}/${at.name}`)?.spec;
}

/** Whether a ServiceEntry has it, or a wildcard that matches it. `from`: one of this namespace. */
export function hasEntry(read: Reader, world: World, host: string, from?: string): boolean {
  const index = world.index(serviceEntryKind, hostIndex);
  return covering(host).some((of) =>
    read.lookup(index, of).some(({ value }) => from === undefined || value.ref.namespace === from),
  );
}

/** Whether the ServiceEntries that have it have such a port; `undefined`: none has it. */
export function entryHasPort(
  read: Reader,
  world: World,
  host: string,
  number: number,
): boolean | undefined {
  const index = world.index(serviceEntryKind, hostIndex);
  const entries = covering(host).flatMap((of) => read.lookup(index, of));
  if (entries.length === 0) return undefined;
  return entries.some(
    ({ value: { spec } }) =>
      spec.ports.length === 0 || spec.ports.some((port) => port.number === number),
  );
}

/** The host, and the wildcards that match it. */
export function covering(host: string): readonly string[] {
  const labels = host.split('.');
  return [host, ...labels.slice(1).map((_, at) => `*.${labels.slice(at + 1).join('.')}`)];
}
