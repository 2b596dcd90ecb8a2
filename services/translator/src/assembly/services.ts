/**
 * One host, as a client finds it: which objects define it, and the one service that they make
 * together.
 *
 * A host may be defined by several objects: the same Service in several clusters, a ServiceEntry of
 * the same host, hosts of the same name in several namespaces. A client sees those exported to it;
 * its own namespace comes first, then Kubernetes before ServiceEntry, then the older one (Istio's
 * sidecar scope).
 */
import type { Query, Reader } from '@watershed/derive/graph.ts';
import { Origin } from '@watershed/model/gen/model.ts';
import type { Resolution, Service, ServicePort } from '@watershed/model/gen/model.ts';
import type { Inputs, Keyed } from '../inputs.ts';
import { sameData } from './equal.ts';
import { decodeList, encodeList } from './variant.ts';

/** Which objects define a host for a client. */
export interface ServiceChoice {
  readonly host: string;
  /**
   * `namespace` for all of the namespace's objects of the host; with some left out, `namespace=key
   * key`.
   */
  readonly ref: string;
}

/** What is known of an object that may define a host, without what it says. */
export interface Candidate {
  readonly key: string;
  readonly cluster: string;
  readonly host: string;
  readonly namespace: string;
  readonly origin: Origin;
  readonly createdMs: number;
  readonly exportTo: readonly string[];
}

/** A host's service over all clusters. */
export interface MergedService {
  readonly host: string;
  readonly namespace: string;
  /** The object that everything but ports and addresses comes from, and its key. */
  readonly key: string;
  readonly name: string;
  readonly origin: Origin;
  readonly ports: readonly ServicePort[];
  readonly resolution: Resolution;
  readonly meshExternal: boolean;
  readonly headless: boolean;
  readonly externalName: string;
  readonly subjectAltNames: readonly string[];
  readonly publishNotReady: boolean;
  /** Its endpoints are workloads that it selects. */
  readonly selective: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly createdMs: number;
  /** Virtual addresses as each cluster knows them. */
  readonly addresses: readonly ClusterAddresses[];
}

export interface ClusterAddresses {
  readonly cluster: string;
  readonly addresses: readonly string[];
}

export interface ServiceQueries {
  /** All that define a host, whoever may see them, by precedence. */
  readonly candidates: Query<string, readonly Candidate[]>;
  /** `undefined`: no object of that reference is left. */
  readonly service: Query<ServiceChoice, MergedService | undefined>;
}

function choiceId(choice: ServiceChoice): string {
  return `${choice.host}\n${choice.ref}`;
}

/** The namespace of a reference. */
export function namespaceOf(ref: string): string {
  const at = ref.indexOf('=');
  return at < 0 ? ref : ref.slice(0, at);
}

export function toCandidate(keyed: Keyed<Service>): Candidate {
  const { host, namespace, origin, createdMs, exportTo } = keyed.value;
  const { key, cluster } = keyed;
  return { key, cluster, host, namespace, origin, createdMs, exportTo };
}

export function isExportedTo(exportTo: readonly string[], namespace: string): boolean {
  return exportTo.includes('*') || exportTo.includes(namespace);
}

/** Kubernetes before ServiceEntry, older before younger, then by key. */
export function byPrecedence(a: Candidate, b: Candidate): number {
  if (a.origin !== b.origin) return a.origin === Origin.ORIGIN_KUBERNETES ? -1 : 1;
  if (a.createdMs !== b.createdMs) return a.createdMs - b.createdMs;
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}

/**
 * @param visible what of a host the client sees, by precedence
 * @param all what there is of the host, whoever sees it
 */
export function chooseService(
  host: string,
  visible: readonly Candidate[],
  all: readonly Candidate[],
  clientNamespace: string,
): ServiceChoice | undefined {
  const own = visible.find((candidate) => candidate.namespace === clientNamespace);
  const namespace = (own ?? visible[0])?.namespace;
  if (namespace === undefined) return undefined;
  const chosen = visible.filter((candidate) => candidate.namespace === namespace);
  const whole = all.reduce((n, candidate) => (candidate.namespace === namespace ? n + 1 : n), 0);
  if (chosen.length === whole) return { host, ref: namespace };
  return { host, ref: `${namespace}=${encodeList(chosen.map((candidate) => candidate.key))}` };
}

/** The addresses that a client of `cluster` uses: its own cluster's, else the first cluster's. */
export function addressesFor(service: MergedService, cluster: string): readonly string[] {
  const own = service.addresses.find((entry) => entry.cluster === cluster);
  return (own ?? service.addresses[0])?.addresses ?? [];
}

export function createServiceQueries(inputs: Inputs): ServiceQueries {
  const { graph, indexes } = inputs;

  const candidates = graph.query<string, readonly Candidate[]>({
    name: 'serviceCandidates',
    id: (host) => host,
    compute: (read, host) =>
      read
        .lookup(indexes.servicesByHost, host)
        .map((entry) => toCandidate(entry.value))
        .sort(byPrecedence),
    equal: sameData,
  });

  const service = graph.query<ServiceChoice, MergedService | undefined>({
    name: 'service',
    id: choiceId,
    compute: (read, choice) => mergeMembers(membersOf(inputs, read, candidates, choice)),
    equal: sameData,
  });

  return { candidates, service };
}

function membersOf(
  inputs: Inputs,
  read: Reader,
  candidates: ServiceQueries['candidates'],
  choice: ServiceChoice,
): readonly Keyed<Service>[] {
  const at = choice.ref.indexOf('=');
  const keys =
    at < 0
      ? read
          .query(candidates, choice.host)
          .filter((candidate) => candidate.namespace === choice.ref)
          .map((candidate) => candidate.key)
      : decodeList(choice.ref.slice(at + 1));
  return keys.flatMap((key) => read.get(inputs.services, key) ?? []);
}

function mergeMembers(members: readonly Keyed<Service>[]): MergedService | undefined {
  const [first, ...others] = members;
  if (first === undefined) return undefined;
  const mergeable = others.filter((other) => canMerge(first.value, other.value));
  const { value } = first;
  return {
    host: value.host,
    namespace: value.namespace,
    key: first.key,
    name: value.name,
    origin: value.origin,
    ports: mergePorts([first, ...mergeable].map((member) => member.value)),
    resolution: value.resolution,
    meshExternal: value.meshExternal,
    headless: value.headless,
    externalName: value.externalName,
    subjectAltNames: mergeNames([first, ...mergeable].map((member) => member.value)),
    publishNotReady: value.publishNotReady,
    selective: Object.keys(value.selector).length > 0,
    labels: value.labels,
    createdMs: value.createdMs,
    addresses: mergeAddresses([first, ...mergeable]),
  };
}

/**
 * A Kubernetes Service takes in its namesakes of other clusters; a ServiceEntry another of its
 * kind.
 */
function canMerge(first: Service, other: Service): boolean {
  if (first.origin !== other.origin || first.resolution !== other.resolution) return false;
  if (first.origin === Origin.ORIGIN_KUBERNETES) return true;
  return sameData(first.exportTo, other.exportTo) && sameData(first.selector, other.selector);
}

function mergePorts(services: readonly Service[]): readonly ServicePort[] {
  const byNumber = new Map<number, ServicePort>();
  for (const { ports } of services) {
    for (const port of ports) if (!byNumber.has(port.number)) byNumber.set(port.number, port);
  }
  return [...byNumber.values()].sort((a, b) => a.number - b.number);
}

function mergeNames(services: readonly Service[]): readonly string[] {
  return [...new Set(services.flatMap((service) => service.subjectAltNames))].sort();
}

function mergeAddresses(members: readonly Keyed<Service>[]): readonly ClusterAddresses[] {
  const byCluster = new Map<string, string[]>();
  for (const { cluster, value } of members) {
    const known = byCluster.get(cluster) ?? [];
    for (const address of value.addresses) if (!known.includes(address)) known.push(address);
    byCluster.set(cluster, known);
  }
  return [...byCluster].map(([cluster, addresses]) => ({ cluster, addresses }));
}
