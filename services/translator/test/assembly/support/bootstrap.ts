/**
 * A set as a bootstrap that has all of it, so that Envoy reads every resource before it would
 * connect.
 */
import { resourceTypes } from '@watershed/proto/any.ts';
import { anyToJson } from '@watershed/proto/registry.ts';
import type { Resource, Snapshot } from './world.ts';

type Json = Record<string, unknown>;

export function staticBootstrap({ resources }: Snapshot, certificates: string): Json {
  const of = (typeUrl: string): Json[] =>
    resources.filter((resource) => resource.key.typeUrl === typeUrl).map(jsonOf);
  const clusters = of(resourceTypes.cluster);
  return {
    node: { id: 'sidecar~10.0.0.1~test.default~default.svc.cluster.local', cluster: 'test' },
    dynamicResources: {
      adsConfig: {
        apiType: 'GRPC',
        transportApiVersion: 'V3',
        grpcServices: [{ envoyGrpc: { clusterName: 'xds' } }],
      },
    },
    staticResources: {
      clusters: [xdsCluster, ...clusters, ...of(resourceTypes.endpoint).map(assignedCluster)],
      listeners: [...of(resourceTypes.listener), ...of(resourceTypes.route).map(routeListener)],
      secrets: [
        {
          name: 'default',
          tlsCertificate: {
            certificateChain: { filename: `${certificates}/cert.pem` },
            privateKey: { filename: `${certificates}/key.pem` },
          },
        },
        {
          name: 'ROOTCA',
          validationContext: { trustedCa: { filename: `${certificates}/ca.pem` } },
        },
      ],
    },
  };
}

function jsonOf({ key, bytes }: Resource): Json {
  const { '@type': _type, ...json } = anyToJson({ typeUrl: key.typeUrl, value: bytes }) as Json;
  return json;
}

const xdsCluster: Json = {
  name: 'xds',
  typedExtensionProtocolOptions: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      explicitHttpConfig: { http2ProtocolOptions: {} },
    },
  },
};

/** An assignment is read with a cluster that has it. */
function assignedCluster(assignment: Json): Json {
  const name = `assigned:${String(assignment['clusterName'])}`;
  return { name, type: 'STATIC', loadAssignment: { ...assignment, clusterName: name } };
}

/** A route table is read with a listener that has it. */
function routeListener(routes: Json, index: number): Json {
  const manager = {
    '@type':
      'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    statPrefix: 'routes',
    routeConfig: routes,
    httpFilters: [
      {
        name: 'envoy.filters.http.router',
        typedConfig: {
          '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router',
        },
      },
    ],
  };
  return {
    name: `routes:${index}`,
    address: { socketAddress: { address: '127.0.0.1', portValue: 20_000 + index } },
    filterChains: [
      {
        filters: [{ name: 'envoy.filters.network.http_connection_manager', typedConfig: manager }],
      },
    ],
  };
}
