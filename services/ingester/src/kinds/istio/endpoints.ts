import type { Reader } from '@watershed/derive/graph.ts';
import { Endpoint, Endpoints, Locality } from '@watershed/model/gen/model.ts';
import type { EndpointsKey } from '@watershed/model/keys.ts';
import { endpointsKey } from '@watershed/model/keys.ts';
import type { ServicePort } from '@watershed/proto/istio/networking/v1alpha3/service_entry.ts';
import type { WorkloadEntry } from '@watershed/proto/istio/networking/v1alpha3/workload_entry.ts';
import type { Emitted, SourceObject, World } from '../../kind.ts';
import { unixPath } from '../common/checks.ts';
import { byCodeUnit, canonicalHost } from '../common/hosts.ts';
import { localityOfNode, nodeKind } from '../core/node.ts';
import type { PodSpec } from '../core/pod.ts';

const blankEndpoint = Endpoint.create();
const blankEndpoints = Endpoints.create();

const tlsModeLabel = 'security.istio.io/tlsMode';
const networkLabel = 'topology.istio.io/network';
const localityLabel = 'istio-locality';

/**
 * Envoy refuses an assignment in which the weights of a locality, or of all localities, do not fit
 * 32 bits together: 4,294 endpoints of this weight do.
 */
export const maxWeight = 1_000_000;

/**
 * An endpoint as a WorkloadEntry describes it, inline or not, with the ports of the service that it
 * serves.
 */
export function workloadEndpoint(
  entry: WorkloadEntry,
  labels: Readonly<Record<string, string>>,
  ports: Readonly<Record<string, number>>,
): Endpoint {
  const isSocket = unixPath(entry.address) !== undefined;
  return {
    ...blankEndpoint,
    address: isSocket ? entry.address : canonicalHost(entry.address),
    ports: isSocket ? {} : ports,
    labels,
    locality: localityOf(entry.locality || fromLabel(labels[localityLabel] ?? '')),
    weight: Math.min(entry.weight, maxWeight),
    network: entry.network || (labels[networkLabel] ?? ''),
    serviceAccount: entry.serviceAccount,
    mtls: speaksMtls(entry, labels),
  };
}

/**
 * The label that the sidecar injector sets decides; without it, an identity says that there is a
 * proxy.
 */
function speaksMtls(entry: WorkloadEntry, labels: Readonly<Record<string, string>>): boolean {
  const mode = Object.hasOwn(labels, tlsModeLabel) ? labels[tlsModeLabel] : undefined;
  return mode === undefined ? entry.serviceAccount !== '' : mode === 'istio';
}

/** `region/zone/subzone`, whole or cut. */
export function localityOf(text: string): Locality | undefined {
  if (text === '') return undefined;
  const [region = '', zone = '', ...rest] = text.split('/');
  return { ...Locality.create(), region, zone, subZone: rest.join('/') };
}

/** A ready Pod, as an endpoint of a ServiceEntry that selects it; undefined while it is not ready. */
export function podEndpoint(
  read: Reader,
  world: World,
  pod: SourceObject<PodSpec>,
  ports: Readonly<Record<string, number>>,
): Endpoint | undefined {
  const { labels, spec } = pod;
  const [address] = spec.addresses;
  if (address === undefined || !spec.ready) return undefined;
  const node =
    spec.nodeName === '' ? undefined : read.get(world.objects(nodeKind), `/${spec.nodeName}`);
  const label = labels[localityLabel] ?? '';
  return {
    ...blankEndpoint,
    address,
    ports,
    labels,
    locality: label === '' ? node && localityOfNode(node) : localityOf(fromLabel(label)),
    network: labels[networkLabel] ?? '',
    serviceAccount: spec.serviceAccount,
    mtls: labels[tlsModeLabel] === 'istio',
  };
}

/** A label cannot hold slashes, so there `.` stands for them. */
function fromLabel(value: string): string {
  return value.includes('/') ? value : value.replaceAll('.', '/');
}

/** Of a ServiceEntry's ports: what the entry says, else the target port, else the same number. */
export function servedPorts(
  ports: readonly ServicePort[],
  entry: Readonly<Record<string, number>>,
): Record<string, number> {
  return Object.fromEntries(
    ports.map((port) => [port.name, entry[port.name] || port.targetPort || port.number]),
  );
}

/** The record of an object's share of a host; in the order of addresses. */
export function endpointsEvent(
  key: EndpointsKey,
  serviceNamespace: string,
  endpoints: readonly Endpoint[],
): Emitted {
  const sorted = endpoints
    .map((endpoint) => ({ endpoint, order: JSON.stringify(endpoint) }))
    .sort(
      (a, b) => byCodeUnit(a.endpoint.address, b.endpoint.address) || byCodeUnit(a.order, b.order),
    )
    .map(({ endpoint }) => endpoint);
  const value = {
    ...blankEndpoints,
    host: key.host,
    namespace: serviceNamespace,
    endpoints: sorted,
  };
  return {
    topic: 'endpoints',
    key: endpointsKey(key),
    event: { object: { $case: 'endpoints', value } },
  };
}
