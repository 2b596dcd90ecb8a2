/** The inline endpoints of ServiceEntries, and WorkloadEntries, as workloads. */
import type { Workload, WorkloadService } from '@watershed/model/gen/model.ts';
import type { ServiceEntry } from '@watershed/proto/istio/networking/v1alpha3/service_entry.ts';
import type { WorkloadEntry } from '@watershed/proto/istio/networking/v1alpha3/workload_entry.ts';
import type { Emitted, SourceObject, World } from '../../kind.ts';
import { unixPath } from '../common/checks.ts';
import { canonicalHost, isAddress } from '../common/hosts.ts';
import type { Labels } from '../common/labels.ts';
import { describeWorkload, workloadEvent, workloadService } from '../common/workload.ts';
import { localityOf, servedPorts } from './endpoints.ts';
import { isDns } from './service-entry-check.ts';

/** What an entry says of its workload; `undefined`: it is none that has an address of its own. */
function describeEntry(entry: WorkloadEntry): Partial<Workload> | undefined {
  if (entry.address === '' || unixPath(entry.address) !== undefined) return undefined;
  const address = canonicalHost(entry.address);
  return {
    ...(isAddress(address) ? { addresses: [address] } : { hostname: address }),
    serviceAccount: entry.serviceAccount,
    locality: localityOf(entry.locality),
    capacity: entry.weight,
  };
}

/** An entry's own network before that of a label. */
function network(entry: WorkloadEntry): Partial<Workload> {
  return entry.network === '' ? {} : { network: entry.network };
}

/** Each inline endpoint; of a DNS entry without any, each host. `hosts`: in full form. */
export function inlineWorkloads(
  world: World,
  { spec, ref, labels, annotations }: SourceObject<ServiceEntry>,
  hosts: readonly string[],
): Emitted[] {
  if (!world.settings.ambient) return [];
  const { namespace, name } = ref;
  const described = describeWorkload(labels, annotations, name);
  const behind = (host: string, entry: WorkloadEntry | undefined): WorkloadService =>
    workloadService(namespace, host, spec.ports, servedPorts(spec.ports, entry?.ports ?? {}));
  const event = (address: string, more: Partial<Workload>): Emitted => {
    const uid = `networking.istio.io/ServiceEntry/${namespace}/${name}/${address}`;
    return workloadEvent(world, uid, { ...described, ...more, name, namespace });
  };
  const implied =
    spec.endpoints.length === 0 && isDns(spec.resolution) && spec.workloadSelector === undefined;
  if (implied) {
    const plain = hosts.filter((host) => !host.startsWith('*'));
    return plain.map((host) =>
      event(host, { hostname: host, services: [behind(host, undefined)] }),
    );
  }
  const byAddress = new Map(spec.endpoints.map((entry) => [canonicalHost(entry.address), entry]));
  return [...byAddress].flatMap(([address, entry]) => {
    const known = describeEntry(entry);
    if (known === undefined) return [];
    const services = hosts.map((host) => behind(host, entry));
    return [event(address, { ...known, ...network(entry), services })];
  });
}

/** A WorkloadEntry; `services`: those that select it. */
export function entryWorkload(
  world: World,
  object: Pick<SourceObject<unknown>, 'ref' | 'annotations'>,
  entry: WorkloadEntry,
  labels: Labels,
  more: Pick<Workload, 'services' | 'unhealthy'>,
): Emitted[] {
  const known = describeEntry(entry);
  if (!world.settings.ambient || known === undefined) return [];
  const { namespace, name } = object.ref;
  const uid = `networking.istio.io/WorkloadEntry/${namespace}/${name}`;
  const workloadName = labels['service.istio.io/workload-name'] ?? name;
  const described = describeWorkload(labels, object.annotations, workloadName);
  const rest = { ...known, ...network(entry), ...more, name, namespace };
  return [workloadEvent(world, uid, { ...described, ...rest })];
}
