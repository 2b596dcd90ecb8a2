/** Pods as workloads, with the services that they stand behind. */
import type { Reader } from '@watershed/derive/graph.ts';
import type { WorkloadService } from '@watershed/model/gen/model.ts';
import type { Emission, SourceObject, World } from '../../kind.ts';
import { serviceHost } from '../common/hosts.ts';
import { selects } from '../common/labels.ts';
import { describeWorkload, workloadEvent, workloadService } from '../common/workload.ts';
import { entryHosts, selectingIndex, serviceEntryKind } from '../istio/service-entry.ts';
import { endpointSliceKind, podIndex } from './endpoint-slice.ts';
import { localityOfNode, nodeKind } from './node.ts';
import type { PodSpec } from './pod.ts';
import type { ServicePortSpec, ServiceSpec } from './service-spec.ts';
import { serviceKind } from './service.ts';

type Pod = SourceObject<PodSpec>;

export function emitPod(read: Reader, world: World, pod: Pod): Emission {
  const { spec, ref, labels, annotations } = pod;
  // One that runs no more leaves its address to others.
  if (!world.settings.ambient || spec.ended || spec.addresses.length === 0) {
    return { events: [], problems: [] };
  }
  const { namespace, name } = ref;
  const { nodeName } = spec;
  const node = nodeName === '' ? undefined : read.get(world.objects(nodeKind), `/${nodeName}`);
  const event = workloadEvent(world, `/Pod/${namespace}/${name}`, {
    ...describeWorkload(labels, annotations, spec.workloadName),
    name,
    namespace,
    addresses: [...spec.addresses],
    serviceAccount: spec.serviceAccount,
    node: nodeName,
    unhealthy: !spec.ready || spec.deleting,
    sharedAddress: spec.hostNetwork,
    locality: node && localityOfNode(node),
    services: [...servicesOf(read, world, pod), ...entriesOf(read, world, pod)],
  });
  return { events: [event], problems: [] };
}

/** Services that select it, and those without a selector whose slices name it. */
function servicesOf(read: Reader, world: World, pod: Pod): WorkloadService[] {
  const { namespace, name } = pod.ref;
  const found: WorkloadService[] = [];
  const seen = new Set<string>();
  for (const { value } of read.lookup(world.index(serviceKind, 'namespace'), namespace)) {
    const { selector } = value.spec;
    if (Object.keys(selector).length === 0 || !selects(selector, pod.labels)) continue;
    seen.add(value.ref.name);
    found.push(...behind(world, value, pod.spec));
  }
  const slices = read.lookup(world.index(endpointSliceKind, podIndex), `${namespace}/${name}`);
  for (const { value } of slices) {
    if (seen.has(value.spec.service)) continue;
    seen.add(value.spec.service);
    const key = `${namespace}/${value.spec.service}`;
    const service = read.get(world.objects(serviceKind), key);
    if (service !== undefined) found.push(...behind(world, service, pod.spec));
  }
  return found;
}

function behind(
  world: World,
  { ref, spec }: SourceObject<ServiceSpec>,
  pod: PodSpec,
): WorkloadService[] {
  if (spec.externalName !== '') return [];
  const host = serviceHost(ref.name, ref.namespace, world.settings.domain);
  const ports = spec.ports.map(({ name, port }) => ({ name, number: port }));
  return [workloadService(ref.namespace, host, ports, podPorts(spec.ports, pod.ports))];
}

/** A named target port is what a container calls so; without it, the Pod does not serve the port. */
function podPorts(
  ports: readonly ServicePortSpec[],
  named: Readonly<Record<string, number>>,
): Readonly<Record<string, number>> {
  const served = ports.map(({ name, port, targetPort }) => {
    const target = typeof targetPort === 'string' ? named[targetPort] : targetPort;
    return [name, target ?? (typeof targetPort === 'string' ? 0 : port)] as const;
  });
  return Object.fromEntries(served.filter(([, number]) => number > 0));
}

function entriesOf(read: Reader, world: World, pod: Pod): WorkloadService[] {
  const { namespace } = pod.ref;
  const selecting = read.lookup(world.index(serviceEntryKind, selectingIndex), namespace);
  return selecting.flatMap(({ value }) => {
    const { workloadSelector, ports } = value.spec;
    if (!selects(workloadSelector?.labels ?? {}, pod.labels)) return [];
    const targets = ports.map(
      ({ name, number, targetPort }) =>
        [name, pod.spec.ports[name] ?? (targetPort || number)] as const,
    );
    return entryHosts(value.spec).map((host) =>
      workloadService(namespace, host, ports, Object.fromEntries(targets)),
    );
  });
}
