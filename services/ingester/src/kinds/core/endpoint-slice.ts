/** EndpointSlices: the addresses behind a Service, with what their Pods and Nodes say of them. */
import type { Reader } from '@watershed/derive/graph.ts';
import { Endpoint, Health, type Locality } from '@watershed/model/gen/model.ts';
import { show } from '../../decode.ts';
import type { Emission, Emitted, Kind, Problem, SourceObject, World } from '../../kind.ts';
import { whyAbsent } from '../common/absent.ts';
import { serviceHost } from '../common/hosts.ts';
import { maxTold } from '../common/told.ts';
import { workloadEvent, workloadService } from '../common/workload.ts';
import { endpointsEvent, localityOf } from '../istio/endpoints.ts';
import { destinationsOf } from './destinations.ts';
import {
  decodeSlice,
  serviceLabel,
  type SliceEndpoint,
  type SliceSpec,
} from './endpoint-slice-spec.ts';
import { localityOfNode, nodeKind } from './node.ts';
import { addressIndex, podKind, type PodSpec } from './pod.ts';
import { refusedBehind } from './refused-behind.ts';
import type { ServiceSpec } from './service-spec.ts';
import { serviceKind } from './service.ts';

const blankEndpoint = Endpoint.create();

const tlsModeLabel = 'security.istio.io/tlsMode';
const networkLabel = 'topology.istio.io/network';
const localityLabel = 'istio-locality';

/** Slices by the Pods behind them, `namespace/name`. */
export const podIndex = 'pod';

export const endpointSliceKind: Kind<SliceSpec> = {
  apiVersions: ['discovery.k8s.io/v1', 'discovery.k8s.io/v1beta1'],
  kind: 'EndpointSlice',
  namespaced: true,
  indexes: {
    [podIndex]: ({ ref, spec }) =>
      spec.service === '' || spec.addressType === 'FQDN'
        ? []
        : spec.endpoints.flatMap(({ pod }) => (pod === '' ? [] : [`${ref.namespace}/${pod}`])),
  },
  decode: decodeSlice,
  emit,
};

function emit(read: Reader, world: World, object: SourceObject<SliceSpec>): Emission {
  const { spec, ref } = object;
  const { cluster, domain } = world.settings;
  const { namespace, name } = ref;
  const service = read.get(world.objects(serviceKind), `${namespace}/${spec.service}`);
  const useless = uselessParts(read, world, spec, `${namespace}/${spec.service}`, service?.spec);
  // A slice of no Service, or of DNS names (which no Kubernetes controller makes): nobody's
  // endpoints.
  if (spec.service === '' || spec.addressType === 'FQDN') return { events: [], problems: useless };
  const byAddress = new Map<string, Endpoint>();
  for (const found of spec.endpoints) {
    for (const address of found.addresses) {
      if (byAddress.has(address)) continue;
      const pod = podOf(read, world, namespace, found, address);
      byAddress.set(address, {
        ...endpointOf(read, world, found, pod),
        address,
        ports: spec.ports,
      });
    }
  }
  const host = serviceHost(spec.service, namespace, domain);
  const key = { host, cluster, kind: 'slice', namespace, name } as const;
  const endpoints = [...byAddress.values()];
  const events = [
    endpointsEvent(key, namespace, endpoints),
    ...destinationsOf(key, service, endpoints),
    ...workloads(world, object, host, service),
  ];
  return { events, problems: [...useless, ...refusedBehind(read, world, object)] };
}

/** What of a slice nobody can use. Kubernetes' controllers make none of that; who writes files may. */
function uselessParts(
  read: Reader,
  world: World,
  { service: name, addressType, ports }: SliceSpec,
  key: string,
  service: ServiceSpec | undefined,
): readonly Problem[] {
  const tell = (field: string, value: string, reason: string): Problem => {
    return { severity: 'warning', field, value: show(value), reason };
  };
  const ofService = `metadata.labels[${JSON.stringify(serviceLabel)}]`;
  if (name === '') return [tell(ofService, '', 'is required: the slice is of no Service')];
  if (addressType === 'FQDN') {
    return [tell('addressType', addressType, 'is not supported: the slice has no effect')];
  }
  if (service === undefined) {
    return [tell(ofService, name, whyAbsent(read, world, serviceKind, key))];
  }
  const known = service.ports.map((port) => port.name);
  const strange = Object.keys(ports).filter((port) => !known.includes(port));
  return strange
    .slice(0, maxTold)
    .map((port) => tell('ports', port, `Service ${key} has no port of this name`));
}

/** Addresses without a Pod: nothing else is known of them, and somebody else may have them too. */
function workloads(
  world: World,
  { spec, ref }: SourceObject<SliceSpec>,
  host: string,
  service: SourceObject<ServiceSpec> | undefined,
): Emitted[] {
  const { namespace, name } = ref;
  const others = spec.endpoints.filter(({ pod }) => pod === '');
  if (!world.settings.ambient || others.length === 0) return [];
  if (service === undefined) return [];
  const ports = service.spec.ports.map((port) => ({ name: port.name, number: port.port }));
  const services = [workloadService(namespace, host, ports, spec.ports)];
  const byAddress = new Map(others.map((found) => [found.addresses[0] ?? '', found]));
  return [...byAddress].map(([address, found]) => {
    const uid = `discovery.k8s.io/EndpointSlice/${namespace}/${name}/${address}`;
    const { addresses } = found;
    const unhealthy = found.ready === false;
    const rest = { name, namespace, services, unhealthy, sharedAddress: true };
    return workloadEvent(world, uid, { ...rest, addresses: [...addresses] });
  });
}

/**
 * The Pod that the slice names. Slices that somebody else than Kubernetes writes name none: then
 * the namespace's Pod with the address (istiod). Several may have their Node's; which is meant
 * cannot be known.
 */
function podOf(
  read: Reader,
  world: World,
  namespace: string,
  { pod }: SliceEndpoint,
  address: string,
): SourceObject<PodSpec> | undefined {
  if (pod !== '') return read.get(world.objects(podKind), `${namespace}/${pod}`);
  if (!world.hasAny(read, podKind, namespace)) return undefined;
  const found = read.lookup(world.index(podKind, addressIndex), address);
  return found.find(({ value }) => value.ref.namespace === namespace && !value.spec.ended)?.value;
}

function endpointOf(
  read: Reader,
  world: World,
  found: SliceEndpoint,
  pod: SourceObject<PodSpec> | undefined,
): Endpoint {
  const labels = pod?.labels ?? {};
  return {
    ...blankEndpoint,
    labels,
    locality: localityFor(read, world, found, pod),
    health: healthOf(found),
    network: labels[networkLabel] ?? '',
    serviceAccount: pod?.spec.serviceAccount ?? '',
    mtls: labels[tlsModeLabel] === 'istio',
    hostname: found.hostname,
  };
}

/** The Pod's own label, else what its Node says, else the zone that the slice says. */
function localityFor(
  read: Reader,
  world: World,
  found: SliceEndpoint,
  pod: SourceObject<PodSpec> | undefined,
): Locality | undefined {
  const label = pod?.labels[localityLabel] ?? '';
  if (label !== '') return localityOf(label.replaceAll('.', '/'));
  const nodeName = found.nodeName === '' ? (pod?.spec.nodeName ?? '') : found.nodeName;
  const node = nodeName === '' ? undefined : read.get(world.objects(nodeKind), `/${nodeName}`);
  const ofNode = node === undefined ? undefined : localityOfNode(node);
  if (ofNode !== undefined) return ofNode;
  return found.zone === '' ? undefined : { region: '', zone: found.zone, subZone: '' };
}

/**
 * Kubernetes' conditions; what is absent is true (ready, serving) or false (terminating). An
 * endpoint that terminates but still serves is drained: sessions may stay, new ones go elsewhere.
 */
function healthOf({ ready, serving, terminating }: SliceEndpoint): Health {
  if (ready ?? true) return Health.HEALTH_HEALTHY;
  return (serving ?? true) && (terminating ?? false)
    ? Health.HEALTH_DRAINING
    : Health.HEALTH_UNHEALTHY;
}
