/** Filters of listeners and of raw connections. */
import {
  ListenerFilter,
  type ListenerFilterChainMatchPredicate as Predicate,
  type Filter,
} from '@watershed/proto/gen/envoy/config/listener/v3/listener_components.ts';
import { HttpInspector } from '@watershed/proto/gen/envoy/extensions/filters/listener/http_inspector/v3/http_inspector.ts';
import { OriginalDst } from '@watershed/proto/gen/envoy/extensions/filters/listener/original_dst/v3/original_dst.ts';
import { OriginalSrc } from '@watershed/proto/gen/envoy/extensions/filters/listener/original_src/v3/original_src.ts';
import { TlsInspector } from '@watershed/proto/gen/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.ts';
import { TcpProxy } from '@watershed/proto/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.ts';
import type { Any } from '@watershed/proto/gen/google/protobuf/any.ts';
import { pack, typeUrls } from '@watershed/proto/any.ts';
import { accessLogs, type AccessLogArgument } from './access-log.ts';
import { durationOf } from './values.ts';

export interface TcpProxyArgument {
  readonly cluster: string;
  readonly idleTimeoutMs: number | undefined;
  readonly maxDurationMs: number | undefined;
  /** Connections of one source go to one endpoint. */
  readonly hashSourceIp: boolean;
}

/** @param statPrefix istiod's: the cluster's name */
export function tcpProxy(
  { cluster, idleTimeoutMs, maxDurationMs, hashSourceIp }: TcpProxyArgument,
  accessLog: AccessLogArgument | undefined,
): Filter {
  const proxy = TcpProxy.fromPartial({
    statPrefix: cluster,
    clusterSpecifier: { $case: 'cluster', value: cluster },
    ...(idleTimeoutMs === undefined ? {} : { idleTimeout: durationOf(idleTimeoutMs) }),
    ...(maxDurationMs === undefined
      ? {}
      : { maxDownstreamConnectionDuration: durationOf(maxDurationMs) }),
  });
  if (hashSourceIp) {
    proxy.hashPolicy = [{ policySpecifier: { $case: 'sourceIp', value: {} } }];
  }
  proxy.accessLog = accessLogs(accessLog);
  return {
    name: 'envoy.filters.network.tcp_proxy',
    configType: { $case: 'typedConfig', value: pack(typeUrls.tcpProxy, TcpProxy, proxy) },
  };
}

/** A connection that goes to one cluster with no more to it. */
export function plainProxy(cluster: string, accessLog: AccessLogArgument | undefined): Filter {
  const plain = { idleTimeoutMs: undefined, maxDurationMs: undefined, hashSourceIp: false };
  return tcpProxy({ cluster, ...plain }, accessLog);
}

/** 512 bytes hold a ClientHello's start; Envoy's 64 KiB per connection are for nothing (istiod). */
export function tlsInspector(disabled?: Predicate): ListenerFilter {
  const config = TlsInspector.fromPartial({ initialReadBufferSize: 512 });
  const packed = pack(typeUrls.tlsInspector, TlsInspector, config);
  return listenerFilter('envoy.filters.listener.tls_inspector', packed, disabled);
}

export function httpInspector(disabled?: Predicate): ListenerFilter {
  const packed = pack(typeUrls.httpInspector, HttpInspector, {});
  return listenerFilter('envoy.filters.listener.http_inspector', packed, disabled);
}

export function originalDestination(): ListenerFilter {
  const packed = pack(typeUrls.originalDst, OriginalDst, {});
  return listenerFilter('envoy.filters.listener.original_dst', packed);
}

/** The mark keeps what the proxy sends from being intercepted again (istio-iptables). */
const interceptionMark = 1337;

export function originalSource(): ListenerFilter {
  const config = OriginalSrc.fromPartial({ mark: interceptionMark });
  const packed = pack(typeUrls.originalSrc, OriginalSrc, config);
  return listenerFilter('envoy.filters.listener.original_src', packed);
}

function listenerFilter(name: string, config: Any, disabled?: Predicate): ListenerFilter {
  const made = ListenerFilter.fromPartial({ name });
  made.configType = { $case: 'typedConfig', value: config };
  made.filterDisabled = disabled;
  return made;
}

/** Connections to any of the ports. */
export function toPorts(ports: readonly number[]): Predicate {
  const rules = ports.map((port): Predicate => ({
    rule: { $case: 'destinationPortRange', value: { start: port, end: port + 1 } },
  }));
  const [only, ...more] = rules;
  if (only !== undefined && more.length === 0) return only;
  return { rule: { $case: 'orMatch', value: { rules } } };
}

export function not(rule: Predicate): Predicate {
  return { rule: { $case: 'notMatch', value: rule } };
}
