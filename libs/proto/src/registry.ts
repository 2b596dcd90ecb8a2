/**
 * JSON of an Any for people: the debug endpoints, `xdsctl` and tests. It loads every codec, so what
 * only moves bytes must not import it.
 */
import type { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import { typeUrls } from './any.ts';
import { BootstrapConfigDump, SecretsConfigDump } from './gen/envoy/admin/v3/config_dump.ts';
import {
  ClustersConfigDump,
  EcdsConfigDump,
  EndpointsConfigDump,
  ListenersConfigDump,
  RoutesConfigDump,
  ScopedRoutesConfigDump,
} from './gen/envoy/admin/v3/config_dump_shared.ts';
import { Cluster } from './gen/envoy/config/cluster/v3/cluster.ts';
import { TypedExtensionConfig } from './gen/envoy/config/core/v3/extension.ts';
import { ClusterLoadAssignment } from './gen/envoy/config/endpoint/v3/endpoint.ts';
import { Listener } from './gen/envoy/config/listener/v3/listener.ts';
import { RouteConfiguration } from './gen/envoy/config/route/v3/route.ts';
import { VirtualHost } from './gen/envoy/config/route/v3/route_components.ts';
import { FileAccessLog } from './gen/envoy/extensions/access_loggers/file/v3/file.ts';
import {
  StderrAccessLog,
  StdoutAccessLog,
} from './gen/envoy/extensions/access_loggers/stream/v3/stream.ts';
import { DnsCluster } from './gen/envoy/extensions/clusters/dns/v3/dns_cluster.ts';
import { Cors, CorsPolicy } from './gen/envoy/extensions/filters/http/cors/v3/cors.ts';
import { HTTPFault } from './gen/envoy/extensions/filters/http/fault/v3/fault.ts';
import { FilterConfig } from './gen/envoy/extensions/filters/http/grpc_stats/v3/config.ts';
import { GrpcWeb } from './gen/envoy/extensions/filters/http/grpc_web/v3/grpc_web.ts';
import { HealthCheck } from './gen/envoy/extensions/filters/http/health_check/v3/health_check.ts';
import { OnDemand } from './gen/envoy/extensions/filters/http/on_demand/v3/on_demand.ts';
import { Router } from './gen/envoy/extensions/filters/http/router/v3/router.ts';
import { HttpInspector } from './gen/envoy/extensions/filters/listener/http_inspector/v3/http_inspector.ts';
import { OriginalDst } from './gen/envoy/extensions/filters/listener/original_dst/v3/original_dst.ts';
import { OriginalSrc } from './gen/envoy/extensions/filters/listener/original_src/v3/original_src.ts';
import { ProxyProtocol } from './gen/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol.ts';
import { TlsInspector } from './gen/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.ts';
import { HttpConnectionManager } from './gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts';
import { SniCluster } from './gen/envoy/extensions/filters/network/sni_cluster/v3/sni_cluster.ts';
import { TcpProxy } from './gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.ts';
import { ClusterProvided } from './gen/envoy/extensions/load_balancing_policies/cluster_provided/v3/cluster_provided.ts';
import { LeastRequest } from './gen/envoy/extensions/load_balancing_policies/least_request/v3/least_request.ts';
import { Maglev } from './gen/envoy/extensions/load_balancing_policies/maglev/v3/maglev.ts';
import { Random } from './gen/envoy/extensions/load_balancing_policies/random/v3/random.ts';
import { RingHash } from './gen/envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash.ts';
import { RoundRobin } from './gen/envoy/extensions/load_balancing_policies/round_robin/v3/round_robin.ts';
import { WrrLocality } from './gen/envoy/extensions/load_balancing_policies/wrr_locality/v3/wrr_locality.ts';
import { PreviousHostsPredicate } from './gen/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.ts';
import { PreviousPrioritiesConfig } from './gen/envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config.ts';
import { ProxyProtocolUpstreamTransport } from './gen/envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol.ts';
import { RawBuffer } from './gen/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.ts';
import { Secret } from './gen/envoy/extensions/transport_sockets/tls/v3/secret.ts';
import {
  DownstreamTlsContext,
  UpstreamTlsContext,
} from './gen/envoy/extensions/transport_sockets/tls/v3/tls.ts';
import { HttpProtocolOptions } from './gen/envoy/extensions/upstreams/http/v3/http_protocol_options.ts';
import { Runtime } from './gen/envoy/service/runtime/v3/rtds.ts';
import { Authorization } from './gen/istio/workloadapi/security/authorization.ts';
import { Address } from './gen/istio/workloadapi/workload.ts';
import type { Any } from './gen/google/protobuf/any.ts';

/** A generated codec whose message type is known by its type URL only. */
export interface Codec {
  encode(message: unknown, writer?: BinaryWriter): BinaryWriter;
  decode(input: BinaryReader | Uint8Array): unknown;
  toJSON(message: unknown): unknown;
}

/** By type URL. */
export const registry: ReadonlyMap<string, Codec> = new Map<string, Codec>([
  [typeUrls.cluster, Cluster],
  [typeUrls.endpoint, ClusterLoadAssignment],
  [typeUrls.extensionConfig, TypedExtensionConfig],
  [typeUrls.listener, Listener],
  [typeUrls.route, RouteConfiguration],
  [typeUrls.runtime, Runtime],
  [typeUrls.secret, Secret],
  [typeUrls.virtualHost, VirtualHost],
  [typeUrls.clusterProvided, ClusterProvided],
  [typeUrls.cors, Cors],
  [typeUrls.corsPolicy, CorsPolicy],
  [typeUrls.dnsCluster, DnsCluster],
  [typeUrls.downstreamTlsContext, DownstreamTlsContext],
  [typeUrls.fileAccessLog, FileAccessLog],
  [typeUrls.grpcStats, FilterConfig],
  [typeUrls.grpcWeb, GrpcWeb],
  [typeUrls.healthCheck, HealthCheck],
  [typeUrls.onDemand, OnDemand],
  [typeUrls.httpConnectionManager, HttpConnectionManager],
  [typeUrls.httpFault, HTTPFault],
  [typeUrls.httpInspector, HttpInspector],
  [typeUrls.httpProtocolOptions, HttpProtocolOptions],
  [typeUrls.leastRequest, LeastRequest],
  [typeUrls.maglev, Maglev],
  [typeUrls.originalDst, OriginalDst],
  [typeUrls.originalSrc, OriginalSrc],
  [typeUrls.previousHosts, PreviousHostsPredicate],
  [typeUrls.previousPriorities, PreviousPrioritiesConfig],
  [typeUrls.proxyProtocolListener, ProxyProtocol],
  [typeUrls.proxyProtocolUpstream, ProxyProtocolUpstreamTransport],
  [typeUrls.random, Random],
  [typeUrls.rawBuffer, RawBuffer],
  [typeUrls.ringHash, RingHash],
  [typeUrls.roundRobin, RoundRobin],
  [typeUrls.router, Router],
  [typeUrls.sniCluster, SniCluster],
  [typeUrls.stderrAccessLog, StderrAccessLog],
  [typeUrls.stdoutAccessLog, StdoutAccessLog],
  [typeUrls.tcpProxy, TcpProxy],
  [typeUrls.tlsInspector, TlsInspector],
  [typeUrls.upstreamTlsContext, UpstreamTlsContext],
  [typeUrls.wrrLocality, WrrLocality],
  [typeUrls.address, Address],
  [typeUrls.authorization, Authorization],
  [typeUrls.bootstrapDump, BootstrapConfigDump],
  [typeUrls.clustersDump, ClustersConfigDump],
  [typeUrls.ecdsDump, EcdsConfigDump],
  [typeUrls.endpointsDump, EndpointsConfigDump],
  [typeUrls.listenersDump, ListenersConfigDump],
  [typeUrls.routesDump, RoutesConfigDump],
  [typeUrls.scopedRoutesDump, ScopedRoutesConfigDump],
  [typeUrls.secretsDump, SecretsConfigDump],
]);

/**
 * Fields of type DataSource that Envoy marks as sensitive: never shown, not even to administrators.
 */
const sensitive = new Set(['keys', 'password', 'pkcs12', 'privateKey', 'secret']);
const redacted = '[redacted]';

/**
 * The JSON that Envoy's admin interface gives, in camel case: `"@type"` first, Anys inside of it
 * expanded, private keys and passwords replaced by `[redacted]`. A type that is not known, bytes
 * that do not decode and what is nested deeper than `depth` stay base64 (`value`).
 */
export function anyToJson(any: Any, depth = 10): unknown {
  return expand(any.typeUrl, any.value, depth);
}

function expand(typeUrl: string, value: Uint8Array, depth: number): Record<string, unknown> {
  const message = depth > 0 ? decodeJson(typeUrl, value) : undefined;
  if (message === undefined) return { '@type': typeUrl, value: base64(value) };
  return { '@type': typeUrl, ...walkObject(message, depth) };
}

function decodeJson(typeUrl: string, value: Uint8Array): object | undefined {
  const codec = registry.get(typeUrl);
  if (codec === undefined) return undefined;
  try {
    const json = codec.toJSON(codec.decode(value));
    return isObject(json) ? json : undefined;
  } catch {
    return undefined;
  }
}

function walk(name: string, value: unknown, depth: number): unknown {
  if (Array.isArray(value)) return value.map((element) => walk(name, element, depth));
  if (!isObject(value)) return value;
  const any = asAny(value);
  if (any !== undefined) return expand(any.typeUrl, any.value, depth - 1);
  return walkObject(sensitive.has(name) ? redact(value) : value, depth);
}

function walkObject(object: object, depth: number): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(object).map(([name, value]) => [name, walk(name, value, depth)]),
  );
}

/** The generated JSON of an Any is `{"@type", "value": base64}` and nothing else. */
function asAny(object: object): Any | undefined {
  if (!('@type' in object) || typeof object['@type'] !== 'string') return undefined;
  const keys = Object.keys(object).length;
  if (keys === 1) return { typeUrl: object['@type'], value: new Uint8Array(0) };
  if (keys !== 2 || !('value' in object) || typeof object.value !== 'string') return undefined;
  return { typeUrl: object['@type'], value: Buffer.from(object.value, 'base64') };
}

function redact(source: object): object {
  if ('inlineBytes' in source) return { ...source, inlineBytes: base64(Buffer.from(redacted)) };
  if ('inlineString' in source) return { ...source, inlineString: redacted };
  return source;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}
