/** `google.protobuf.Any`: the type URLs of what we send and read, and packing. */
import type { BinaryWriter } from '@bufbuild/protobuf/wire';
import type { Any } from './gen/google/protobuf/any.ts';

const of = <N extends string>(name: N): `type.googleapis.com/${N}` => `type.googleapis.com/${name}`;
const filter = 'envoy.extensions.filters';
const tls = 'envoy.extensions.transport_sockets.tls.v3';
const lb = 'envoy.extensions.load_balancing_policies';
const logger = 'envoy.extensions.access_loggers';

/** Resources of the xDS protocol, by the word for them. */
export const resourceTypes = {
  cluster: of('envoy.config.cluster.v3.Cluster'),
  endpoint: of('envoy.config.endpoint.v3.ClusterLoadAssignment'),
  extensionConfig: of('envoy.config.core.v3.TypedExtensionConfig'),
  listener: of('envoy.config.listener.v3.Listener'),
  route: of('envoy.config.route.v3.RouteConfiguration'),
  runtime: of('envoy.service.runtime.v3.Runtime'),
  secret: of(`${tls}.Secret`),
  virtualHost: of('envoy.config.route.v3.VirtualHost'),
} as const;

/** All that we put into an Any: resources and extensions. */
export const typeUrls = {
  ...resourceTypes,
  clusterProvided: of(`${lb}.cluster_provided.v3.ClusterProvided`),
  cors: of(`${filter}.http.cors.v3.Cors`),
  corsPolicy: of(`${filter}.http.cors.v3.CorsPolicy`),
  dnsCluster: of('envoy.extensions.clusters.dns.v3.DnsCluster'),
  downstreamTlsContext: of(`${tls}.DownstreamTlsContext`),
  fileAccessLog: of(`${logger}.file.v3.FileAccessLog`),
  grpcStats: of(`${filter}.http.grpc_stats.v3.FilterConfig`),
  grpcWeb: of(`${filter}.http.grpc_web.v3.GrpcWeb`),
  healthCheck: of(`${filter}.http.health_check.v3.HealthCheck`),
  httpConnectionManager: of(`${filter}.network.http_connection_manager.v3.HttpConnectionManager`),
  httpFault: of(`${filter}.http.fault.v3.HTTPFault`),
  httpInspector: of(`${filter}.listener.http_inspector.v3.HttpInspector`),
  httpProtocolOptions: of('envoy.extensions.upstreams.http.v3.HttpProtocolOptions'),
  leastRequest: of(`${lb}.least_request.v3.LeastRequest`),
  maglev: of(`${lb}.maglev.v3.Maglev`),
  onDemand: of(`${filter}.http.on_demand.v3.OnDemand`),
  originalDst: of(`${filter}.listener.original_dst.v3.OriginalDst`),
  originalSrc: of(`${filter}.listener.original_src.v3.OriginalSrc`),
  previousHosts: of('envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate'),
  previousPriorities: of(
    'envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig',
  ),
  proxyProtocolListener: of(`${filter}.listener.proxy_protocol.v3.ProxyProtocol`),
  proxyProtocolUpstream: of(
    'envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport',
  ),
  random: of(`${lb}.random.v3.Random`),
  rawBuffer: of('envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer'),
  ringHash: of(`${lb}.ring_hash.v3.RingHash`),
  roundRobin: of(`${lb}.round_robin.v3.RoundRobin`),
  router: of(`${filter}.http.router.v3.Router`),
  sniCluster: of(`${filter}.network.sni_cluster.v3.SniCluster`),
  stderrAccessLog: of(`${logger}.stream.v3.StderrAccessLog`),
  stdoutAccessLog: of(`${logger}.stream.v3.StdoutAccessLog`),
  tcpProxy: of(`${filter}.network.tcp_proxy.v3.TcpProxy`),
  tlsInspector: of(`${filter}.listener.tls_inspector.v3.TlsInspector`),
  upstreamTlsContext: of(`${tls}.UpstreamTlsContext`),
  wrrLocality: of(`${lb}.wrr_locality.v3.WrrLocality`),
  // What xDS answers in an Any, and what Envoy's admin interface shows.
  address: of('istio.workload.Address'),
  authorization: of('istio.security.Authorization'),
  bootstrapDump: of('envoy.admin.v3.BootstrapConfigDump'),
  clustersDump: of('envoy.admin.v3.ClustersConfigDump'),
  ecdsDump: of('envoy.admin.v3.EcdsConfigDump'),
  endpointsDump: of('envoy.admin.v3.EndpointsConfigDump'),
  listenersDump: of('envoy.admin.v3.ListenersConfigDump'),
  routesDump: of('envoy.admin.v3.RoutesConfigDump'),
  scopedRoutesDump: of('envoy.admin.v3.ScopedRoutesConfigDump'),
  secretsDump: of('envoy.admin.v3.SecretsConfigDump'),
} as const;

/** The part of a generated codec that an Any needs. */
export interface Encoder<T> {
  encode(message: T, writer?: BinaryWriter): BinaryWriter;
}

/** Equal messages give equal bytes: the generated encoders write fields by number and maps by key. */
export function pack<T>(typeUrl: string, codec: Encoder<T>, message: T): Any {
  return { typeUrl, value: codec.encode(message).finish() };
}
