import type { Reader } from '@watershed/derive/graph.ts';
import type { Endpoint } from '@watershed/model/gen/model.ts';
import type { EndpointsKey } from '@watershed/model/keys.ts';
import type { ServiceEntry } from '@watershed/proto/istio/networking/v1alpha3/service_entry.ts';
import { WorkloadEntry } from '@watershed/proto/istio/networking/v1alpha3/workload_entry.ts';
import type { At } from '../../decode.ts';
import { isObject } from '../../decode.ts';
import type {
  Decoded,
  Emission,
  Kind,
  RawObject,
  SourceObject,
  SourceSettings,
  World,
} from '../../kind.ts';
import { isAddress, serviceHost } from '../common/hosts.ts';
import { selects } from '../common/labels.ts';
import { destinationsOf } from '../core/destinations.ts';
import type { ServicePortSpec, ServiceSpec } from '../core/service-spec.ts';
import { serviceKind } from '../core/service.ts';
import { workloadService } from '../common/workload.ts';
import { apiVersions, istioDecoder } from './decode.ts';
import { entryWorkload } from './entry-workloads.ts';
import { endpointsEvent, servedPorts, workloadEndpoint } from './endpoints.ts';
import { checkEndpoint, isDns } from './service-entry-check.ts';
import { entryHosts, hostIndex, selectingIndex, serviceEntryKind } from './service-entry.ts';
import { uselessParts } from './workload-references.ts';

/** The spec, and what the workload's own health checks say. */
export interface Workload {
  readonly entry: WorkloadEntry;
  readonly healthy: boolean;
}

const healthAnnotation = 'proxy.istio.io/health-checks-enabled';

const decodeEntry = istioDecoder<WorkloadEntry>({
  typeName: 'istio.networking.v1alpha3.WorkloadEntry',
  codec: WorkloadEntry,
  check: (entry: WorkloadEntry, at: At) => {
    checkEndpoint(entry, at, { ports: undefined, names: true });
  },
});

export const workloadEntryKind: Kind<Workload> = {
  apiVersions,
  kind: 'WorkloadEntry',
  namespaced: true,
  readsStatus: true,
  decode: decodeWorkload,
  emit,
};

function decodeWorkload(raw: RawObject, settings: SourceSettings): Decoded<Workload> {
  const { spec, problems } = decodeEntry(raw, settings);
  return spec === undefined
    ? { problems }
    : { spec: { entry: spec, healthy: isHealthy(raw) }, problems };
}

/** With health checks on, a workload is unhealthy until it says otherwise. */
function isHealthy(raw: RawObject): boolean {
  const annotations = raw.metadata['annotations'];
  const enabled = isObject(annotations) && annotations[healthAnnotation] === 'true';
  if (!enabled) return true;
  const status = raw['status'];
  const conditions = isObject(status) ? status['conditions'] : undefined;
  if (!Array.isArray(conditions)) return false;
  return conditions.some(
    (condition: unknown) =>
      isObject(condition) && condition['type'] === 'Healthy' && condition['status'] === 'True',
  );
}

function emit(read: Reader, world: World, object: SourceObject<Workload>): Emission {
  const { entry, healthy } = object.spec;
  if (entry.address === '') return { events: [], problems: [] };
  const { namespace, name } = object.ref;
  const { cluster } = world.settings;
  const ofEntries = ofServiceEntries(read, world, object);
  const ofOthers = ofServices(read, world, object);
  const labels = workloadLabels(object);
  const problems = uselessParts(read, world, { ref: object.ref, entry, labels });
  const services = [
    ...[...ofEntries].map(([host, { ports }]) =>
      workloadService(namespace, host, entryPorts(read, world, namespace, host), ports),
    ),
    ...ofOthers.map(({ host, service, endpoint }) => {
      const ports = service.spec.ports.map((port) => ({ name: port.name, number: port.port }));
      return workloadService(namespace, host, ports, endpoint.ports);
    }),
  ];
  const more = { services, unhealthy: !healthy };
  const events = entryWorkload(world, object, entry, labels, more);
  if (!healthy) return { events, problems };
  const keyOf = (host: string): EndpointsKey => ({
    host,
    cluster,
    kind: 'workload',
    namespace,
    name,
  });
  for (const [host, endpoint] of ofEntries) {
    events.push(endpointsEvent(keyOf(host), namespace, [endpoint]));
  }
  for (const { host, service, endpoint } of ofOthers) {
    const key = keyOf(host);
    events.push(endpointsEvent(key, namespace, [endpoint]));
    events.push(...destinationsOf(key, service, [endpoint]));
  }
  return { events, problems };
}

/** The ports of the ServiceEntries of a namespace that have the host. */
function entryPorts(
  read: Reader,
  world: World,
  namespace: string,
  host: string,
): readonly { readonly name: string; readonly number: number }[] {
  if (!world.settings.ambient) return [];
  const entries = read.lookup(world.index(serviceEntryKind, hostIndex), host);
  const own = entries.filter(({ value }) => value.ref.namespace === namespace);
  const ports = own.flatMap(({ value }) => value.spec.ports);
  return [...new Map(ports.map((port) => [port.number, port])).values()];
}

/** Labels of the object and of its spec; the object's decide. */
function workloadLabels(object: SourceObject<Workload>): Readonly<Record<string, string>> {
  return { ...object.spec.entry.labels, ...object.labels };
}

/** By host: the endpoint as the ServiceEntries of the namespace that select it see it. */
function ofServiceEntries(
  read: Reader,
  world: World,
  object: SourceObject<Workload>,
): ReadonlyMap<string, Endpoint> {
  const labels = workloadLabels(object);
  const { entry } = object.spec;
  const byHost = new Map<string, Endpoint>();
  const selecting = world.index(serviceEntryKind, selectingIndex);
  for (const { value } of read.lookup(selecting, object.ref.namespace)) {
    if (!takes(value.spec, entry, labels)) continue;
    const ports = servedPorts(value.spec.ports, entry.ports);
    for (const host of entryHosts(value.spec)) {
      const before = byHost.get(host)?.ports;
      byHost.set(host, workloadEndpoint(entry, labels, { ...ports, ...before }));
    }
  }
  return byHost;
}

function takes(
  spec: ServiceEntry,
  entry: WorkloadEntry,
  labels: Readonly<Record<string, string>>,
): boolean {
  if (!selects(spec.workloadSelector?.labels ?? {}, labels)) return false;
  return isAddress(entry.address) || isDns(spec.resolution);
}

interface OfService {
  readonly host: string;
  readonly service: SourceObject<ServiceSpec>;
  readonly endpoint: Endpoint;
}

/** The endpoint as the Kubernetes Services of the namespace that select it see it. */
function ofServices(
  read: Reader,
  world: World,
  object: SourceObject<Workload>,
): readonly OfService[] {
  const { entry } = object.spec;
  const found: OfService[] = [];
  // Kubernetes Services have no endpoints that are names or sockets.
  if (!isAddress(entry.address)) return found;
  const labels = workloadLabels(object);
  const { namespace } = object.ref;
  for (const { value } of read.lookup(world.index(serviceKind, 'namespace'), namespace)) {
    const { selector, externalName, ports } = value.spec;
    if (Object.keys(selector).length === 0 || externalName !== '') continue;
    if (!selects(selector, labels)) continue;
    const host = serviceHost(value.ref.name, namespace, world.settings.domain);
    const endpoint = workloadEndpoint(entry, labels, targetPorts(ports, entry.ports));
    found.push({ host, service: value, endpoint });
  }
  return found;
}

/** A named target port is what the entry calls so; without it, the entry does not serve the port. */
function targetPorts(
  ports: readonly ServicePortSpec[],
  entry: Readonly<Record<string, number>>,
): Record<string, number> {
  const served = ports.map((port): [string, number] => {
    const { targetPort } = port;
    if (typeof targetPort === 'string') return [port.name, entry[targetPort] ?? 0];
    return [port.name, entry[port.name] || (targetPort ?? port.port)];
  });
  return Object.fromEntries(served.filter(([, number]) => number > 0));
}
