/** EndpointSlices: the addresses behind a Service, with what their Pods and Nodes say of them. */
import type { Reader } from '@watershed/derive/graph.ts';
import { Endpoint, Health, type Locality } from '@watershed/model/gen/model.ts';
import type { Emission, Kind, SourceObject, World } from '../../kind.ts';
import { serviceHost } from '../common/hosts.ts';
import { endpointsEvent, localityOf } from '../istio/endpoints.ts';
import { destinationsOf } from './destinations.ts';
import { decodeSlice, type SliceEndpoint, type SliceSpec } from './endpoint-slice-spec.ts';
import { localityOfNode, nodeKind } from './node.ts';
import { podKind, type PodSpec } from './pod.ts';
import { serviceKind } from './service.ts';

const blankEndpoint = Endpoint.create();

const tlsModeLabel = 'security.istio.io/tlsMode';
const networkLabel = 'topology.istio.io/network';
const localityLabel = 'istio-locality';

export const endpointSliceKind: Kind<SliceSpec> = {
  apiVersions: ['discovery.k8s.io/v1', 'discovery.k8s.io/v1beta1'],
  kind: 'EndpointSlice',
  namespaced: true,
  decode: decodeSlice,
  emit,
};

function emit(read: Reader, world: World, object: SourceObject<SliceSpec>): Emission {
  const { spec, ref } = object;
  // A slice of no Service, or of DNS names (which no Kubernetes controller makes): nobody's
  // endpoints.
  if (spec.service === '' || spec.addressType === 'FQDN') return { events: [], problems: [] };
  const { cluster, domain } = world.settings;
  const { namespace, name } = ref;
  const byAddress = new Map<string, Endpoint>();
  for (const found of spec.endpoints) {
    const endpoint = endpointOf(read, world, namespace, found, spec.ports);
    for (const address of found.addresses) {
      if (!byAddress.has(address)) byAddress.set(address, { ...endpoint, address });
    }
  }
  const host = serviceHost(spec.service, namespace, domain);
  const key = { host, cluster, kind: 'slice', namespace, name } as const;
  const endpoints = [...byAddress.values()];
  const service = read.get(world.objects(serviceKind), `${namespace}/${spec.service}`);
  const events = [
    endpointsEvent(key, namespace, endpoints),
    ...destinationsOf(key, service, endpoints),
  ];
  return { events, problems: [] };
}

function endpointOf(
  read: Reader,
  world: World,
  namespace: string,
  found: SliceEndpoint,
  ports: Readonly<Record<string, number>>,
): Endpoint {
  const pod =
    found.pod === '' ? undefined : read.get(world.objects(podKind), `${namespace}/${found.pod}`);
  const labels = pod?.labels ?? {};
  return {
    ...blankEndpoint,
    ports,
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
