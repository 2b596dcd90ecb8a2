/**
 * Limits and timing of a cluster's connections: DestinationRule's `connectionPool`, and its
 * protocol.
 */
import type { CircuitBreakers } from '@watershed/proto/gen/envoy/config/cluster/v3/circuit_breaker.ts';
import { UpstreamConnectionOptions } from '@watershed/proto/gen/envoy/config/cluster/v3/cluster.ts';
import {
  Http1ProtocolOptions,
  Http2ProtocolOptions,
  HttpProtocolOptions as CommonOptions,
  UpstreamHttpProtocolOptions,
} from '@watershed/proto/gen/envoy/config/core/v3/protocol.ts';
import { HttpProtocolOptions } from '@watershed/proto/gen/envoy/extensions/upstreams/http/v3/http_protocol_options.ts';
import type { Any } from '@watershed/proto/gen/google/protobuf/any.ts';
import { pack, typeUrls } from '@watershed/proto/any.ts';
import type { ConnectionPool, TcpKeepalive } from '@watershed/model/gen/model.ts';
import { durationOf } from './values.ts';

/** What is spoken upstream: as configured, or what the client speaks. */
export type UpstreamProtocol = 'http1' | 'http2' | 'client';

const unlimited = 0xffffffff;

/** istiod's defaults are no limits: Envoy's own (1,024, 3 retries) fail in the churn of a roll-out. */
export function circuitBreakers(pool: ConnectionPool | undefined): CircuitBreakers {
  const limit = (value: number | undefined): number =>
    value === undefined || value === 0 ? unlimited : value;
  return {
    thresholds: [
      {
        priority: 0,
        maxConnections: limit(pool?.maxConnections),
        maxPendingRequests: limit(pool?.http1MaxPendingRequests),
        maxRequests: limit(pool?.http2MaxRequests),
        maxRetries: limit(pool?.maxRetries),
        retryBudget: undefined,
        trackRemaining: true,
        maxConnectionPools: undefined,
      },
    ],
    perHostThresholds: [],
  };
}

export function connectionOptions(
  keepalive: TcpKeepalive | undefined,
): UpstreamConnectionOptions | undefined {
  if (keepalive === undefined) return undefined;
  return UpstreamConnectionOptions.fromPartial({
    tcpKeepalive: {
      keepaliveProbes: keepalive.probes,
      keepaliveTime: keepalive.timeS,
      keepaliveInterval: keepalive.intervalS,
    },
  });
}

/** The server's name (and its check) taken from the request's Host. */
export interface AutoSni {
  readonly sni: boolean;
  readonly sanValidation: boolean;
}

const optionsKey = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

/** Of `Cluster.typedExtensionProtocolOptions`; empty where Envoy's defaults are meant. */
export function httpOptions(
  protocol: UpstreamProtocol,
  pool: ConnectionPool | undefined,
  auto: AutoSni,
): Record<string, Any> {
  const common = commonOptions(pool);
  if (protocol === 'http1' && common === undefined && !auto.sni && !auto.sanValidation) return {};
  const options = HttpProtocolOptions.fromPartial({});
  options.commonHttpProtocolOptions = common;
  options.upstreamProtocolOptions = upstreamOptions(protocol, pool);
  if (auto.sni || auto.sanValidation) {
    options.upstreamHttpProtocolOptions = UpstreamHttpProtocolOptions.fromPartial({
      autoSni: auto.sni,
      autoSanValidation: auto.sanValidation,
    });
  }
  return { [optionsKey]: pack(typeUrls.httpProtocolOptions, HttpProtocolOptions, options) };
}

function commonOptions(pool: ConnectionPool | undefined): CommonOptions | undefined {
  if (pool === undefined) return undefined;
  const idleMs = pool.idleTimeoutMs ?? pool.tcpIdleTimeoutMs;
  const { maxRequestsPerConnection: requests, maxConnectionDurationMs: durationMs } = pool;
  const limited = requests !== undefined && requests > 0;
  if (idleMs === undefined && durationMs === undefined && !limited) {
    return (pool.maxConcurrentStreams ?? 0) > 0 ? CommonOptions.fromPartial({}) : undefined;
  }
  return CommonOptions.fromPartial({
    ...(idleMs === undefined ? {} : { idleTimeout: durationOf(idleMs) }),
    ...(durationMs === undefined ? {} : { maxConnectionDuration: durationOf(durationMs) }),
    ...(limited ? { maxRequestsPerConnection: requests } : {}),
  });
}

function upstreamOptions(
  protocol: UpstreamProtocol,
  pool: ConnectionPool | undefined,
): HttpProtocolOptions['upstreamProtocolOptions'] {
  switch (protocol) {
    case 'http2': {
      const streams = pool?.maxConcurrentStreams ?? 0;
      const http2 = Http2ProtocolOptions.fromPartial(
        streams === 0 ? {} : { maxConcurrentStreams: streams },
      );
      const protocolConfig = { $case: 'http2ProtocolOptions', value: http2 } as const;
      return { $case: 'explicitHttpConfig', value: { protocolConfig } };
    }
    case 'client':
      return {
        $case: 'useDownstreamProtocolConfig',
        value: {
          httpProtocolOptions: Http1ProtocolOptions.fromPartial({}),
          http2ProtocolOptions: Http2ProtocolOptions.fromPartial({}),
          http3ProtocolOptions: undefined,
        },
      };
    case 'http1': {
      const http1 = Http1ProtocolOptions.fromPartial({});
      const protocolConfig = { $case: 'httpProtocolOptions', value: http1 } as const;
      return { $case: 'explicitHttpConfig', value: { protocolConfig } };
    }
  }
}
