/** A sidecar's own listeners and clusters for what comes to its workload. */
import type { Query } from '@watershed/derive/graph.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import { PeerMode, Protocol, type TcpKeepalive, TlsVersion } from '@watershed/model/gen/model.ts';
import type { ScopeClass } from '@watershed/model/gen/record.ts';
import type { UpstreamProtocol } from '../generators/connection-pool.ts';
import { inboundCluster, type InboundClusterArgument } from '../generators/inbound-cluster.ts';
import {
  inboundListener,
  virtualInboundName,
  type InboundListenerArgument,
  type InboundPort,
} from '../generators/inbound-listener.ts';
import { clusterName } from '../generators/names.ts';
import { job, type Generator, type ResourcePlan } from '../plan.ts';
import { authenticationOf } from './authentication.ts';
import { isAuto } from './cluster-facts.ts';
import type { Core } from './core.ts';
import { sameData } from './equal.ts';
import { scopeId, type WorkloadPort, type WorkloadPorts } from './inbound.ts';
import { waysIn, type InboundProtocol, type MtlsMode } from './inbound-chains.ts';
import { createListenerSettings, type ListenerSettings } from './listener-settings.ts';
import { lifeOf, limitsOf } from './pools.ts';
import { isHttp2, listenerProtocol } from './protocols.ts';

export interface InboundResources {
  readonly listeners: readonly ResourcePlan[];
  readonly clusters: readonly ResourcePlan[];
}

/** What of the mesh a workload's own listeners and clusters depend on. */
interface InboundMesh {
  readonly port: number;
  readonly trustDomains: readonly string[];
  readonly only13: boolean;
  readonly connectTimeoutMs: number;
  readonly keepalive: TcpKeepalive | undefined;
}

/** By the workload's port; `undefined`: of all other ports. */
interface Modes {
  readonly modeOf: (port: number | undefined) => MtlsMode;
}

/**
 * Without certificates there is nothing to ask for. DISABLE is permissive: clients are not told of
 * it, and go on with mutual TLS.
 */
function mtlsMode({ certificates }: ScopeClass, mode: PeerMode): MtlsMode {
  if (!certificates) return 'disable';
  return mode === PeerMode.PEER_MODE_STRICT ? 'strict' : 'permissive';
}

export function createInbound(
  core: Core,
  ports: WorkloadPorts,
): Query<ScopeClass, InboundResources> {
  const settings = createListenerSettings(core.mesh);
  const inboundMesh = core.mesh.facet('inbound', (mesh): InboundMesh => ({
    port: mesh.proxyInboundListenPort,
    trustDomains: [...new Set([mesh.trustDomain, ...mesh.trustDomainAliases])],
    only13: mesh.minMeshTlsVersion === TlsVersion.TLS_VERSION_1_3,
    connectTimeoutMs: mesh.connectTimeoutMs,
    keepalive: mesh.tcpKeepalive,
  }));
  return core.inputs.graph.query<ScopeClass, InboundResources>({
    name: 'inbound',
    id: scopeId,
    compute: (read, scope) => {
      const ref = read.query(core.mesh.refOf, scope.cluster);
      const mesh = read.query(inboundMesh, ref);
      const all = read.query(ports, scope);
      const { namespace, labels } = scope;
      const rootNamespace = read.query(core.mesh.rootNamespace, ref);
      const known = authenticationOf(core, read, { namespace, labels, rootNamespace });
      const modeOf = (port: number | undefined): MtlsMode =>
        mtlsMode(scope, (port === undefined ? undefined : known.ports[port]) ?? known.mode);
      return {
        listeners: listenersOf(scope, all, { ...mesh, modeOf }, read.query(settings, ref)),
        clusters: all.map((port) => clusterOf(port, mesh)),
      };
    },
    equal: sameResources,
  });
}

/** Own plans have no identity of their own: they are compared as a whole. */
function sameResources(a: InboundResources, b: InboundResources): boolean {
  const of = ({ listeners, clusters }: InboundResources): unknown =>
    [...listeners, ...clusters].map(({ key, parts, refs }) => [
      key,
      refs,
      parts.map((part) => part.argument),
    ]);
  return sameData(of(a), of(b));
}

function listenersOf(
  scope: ScopeClass,
  ports: readonly WorkloadPort[],
  mesh: InboundMesh & Modes,
  settings: ListenerSettings,
): readonly ResourcePlan[] {
  const common = {
    ...(scope.certificates
      ? { tls: { trustDomains: mesh.trustDomains, only13: mesh.only13 } }
      : {}),
    settings: settings.http,
    logUnmatched: settings.logUnmatched,
    detectionTimeoutMs: settings.detectionTimeoutMs,
  };
  const own = ports
    .filter((port) => port.bind !== '')
    .map((port): InboundListenerArgument => ({
      ...common,
      name: `${port.bind}_${port.port}`,
      address: port.bind,
      port: port.port,
      intercepts: false,
      transparent: false,
      ports: [inboundPort(port, mesh.modeOf(port.port))],
    }));
  if (scope.interception === 'NONE') return own.map((argument) => listenerPlan(argument));
  const virtual: InboundListenerArgument = {
    ...common,
    name: virtualInboundName,
    address: '0.0.0.0',
    port: mesh.port,
    intercepts: true,
    transparent: scope.interception === 'TPROXY',
    ports: ports
      .filter((port) => port.bind === '')
      .map((port) => inboundPort(port, mesh.modeOf(port.port))),
    otherPorts: waysIn(mesh.modeOf(undefined), 'auto'),
  };
  return [virtual, ...own].map((argument) => listenerPlan(argument));
}

function listenerPlan(argument: InboundListenerArgument): ResourcePlan {
  return ownPlan(resourceTypes.listener, argument.name, inboundListener, argument);
}

function inboundPort(port: WorkloadPort, mtls: MtlsMode): InboundPort {
  const { protocol, servicePort, host } = port;
  const ways = waysIn(mtls, inboundProtocol(protocol));
  const grpcWeb = protocol === Protocol.PROTOCOL_GRPC_WEB;
  const retries = protocol !== Protocol.PROTOCOL_GRPC && !grpcWeb;
  return {
    port: port.port,
    ways,
    cluster: clusterName('inbound', port.port, '', ''),
    ...(ways.some((way) => way.http) ? { http: { servicePort, host, retries, grpcWeb } } : {}),
  };
}

function inboundProtocol(protocol: Protocol): InboundProtocol {
  const known = listenerProtocol(protocol);
  return known === 'none' ? 'tcp' : known;
}

function clusterOf(port: WorkloadPort, mesh: InboundMesh): ResourcePlan {
  const { to, pool, protocol } = port;
  const upstream = upstreamProtocol(protocol);
  const argument: InboundClusterArgument = {
    name: clusterName('inbound', port.port, '', ''),
    ...(to.address === '' ? {} : { endpoint: { address: to.address, port: to.port } }),
    ...(to.address === '' && to.port !== 0 && to.port !== port.port
      ? { portOverride: to.port }
      : {}),
    protocol: upstream,
    connectTimeoutMs: pool?.connectTimeoutMs ?? mesh.connectTimeoutMs,
    limits: limitsOf(pool),
    life: lifeOf(pool, upstream),
    keepalive: pool?.tcpKeepalive ?? mesh.keepalive,
  };
  return ownPlan(resourceTypes.cluster, argument.name, inboundCluster, argument);
}

function upstreamProtocol(protocol: Protocol): UpstreamProtocol {
  if (isHttp2(protocol)) return 'http2';
  return isAuto(protocol) ? 'client' : 'http1';
}

function ownPlan<A extends object>(
  typeUrl: string,
  name: string,
  generator: Generator<A>,
  argument: A,
): ResourcePlan {
  return {
    key: { typeUrl, name, variant: '' },
    parts: [job(generator, argument)],
    refs: [],

    bypassesEpochs: false,
  };
}
