/**
 * What is known of services and of their endpoints, in istiod's shapes (`/debug/registryz` and
 * others).
 */
import {
  Health,
  Origin,
  Protocol,
  Resolution,
  protocolToJSON,
  type Endpoint,
  type Endpoints,
  type Service,
} from '@watershed/model/gen/model.ts';
import type { DebugPage } from '@watershed/runtime/debug-pages.ts';
import type { Inputs, Keyed } from './inputs.ts';

type Read = Pick<Inputs, 'services' | 'endpoints'>;

export function registryPages(inputs: Read): readonly DebugPage[] {
  const shards = (): object => endpointShards(inputs);
  return [
    {
      path: '/debug/registryz',
      doc: 'the services of all sources (istiod)',
      handle: () => services(inputs),
    },
    {
      path: '/debug/endpointShardz',
      doc: 'endpoints by service, namespace and cluster; of the partitions that this process has (istiod)',
      handle: shards,
    },
    { path: '/debug/endpointz', doc: 'the same, by its old name (istiod)', handle: shards },
  ];
}

function services({ services: all }: Read): readonly object[] {
  return [...all.entries()]
    .map(([, found]) => found)
    .sort((a, b) => (a.value.host + a.key < b.value.host + b.key ? -1 : 1))
    .map((found) => serviceOf(found));
}

/** istiod's numbers. */
const resolutions: Readonly<Record<Resolution, number>> = {
  [Resolution.RESOLUTION_STATIC]: 0,
  [Resolution.RESOLUTION_DNS]: 1,
  [Resolution.RESOLUTION_NONE]: 2,
  [Resolution.RESOLUTION_DNS_ROUND_ROBIN]: 3,
  [Resolution.UNRECOGNIZED]: 0,
};

/** istiod's `model.Service`, what of it there is here. */
function serviceOf({ cluster, value }: Keyed<Service>): object {
  const { host, addresses, createdMs } = value;
  return {
    Attributes: {
      ServiceRegistry: registryOf(value),
      Name: value.name,
      Namespace: value.namespace,
      Labels: value.labels,
      ExportTo: Object.fromEntries(value.exportTo.map((namespace) => [namespace, {}])),
      LabelSelectors: value.selector,
      ...(value.externalName === '' ? {} : { ExternalName: value.externalName }),
    },
    ports: value.ports.map(({ name, number, protocol }) => ({
      name,
      port: number,
      protocol: protocolOf(protocol),
    })),
    ...(createdMs === 0 ? {} : { creationTime: new Date(createdMs).toISOString() }),
    hostname: host,
    ...(addresses.length === 0 ? {} : { clusterVIPs: { Addresses: { [cluster]: addresses } } }),
    defaultAddress: addresses[0] ?? '0.0.0.0',
    Resolution: value.headless ? 2 : resolutions[value.resolution],
    MeshExternal: value.meshExternal,
  };
}

function registryOf({ origin }: Service): string {
  return origin === Origin.ORIGIN_KUBERNETES ? 'Kubernetes' : 'External';
}

/** `HTTP2`, `GRPC-Web`, `UnsupportedProtocol` where it is sniffed. */
function protocolOf(protocol: Protocol): string {
  if (protocol === Protocol.PROTOCOL_AUTO) return 'UnsupportedProtocol';
  if (protocol === Protocol.PROTOCOL_GRPC_WEB) return 'GRPC-Web';
  return protocolToJSON(protocol).replace('PROTOCOL_', '');
}

interface Shards {
  /** By `registry/cluster`. */
  readonly Shards: Readonly<Record<string, readonly object[]>>;
  readonly ServiceAccounts: Readonly<Record<string, object>>;
}

/** By host and namespace. Names are anybody's, so they are no properties before the end. */
function endpointShards({ endpoints }: Read): Readonly<Record<string, object>> {
  const records = [...endpoints.entries()].map(([, record]) => record);
  const byHost = Map.groupBy(records, ({ value }) => value.host);
  const hosts = [...byHost].map(([host, all]) => {
    const byNamespace = Map.groupBy(all, ({ value }) => value.namespace);
    const namespaces = [...byNamespace].map(([name, some]) => [name, shardsOf(some)] as const);
    return [host, Object.fromEntries(namespaces)] as const;
  });
  return Object.fromEntries(hosts);
}

function shardsOf(records: readonly Keyed<Endpoints>[]): Shards {
  const byCluster = Map.groupBy(records, ({ cluster }) => `Kubernetes/${cluster}`);
  const shards = [...byCluster].map(([name, some]) => {
    const endpoints = some.flatMap(({ cluster, value: { namespace, endpoints: all } }) =>
      all.flatMap((endpoint) => endpointsOf(endpoint, { namespace, cluster })),
    );
    return [name, endpoints] as const;
  });
  const accounts = records
    .flatMap(({ value }) => value.endpoints.map(({ serviceAccount }) => serviceAccount))
    .filter((account) => account !== '');
  return {
    Shards: Object.fromEntries(shards),
    ServiceAccounts: Object.fromEntries(accounts.map((account) => [account, {}])),
  };
}

/** istiod's numbers. */
const healths: Readonly<Record<Health, number>> = {
  [Health.HEALTH_HEALTHY]: 1,
  [Health.HEALTH_UNHEALTHY]: 2,
  [Health.HEALTH_DRAINING]: 3,
  [Health.UNRECOGNIZED]: 0,
};

/** istiod's `model.IstioEndpoint`: one for each port. */
function endpointsOf(
  endpoint: Endpoint,
  of: { readonly namespace: string; readonly cluster: string },
): object[] {
  const { region = '', zone = '', subZone = '' } = endpoint.locality ?? {};
  const ports = Object.entries(endpoint.ports);
  const each = ports.length === 0 ? [['', 0] as const] : ports;
  return each.map(([name, port]) => ({
    Labels: endpoint.labels,
    Addresses: [endpoint.address],
    ServicePortName: name,
    ServiceAccount: endpoint.serviceAccount,
    Network: endpoint.network,
    Locality: {
      Label: [region, zone, subZone].filter((part) => part !== '').join('/'),
      ClusterID: of.cluster,
    },
    EndpointPort: port,
    LbWeight: endpoint.weight,
    TLSMode: endpoint.mtls ? 'istio' : 'disabled',
    Namespace: of.namespace,
    HostName: endpoint.hostname,
    HealthStatus: healths[endpoint.health],
  }));
}
