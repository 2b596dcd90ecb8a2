/**
 * What a sidecar lets in: the ports of the services that select its workload, or those of its
 * Sidecar's ingress. Listeners and clusters of its own: no other scope has just these.
 */
import type { Query, Reader } from '@watershed/derive/graph.ts';
import {
  CaptureMode,
  Protocol,
  type ConnectionPool,
  type IngressListener,
  type Service,
} from '@watershed/model/gen/model.ts';
import type { ScopeClass } from '@watershed/model/gen/record.ts';
import { labelKey, type Keyed } from '../inputs.ts';
import { policyOf, type Client, type Core } from './core.ts';
import { sameData } from './equal.ts';
import { selects } from './policies.ts';
import { parseView } from './visibility.ts';
import { trafficFor } from './traffic.ts';

/** One port of a workload. */
export interface WorkloadPort {
  /** Where connections come to. */
  readonly port: number;
  readonly protocol: Protocol;
  readonly servicePort: number;
  /** The service's, or the Sidecar's name. */
  readonly host: string;
  /** A listener of its own opens a socket there; '' where `virtualInbound` takes it. */
  readonly bind: string;
  readonly to: WorkloadTarget;
  readonly pool: ConnectionPool | undefined;
}

/** Where the workload listens. */
export interface WorkloadTarget {
  /** '' for where the connection was going to. */
  readonly address: string;
  /** 0: the same port. */
  readonly port: number;
}

export type WorkloadPorts = Query<ScopeClass, readonly WorkloadPort[]>;

export function scopeId(scope: ScopeClass): string {
  return JSON.stringify(scope);
}

/** Ports of a sidecar's workload, by number. */
export function createWorkloadPorts(
  core: Core,
  clientOf: (read: Reader, scope: ScopeClass) => Client,
): WorkloadPorts {
  return core.inputs.graph.query<ScopeClass, readonly WorkloadPort[]>({
    name: 'workloadPorts',
    id: scopeId,
    compute: (read, scope) => {
      const client = clientOf(read, scope);
      const { sidecar } = parseView(client.view);
      const own = sidecar === '' ? undefined : read.get(core.inputs.scopes, sidecar);
      const pool = own?.value.inboundConnectionPool;
      const ingress = own?.value.ingress ?? [];
      if (ingress.length > 0) {
        const host = own === undefined ? '' : `${own.name}.${scope.namespace}`;
        return byPort(ingress.map((listener) => ingressPort(listener, scope, host, pool)));
      }
      // Without interception the workload has its ports itself; only a Sidecar can name others. A
      // gRPC server asks for its own.
      if (scope.interception === 'NONE' && !scope.proxyless) return [];
      return byPort(servicePorts(core, read, client, pool));
    },
    equal: sameData,
  });
}

/** The first keeps a port that two claim. */
function byPort(ports: readonly WorkloadPort[]): readonly WorkloadPort[] {
  const first = new Map<number, WorkloadPort>();
  for (const port of ports) if (!first.has(port.port)) first.set(port.port, port);
  return [...first.values()].sort((a, b) => a.port - b.port);
}

// ---------------------------------------------------------------- services

/** Of the services that select the workload, the oldest first. */
function servicePorts(
  core: Core,
  read: Reader,
  client: Client,
  pool: ConnectionPool | undefined,
): readonly WorkloadPort[] {
  return selecting(core, read, client.scope).flatMap(({ value }) =>
    value.ports.flatMap((port): readonly WorkloadPort[] => {
      if (port.protocol === Protocol.PROTOCOL_UDP) return [];
      const target =
        port.targetPortName === ''
          ? port.targetPort || port.number
          : client.scope.podPorts[port.targetPortName];
      if (target === undefined || target === 0) return [];
      return [
        {
          port: target,
          protocol: port.protocol,
          servicePort: port.number,
          host: value.host,
          bind: '',
          to: { address: '', port: 0 },
          pool: pool ?? poolOf(core, read, client, value, port.number),
        },
      ];
    }),
  );
}

function selecting(core: Core, read: Reader, scope: ScopeClass): readonly Keyed<Service>[] {
  const { namespace, labels, cluster } = scope;
  const keys = Object.entries(labels).map(([key, value]) => labelKey(namespace, key, value));
  const found = keys.flatMap((key) => read.lookup(core.inputs.indexes.servicesByWorkload, key));
  return found
    .map((entry) => entry.value)
    .filter((service) => service.cluster === cluster || cluster === '')
    .filter((service) => selects(service.value.selector, labels))
    .sort(byAge);
}

function byAge(a: Keyed<Service>, b: Keyed<Service>): number {
  if (a.value.createdMs !== b.value.createdMs) return a.value.createdMs - b.value.createdMs;
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}

/** What clients are held to, the server must be able to take: the service's rule counts here, too. */
function poolOf(
  core: Core,
  read: Reader,
  client: Client,
  { host, namespace }: Service,
  port: number,
): ConnectionPool | undefined {
  const keys = policyOf(core, read, { host, namespace, ref: namespace }, client);
  const policy = read.query(core.policies.policy, keys);
  return trafficFor(policy, port, undefined).connectionPool;
}

// ---------------------------------------------------------------- a Sidecar's ingress

function ingressPort(
  listener: IngressListener,
  scope: ScopeClass,
  host: string,
  pool: ConnectionPool | undefined,
): WorkloadPort {
  const { port, protocol, bind, captureMode, defaultEndpoint } = listener;
  const opens =
    captureMode === CaptureMode.CAPTURE_MODE_NONE ||
    (captureMode === CaptureMode.CAPTURE_MODE_DEFAULT && scope.interception === 'NONE');
  return {
    port,
    protocol,
    servicePort: port,
    host,
    bind: opens ? bind || '0.0.0.0' : '',
    to: targetOf(defaultEndpoint, scope),
    pool,
  };
}

/**
 * `127.0.0.1:PORT`, `unix:///path`, or `0.0.0.0:PORT` for the workload's own address, which is
 * where an intercepted connection was going to.
 */
function targetOf(endpoint: string, scope: ScopeClass): WorkloadTarget {
  if (endpoint === '') return { address: '', port: 0 };
  if (endpoint.startsWith('unix://')) return { address: endpoint, port: 0 };
  const at = endpoint.lastIndexOf(':');
  const address = endpoint.slice(0, at).replace(/^\[|\]$/g, '');
  const port = Number(endpoint.slice(at + 1));
  if (address !== '0.0.0.0' && address !== '::') return { address, port };
  // Nothing is known of the address where nothing intercepts.
  return scope.interception === 'NONE' ? { address: '127.0.0.1', port } : { address: '', port };
}
