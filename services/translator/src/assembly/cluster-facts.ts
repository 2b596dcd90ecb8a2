/**
 * What is decided about a cluster before it is made: its discovery, its policy, its TLS, its
 * localities.
 */
import type { Query, Reader } from '@watershed/derive/graph.ts';
import {
  ClientTlsMode,
  LbAlgorithm,
  Protocol,
  Resolution,
  type ClientTls,
  type LocalityLb,
  type ServicePort,
  type TcpKeepalive,
} from '@watershed/model/gen/model.ts';
import { clusterKeyId, type ClusterKey } from './cluster-key.ts';
import type { Core } from './core.ts';
import { sameData } from './equal.ts';
import type { LocalityQueries } from './localities.ts';
import type { MergedService } from './services.ts';
import { trafficFor, type Traffic } from './traffic.ts';

export type DiscoveryKind = 'eds' | 'original-dst' | 'dns' | 'logical-dns';

/** Mutual TLS by the mesh's certificates: to endpoints that speak it, to all, or not at all. */
export type MeshTlsMode = 'none' | 'by-endpoint' | 'all';

export interface ClusterFacts {
  readonly service: ServiceFacts;
  readonly port: ServicePort;
  readonly kind: DiscoveryKind;
  readonly traffic: Traffic;
  /** The policy selects workloads, so that its credentials are meant for them. */
  readonly selective: boolean;
  readonly subsetLabels: Readonly<Record<string, string>>;
  readonly meshTls: MeshTlsMode;
  readonly locality: LocalityFacts;
  readonly mesh: ClusterMesh;
}

/** What of a service its clusters and assignments read. */
export interface ServiceFacts {
  readonly host: string;
  readonly namespace: string;
  readonly meshExternal: boolean;
  readonly externalName: string;
  readonly subjectAltNames: readonly string[];
  readonly publishNotReady: boolean;
  readonly selective: boolean;
  /** Sessions outlive the readiness of their endpoint. */
  readonly drains: boolean;
}

/** How the localities of endpoints share the load. */
export interface LocalityFacts {
  /** Shares by the proxy's locality; the first that fits it. */
  readonly distribute: LocalityLb['distribute'];
  /** Endpoints near the proxy are tried first, and others when those fail. */
  readonly failover: boolean;
  readonly failoverTo: LocalityLb['failover'];
  readonly failoverPriority: readonly string[];
}

export interface ClusterMesh {
  readonly connectTimeoutMs: number;
  readonly tcpKeepalive: TcpKeepalive | undefined;
  readonly h2Upgrade: boolean;
  readonly autoMtls: boolean;
  readonly localityLb: LocalityLb | undefined;
  readonly trustDomain: string;
}

export const noLocality: LocalityFacts = {
  distribute: [],
  failover: false,
  failoverTo: [],
  failoverPriority: [],
};

/** The label of services with sticky sessions (istiod's PILOT_PERSISTENT_SESSION_LABEL). */
const persistentSessionLabel = 'istio.io/persistent-session';

export type FactsQuery = Query<ClusterKey, ClusterFacts | undefined>;

/** `undefined`: no such service, port or subset. */
export function createFactsQuery(core: Core, localities: LocalityQueries): FactsQuery {
  const meshOf = core.mesh.facet('cluster', (mesh): ClusterMesh => ({
    connectTimeoutMs: mesh.connectTimeoutMs,
    tcpKeepalive: mesh.tcpKeepalive,
    h2Upgrade: mesh.h2Upgrade,
    autoMtls: mesh.autoMtls,
    localityLb: mesh.localityLb,
    trustDomain: mesh.trustDomain,
  }));
  return core.inputs.graph.query<ClusterKey, ClusterFacts | undefined>({
    name: 'clusterFacts',
    id: clusterKeyId,
    compute: (read, key) => factsOf(core, localities, meshOf, read, key),
    equal: sameData,
  });
}

function factsOf(
  core: Core,
  localities: LocalityQueries,
  meshOf: Query<string, ClusterMesh>,
  read: Reader,
  key: ClusterKey,
): ClusterFacts | undefined {
  const service = read.query(core.services.service, { host: key.host, ref: key.service });
  const port = service?.ports.find((one) => one.number === key.port);
  if (service === undefined || port === undefined) return undefined;
  const policy = read.query(core.policies.policy, key.policies);
  const subset = policy?.subsets.find((one) => one.name === key.subset);
  if (key.subset !== '' && subset === undefined) return undefined;
  const mesh = read.query(meshOf, key.client.mesh);
  const traffic = trafficFor(policy, key.port, subset);
  const kind = kindOf(service, traffic, key);
  const host = { host: service.host, namespace: service.namespace };
  return {
    service: serviceFacts(service),
    port,
    kind,
    traffic,
    selective: policy?.selective ?? false,
    subsetLabels: subset?.labels ?? {},
    meshTls: meshTlsOf(key, service, traffic, {
      auto: mesh.autoMtls,
      // Without endpoints of its own, a cluster cannot tell who speaks TLS; gRPC does not ask.
      uniform: kind === 'original-dst' || key.client.proxyless,
      all: () => read.query(localities.allMtls, host),
    }),
    locality: localityOf(traffic, mesh.localityLb),
    mesh,
  };
}

function serviceFacts(service: MergedService): ServiceFacts {
  const { host, namespace, meshExternal, externalName, publishNotReady, selective } = service;
  return {
    host,
    namespace,
    meshExternal,
    externalName,
    subjectAltNames: service.subjectAltNames,
    publishNotReady,
    selective,
    drains: (service.labels[persistentSessionLabel] ?? '') !== '',
  };
}

function kindOf(service: MergedService, traffic: Traffic, key: ClusterKey): DiscoveryKind {
  const dnsKind =
    service.resolution === Resolution.RESOLUTION_DNS_ROUND_ROBIN ? 'logical-dns' : 'dns';
  const asked = traffic.loadBalancer?.algorithm;
  if (asked === LbAlgorithm.LB_ALGORITHM_PASSTHROUGH && !key.client.proxyless) {
    return 'original-dst';
  }
  if (service.externalName !== '') return dnsKind;
  switch (service.resolution) {
    case Resolution.RESOLUTION_DNS:
    case Resolution.RESOLUTION_DNS_ROUND_ROBIN:
      return dnsKind;
    default:
      return isPassthrough(service) && !key.client.router && !key.client.direct
        ? 'original-dst'
        : 'eds';
  }
}

/** The client's own destination is kept. */
export function isPassthrough(service: MergedService): boolean {
  return service.headless || service.resolution === Resolution.RESOLUTION_NONE;
}

interface AutoMtls {
  readonly auto: boolean;
  readonly uniform: boolean;
  readonly all: () => boolean;
}

function meshTlsOf(
  key: ClusterKey,
  service: MergedService,
  traffic: Traffic,
  { auto, uniform, all }: AutoMtls,
): MeshTlsMode {
  if (!key.client.certificates) return 'none';
  const mode = traffic.tls?.mode ?? ClientTlsMode.CLIENT_TLS_MODE_UNSPECIFIED;
  if (mode === ClientTlsMode.CLIENT_TLS_MODE_ISTIO_MUTUAL) return 'all';
  if (mode !== ClientTlsMode.CLIENT_TLS_MODE_UNSPECIFIED) return 'none';
  if (service.meshExternal || !auto || service.externalName !== '') return 'none';
  if (uniform) return all() ? 'all' : 'none';
  return 'by-endpoint';
}

/** With outlier detection, and unless switched off, failover by locality is on (istiod). */
function localityOf(traffic: Traffic, ofMesh: LocalityLb | undefined): LocalityFacts {
  const setting = traffic.loadBalancer?.locality ?? ofMesh;
  if (setting?.enabled === false) return noLocality;
  const distribute = setting?.distribute ?? [];
  return {
    distribute,
    failover: traffic.outlierDetection !== undefined && distribute.length === 0,
    failoverTo: setting?.failover ?? [],
    failoverPriority: setting?.failoverPriority ?? [],
  };
}

/** TLS that the user asks for; not the mesh's. */
export function originatedTls(traffic: Traffic): ClientTls | undefined {
  const { tls } = traffic;
  switch (tls?.mode) {
    case ClientTlsMode.CLIENT_TLS_MODE_SIMPLE:
    case ClientTlsMode.CLIENT_TLS_MODE_MUTUAL:
      return tls;
    default:
      return undefined;
  }
}

export function isAuto(protocol: Protocol): boolean {
  return protocol === Protocol.PROTOCOL_AUTO || protocol === Protocol.UNRECOGNIZED;
}
