/** Addresses, localities and endpoints as Envoy writes them. */
import { HealthStatus } from '@watershed/proto/gen/envoy/config/core/v3/health_check.ts';
import { Address } from '@watershed/proto/gen/envoy/config/core/v3/address.ts';
import type { Metadata } from '@watershed/proto/gen/envoy/config/core/v3/base.ts';
import {
  LbEndpoint,
  LocalityLbEndpoints,
} from '@watershed/proto/gen/envoy/config/endpoint/v3/endpoint_components.ts';

/** One locality of an assignment, with its share of the load. */
export interface LocalityArgument {
  readonly region: string;
  readonly zone: string;
  readonly subZone: string;
  /** 0 is tried first. */
  readonly priority: number;
  /** Against other localities of the same priority; 0: none of the load. */
  readonly weight: number;
  readonly endpoints: readonly EndpointArgument[];
}

export interface EndpointArgument {
  /** IP, DNS name, or unix:///path */
  readonly address: string;
  readonly port: number;
  readonly weight: number;
  readonly health: 'healthy' | 'unhealthy' | 'draining';
  /** It speaks istio mutual TLS, and the cluster tells by endpoint. */
  readonly mtls: boolean;
}

const unixPrefix = 'unix://';

export function addressOf(address: string, port: number): Address {
  if (address.startsWith(unixPrefix)) {
    const path = address.slice(unixPrefix.length);
    return Address.fromPartial({ address: { $case: 'pipe', value: { path } } });
  }
  return Address.fromPartial({
    address: {
      $case: 'socketAddress',
      value: { address, portSpecifier: { $case: 'portValue', value: port } },
    },
  });
}

const healthStatus = {
  healthy: HealthStatus.HEALTHY,
  unhealthy: HealthStatus.UNHEALTHY,
  draining: HealthStatus.DRAINING,
} as const;

/** What a cluster's transport socket match for istio mutual TLS looks for. */
export const mtlsEndpoint = { tlsMode: 'istio' } as const;

const mtlsMetadata: Metadata = {
  filterMetadata: { 'envoy.transport_socket_match': mtlsEndpoint },
  typedFilterMetadata: {},
};

export function localityOf(argument: LocalityArgument): LocalityLbEndpoints {
  const { region, zone, subZone, priority, weight } = argument;
  const endpoints = LocalityLbEndpoints.fromPartial({
    priority,
    // Said even where nothing is known of it: gRPC refuses endpoints without a locality.
    locality: { region, zone, subZone },
    ...(weight === 0 ? {} : { loadBalancingWeight: weight }),
  });
  endpoints.lbEndpoints = argument.endpoints.map(endpointOf);
  return endpoints;
}

function endpointOf({ address, port, weight, health, mtls }: EndpointArgument): LbEndpoint {
  const endpoint = LbEndpoint.fromPartial({
    hostIdentifier: { $case: 'endpoint', value: {} },
    healthStatus: healthStatus[health],
    loadBalancingWeight: Math.max(weight, 1),
  });
  if (endpoint.hostIdentifier?.$case === 'endpoint') {
    endpoint.hostIdentifier.value.address = addressOf(address, port);
  }
  if (mtls) endpoint.metadata = mtlsMetadata;
  return endpoint;
}
