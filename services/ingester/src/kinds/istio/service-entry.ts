import type { Reader } from '@watershed/derive/graph.ts';
import { Origin, Protocol, Resolution, Service, ServicePort } from '@watershed/model/gen/model.ts';
import type { Endpoint } from '@watershed/model/gen/model.ts';
import { configKey } from '@watershed/model/keys.ts';
import { entryName } from '@watershed/model/objects.ts';
import {
  ServiceEntry,
  ServiceEntry_Location,
  ServiceEntry_Resolution,
} from '@watershed/proto/istio/networking/v1alpha3/service_entry.ts';
import type { Emission, Emitted, Kind, SourceObject, World } from '../../kind.ts';
import { textsOf } from '../common/absent.ts';
import { distributionOf } from '../common/distribution.ts';
import { exportedTo } from '../common/export-to.ts';
import { canonicalHost, sortedSet, wildcardsOver } from '../common/hosts.ts';
import { selects } from '../common/labels.ts';
import { parseProtocol } from '../common/protocol.ts';
import { podKind } from '../core/pod.ts';
import { apiVersions, istioDecoder } from './decode.ts';
import { lostEntryHosts } from './entry-conflicts.ts';
import { inlineWorkloads } from './entry-workloads.ts';
import { endpointsEvent, podEndpoint, servedPorts, workloadEndpoint } from './endpoints.ts';
import { checkServiceEntry } from './service-entry-check.ts';

const blankService = Service.create();
const blankPort = ServicePort.create();

const resolutions: Readonly<Record<ServiceEntry_Resolution, Resolution>> = {
  [ServiceEntry_Resolution.NONE]: Resolution.RESOLUTION_NONE,
  [ServiceEntry_Resolution.STATIC]: Resolution.RESOLUTION_STATIC,
  [ServiceEntry_Resolution.DNS]: Resolution.RESOLUTION_DNS,
  [ServiceEntry_Resolution.DNS_ROUND_ROBIN]: Resolution.RESOLUTION_DNS_ROUND_ROBIN,
  // Refused before.
  [ServiceEntry_Resolution.DYNAMIC_DNS]: Resolution.UNRECOGNIZED,
  [ServiceEntry_Resolution.UNRECOGNIZED]: Resolution.UNRECOGNIZED,
};

/**
 * Of entries that select workloads, by namespace: who they select can be asked from the workload's
 * side.
 */
export const selectingIndex = 'selecting';

/** By host, in full form. */
export const hostIndex = 'host';

/** By the wildcards that match a host: `*.example.com` has all of its entries below. */
export const widerHostIndex = 'wider host';

/** By the number of each port. */
export const entryPortIndex = 'port';

export const serviceEntryKind: Kind<ServiceEntry> = {
  apiVersions,
  kind: 'ServiceEntry',
  namespaced: true,
  indexes: {
    [hostIndex]: ({ spec }) => entryHosts(spec),
    [widerHostIndex]: ({ spec }) => sortedSet(entryHosts(spec).flatMap(wildcardsOver)),
    [entryPortIndex]: ({ spec }) => spec.ports.map(({ number }) => String(number)),
    [selectingIndex]: ({ spec, ref }) =>
      spec.workloadSelector !== undefined && spec.resolution !== ServiceEntry_Resolution.NONE
        ? [ref.namespace]
        : [],
  },
  alsoNamed: (raw) => textsOf(raw, 'hosts').map(canonicalHost),
  decode: istioDecoder({
    typeName: 'istio.networking.v1alpha3.ServiceEntry',
    codec: ServiceEntry,
    check: checkServiceEntry,
  }),
  emit,
};

export function entryHosts(spec: ServiceEntry): string[] {
  return sortedSet(spec.hosts.map(canonicalHost));
}

function emit(read: Reader, world: World, object: SourceObject<ServiceEntry>): Emission {
  const { namespace, name } = object.ref;
  const { cluster } = world.settings;
  const shared = service(read, world, object);
  const events = entryHosts(object.spec).map((host): Emitted => {
    const key = configKey({ cluster, kind: 'service', namespace, name: entryName(name, host) });
    const value = { ...shared, host };
    return { topic: 'config', key, event: { object: { $case: 'service', value } } };
  });
  const workloads = inlineWorkloads(world, object, entryHosts(object.spec));
  const problems = lostEntryHosts(read, world, object, world.index(serviceEntryKind, hostIndex));
  return { events: [...events, ...endpoints(read, world, object), ...workloads], problems };
}

function service(read: Reader, world: World, object: SourceObject<ServiceEntry>): Service {
  const { spec, ref } = object;
  return {
    ...blankService,
    namespace: ref.namespace,
    name: ref.name,
    origin: Origin.ORIGIN_SERVICE_ENTRY,
    ports: spec.ports
      .map((port) => ({
        ...blankPort,
        number: port.number,
        name: port.name,
        protocol: parseProtocol(port.protocol) ?? Protocol.PROTOCOL_AUTO,
        targetPort: port.targetPort,
      }))
      .sort((a, b) => a.number - b.number),
    resolution: resolutions[spec.resolution],
    meshExternal: spec.location === ServiceEntry_Location.MESH_EXTERNAL,
    addresses: sortedSet(spec.addresses.map(canonicalAddress)),
    exportTo: exportedTo(read, world, {
      given: spec.exportTo,
      of: 'service',
      namespace: ref.namespace,
    }),
    selector: spec.workloadSelector?.labels ?? {},
    subjectAltNames: sortedSet(spec.subjectAltNames),
    createdMs: object.createdMs,
    distribution: distributionOf('', object.annotations),
  };
}

/** A block of one address is that address. */
function canonicalAddress(address: string): string {
  const [ip = '', bits] = address.toLowerCase().split('/');
  const whole = ip.includes(':') ? '128' : '32';
  return bits === undefined || bits === whole ? ip : `${ip}/${bits}`;
}

/** The inline endpoints and the selected Pods, one record per host. */
function endpoints(read: Reader, world: World, object: SourceObject<ServiceEntry>): Emitted[] {
  const { spec, ref } = object;
  const { namespace, name } = ref;
  const found = spec.endpoints
    .filter((entry) => entry.address !== '')
    .map((entry) => workloadEndpoint(entry, entry.labels, servedPorts(spec.ports, entry.ports)));
  found.push(...selectedPods(read, world, object));
  if (found.length === 0) return [];
  const { cluster } = world.settings;
  return entryHosts(spec).map((host) =>
    endpointsEvent({ host, cluster, kind: 'entry', namespace, name }, namespace, found),
  );
}

/** Selected WorkloadEntries are records of their own, so that one of them changes one record. */
function selectedPods(
  read: Reader,
  world: World,
  { spec, ref }: SourceObject<ServiceEntry>,
): Endpoint[] {
  const selector = spec.workloadSelector?.labels;
  if (selector === undefined || spec.resolution === ServiceEntry_Resolution.NONE) return [];
  const ports = servedPorts(spec.ports, {});
  const pods = read.lookup(world.index(podKind, 'namespace'), ref.namespace);
  return pods
    .filter(({ value }) => selects(selector, value.labels))
    .map(({ value }) => podEndpoint(read, world, value, ports))
    .filter((endpoint) => endpoint !== undefined);
}
