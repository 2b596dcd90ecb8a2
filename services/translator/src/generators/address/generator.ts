/** `istio.workload.Address`: what a ztunnel knows of a workload or a service. */
import {
  Distribution,
  IpFamilies,
  Origin,
  Protocol,
  Resolution,
  Tunnel,
} from '@watershed/model/gen/model.ts';
import type { Service, ServicePort, Workload } from '@watershed/model/gen/model.ts';
import {
  Address,
  AppProtocol,
  IPFamilies,
  LoadBalancing_HealthPolicy as HealthPolicy,
  LoadBalancing_Mode as Mode,
  LoadBalancing_Scope as Scope,
  NetworkMode,
  TunnelProtocol,
  WorkloadStatus,
  WorkloadType,
} from '@watershed/proto/gen/istio/workloadapi/workload.ts';
import type { LoadBalancing, Port } from '@watershed/proto/gen/istio/workloadapi/workload.ts';
import type { Generator } from '../../plan.ts';
import { ipBytes, prefixLength } from '../ip.ts';

export interface WorkloadArgument {
  readonly cluster: string;
  /** Empty: the mesh's usual one. */
  readonly trustDomain: string;
  /** Names of Authorizations that hold for it because they select it, or for how it is to be called. */
  readonly policies: readonly string[];
  readonly workload: Omit<Workload, 'labels'>;
}

export const workloadAddress: Generator<WorkloadArgument> = {
  name: 'workload-address',
  version: 1,
  generate({ cluster, trustDomain, policies, workload }) {
    const services = workload.services.map(
      ({ namespace, host, ports }) => [`${namespace}/${host}`, { ports }] as const,
    );
    const value = {
      uid: workload.uid,
      name: workload.name,
      namespace: workload.namespace,
      addresses: workload.addresses.map(ipBytes),
      hostname: workload.hostname,
      network: workload.network,
      tunnelProtocol:
        workload.tunnel === Tunnel.TUNNEL_NONE ? TunnelProtocol.NONE : TunnelProtocol.HBONE,
      trustDomain,
      serviceAccount: workload.serviceAccount,
      node: workload.node,
      canonicalName: workload.canonicalName,
      canonicalRevision: workload.canonicalRevision,
      workloadType: WorkloadType.POD,
      workloadName: workload.workloadName,
      nativeTunnel: workload.tunnel === Tunnel.TUNNEL_NATIVE_HBONE,
      services: Object.fromEntries(services),
      authorizationPolicies: [...policies],
      status: workload.unhealthy ? WorkloadStatus.UNHEALTHY : WorkloadStatus.HEALTHY,
      clusterId: cluster,
      locality: localityOf(workload),
      networkMode: workload.sharedAddress ? NetworkMode.HOST_NETWORK : NetworkMode.STANDARD,
      capacity: workload.capacity === 0 ? undefined : workload.capacity,
    };
    const message = Address.fromPartial({ type: { $case: 'workload', value } });
    return { bytes: Address.encode(message).finish() };
  },
};

function localityOf({ locality }: Pick<Workload, 'locality'>) {
  if (locality === undefined) return undefined;
  const { region, zone, subZone } = locality;
  return { region, zone, subzone: subZone };
}

/** What of a service a ztunnel is told. */
export type ServiceArgument = Pick<
  Service,
  | 'distribution'
  | 'host'
  | 'ipFamilies'
  | 'localOnly'
  | 'name'
  | 'namespace'
  | 'origin'
  | 'publishNotReady'
  | 'resolution'
  | 'subjectAltNames'
> & {
  readonly ports: readonly Omit<ServicePort, 'name'>[];
  /** Of all clusters that have it. */
  readonly addresses: readonly string[];
};

export const serviceAddress: Generator<ServiceArgument> = {
  name: 'service-address',
  version: 1,
  generate(service) {
    const addresses = service.addresses.map((text) => ({
      network: '',
      address: ipBytes(text),
      length: prefixLength(text),
    }));
    const value = {
      name: service.name,
      namespace: service.namespace,
      hostname: service.host,
      addresses,
      ports: service.ports.map((port) => portOf(port, service.origin)),
      subjectAltNames: service.subjectAltNames,
      loadBalancing: loadBalancingOf(service),
      ipFamilies: ipFamilies[service.ipFamilies],
      // A Kubernetes Service is the host for everybody, whoever else names it in his namespace.
      canonical: service.origin === Origin.ORIGIN_KUBERNETES,
    };
    const message = Address.fromPartial({ type: { $case: 'service', value } });
    return { bytes: Address.encode(message).finish() };
  },
};

const ipFamilies: Readonly<Record<IpFamilies, IPFamilies>> = {
  [IpFamilies.IP_FAMILIES_AUTOMATIC]: IPFamilies.AUTOMATIC,
  [IpFamilies.IP_FAMILIES_V4]: IPFamilies.IPV4_ONLY,
  [IpFamilies.IP_FAMILIES_V6]: IPFamilies.IPV6_ONLY,
  [IpFamilies.IP_FAMILIES_DUAL]: IPFamilies.DUAL,
  [IpFamilies.UNRECOGNIZED]: IPFamilies.AUTOMATIC,
};

const appProtocols: Partial<Readonly<Record<Protocol, AppProtocol>>> = {
  [Protocol.PROTOCOL_HTTP]: AppProtocol.HTTP11,
  [Protocol.PROTOCOL_HTTP2]: AppProtocol.HTTP2,
  [Protocol.PROTOCOL_GRPC]: AppProtocol.GRPC,
  [Protocol.PROTOCOL_HTTPS]: AppProtocol.TLS,
  [Protocol.PROTOCOL_TLS]: AppProtocol.TLS,
  [Protocol.PROTOCOL_TCP]: AppProtocol.TCP,
};

/** Target port 0: each workload says what it is. */
function portOf(port: Omit<ServicePort, 'name'>, origin: Origin): Port {
  const named = origin === Origin.ORIGIN_KUBERNETES && port.targetPortName !== '';
  return {
    servicePort: port.number,
    targetPort: named ? 0 : port.targetPort || port.number,
    appProtocol: appProtocols[port.protocol] ?? AppProtocol.UNKNOWN,
  };
}

const near = [Scope.NETWORK, Scope.REGION, Scope.ZONE];

function loadBalancingOf(service: ServiceArgument): LoadBalancing | undefined {
  const { resolution, localOnly, distribution, publishNotReady } = service;
  if (resolution === Resolution.RESOLUTION_NONE) {
    const mode = Mode.PASSTHROUGH;
    return { mode, routingPreference: [], healthPolicy: HealthPolicy.ALLOW_ALL };
  }
  const healthPolicy = publishNotReady ? HealthPolicy.ALLOW_ALL : HealthPolicy.ONLY_HEALTHY;
  if (localOnly) return { mode: Mode.STRICT, routingPreference: [Scope.NODE], healthPolicy };
  switch (distribution) {
    case Distribution.DISTRIBUTION_SAME_ZONE:
      return { mode: Mode.FAILOVER, routingPreference: near, healthPolicy };
    case Distribution.DISTRIBUTION_SAME_NODE: {
      const routingPreference = [...near, Scope.SUBZONE, Scope.NODE];
      return { mode: Mode.FAILOVER, routingPreference, healthPolicy };
    }
    default:
      return publishNotReady
        ? { mode: Mode.UNSPECIFIED_MODE, routingPreference: [], healthPolicy }
        : undefined;
  }
}
