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
import type { TcpKeepalive } from '@watershed/model/gen/model.ts';
import { durationOf } from './values.ts';

/** What is spoken upstream: as configured, or what the client speaks. */
export type UpstreamProtocol = 'http1' | 'http2' | 'client';

/** Absent: no limit. */
export interface PoolLimits {
  readonly maxConnections?: number;
  readonly maxPendingRequests?: number;
  readonly maxRequests?: number;
  readonly maxRetries?: number;
}

/** How long connections live, and how much each carries. Absent: Envoy's defaults. */
export interface ConnectionLife {
  readonly idleTimeoutMs?: number;
  readonly maxDurationMs?: number;
  readonly maxRequests?: number;
  /** Of HTTP/2. */
  readonly maxConcurrentStreams?: number;
}

const unlimited = 0xffffffff;

/** istiod's defaults are no limits: Envoy's own (1,024, 3 retries) fail in the churn of a roll-out. */
export function circuitBreakers(limits: PoolLimits): CircuitBreakers {
  return {
    thresholds: [
      {
        priority: 0,
        maxConnections: limits.maxConnections ?? unlimited,
        maxPendingRequests: limits.maxPendingRequests ?? unlimited,
        maxRequests: limits.maxRequests ?? unlimited,
        maxRetries: limits.maxRetries ?? unlimited,
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

export const noAutoSni: AutoSni = { sni: false, sanValidation: false };

const optionsKey = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

/** Of `Cluster.typedExtensionProtocolOptions`; empty where Envoy's defaults are meant. */
export function httpOptions(
  protocol: UpstreamProtocol,
  life: ConnectionLife,
  auto: AutoSni,
): Record<string, Any> {
  const common = commonOptions(life);
  if (protocol === 'http1' && common === undefined && !auto.sni && !auto.sanValidation) return {};
  const options = HttpProtocolOptions.fromPartial({});
  options.commonHttpProtocolOptions = common;
  options.upstreamProtocolOptions = upstreamOptions(protocol, life);
  if (auto.sni || auto.sanValidation) {
    options.upstreamHttpProtocolOptions = UpstreamHttpProtocolOptions.fromPartial({
      autoSni: auto.sni,
      autoSanValidation: auto.sanValidation,
    });
  }
  return { [optionsKey]: pack(typeUrls.httpProtocolOptions, HttpProtocolOptions, options) };
}

function commonOptions({
  idleTimeoutMs,
  maxDurationMs,
  maxRequests,
}: ConnectionLife): CommonOptions | undefined {
  if (idleTimeoutMs === undefined && maxDurationMs === undefined && maxRequests === undefined) {
    return undefined;
  }
  return CommonOptions.fromPartial({
    ...(idleTimeoutMs === undefined ? {} : { idleTimeout: durationOf(idleTimeoutMs) }),
    ...(maxDurationMs === undefined ? {} : { maxConnectionDuration: durationOf(maxDurationMs) }),
    ...(maxRequests === undefined ? {} : { maxRequestsPerConnection: maxRequests }),
  });
}

function upstreamOptions(
  protocol: UpstreamProtocol,
  { maxConcurrentStreams }: ConnectionLife,
): HttpProtocolOptions['upstreamProtocolOptions'] {
  switch (protocol) {
    case 'http2': {
      const http2 = Http2ProtocolOptions.fromPartial(
        maxConcurrentStreams === undefined ? {} : { maxConcurrentStreams },
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
