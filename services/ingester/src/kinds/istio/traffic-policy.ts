import {
  ConnectionPool,
  CookieKey,
  H2Upgrade,
  LbAlgorithm,
  LoadBalancer,
  LocalityLb,
  OutlierDetection,
  PortTrafficPolicy,
  ProxyProtocol,
  TcpKeepalive,
  TrafficPolicy,
} from '@watershed/model/gen/model.ts';
import type { HashKey } from '@watershed/model/gen/model.ts';
import {
  ConnectionPoolSettings_HTTPSettings_H2UpgradePolicy,
  LoadBalancerSettings_SimpleLB,
  TrafficPolicy_ProxyProtocol_VERSION,
} from '@watershed/proto/istio/networking/v1alpha3/destination_rule.ts';
import type {
  ConnectionPoolSettings,
  LoadBalancerSettings,
  LoadBalancerSettings_ConsistentHashLB,
  LocalityLoadBalancerSetting,
  OutlierDetection as IstioOutlierDetection,
  TrafficPolicy as IstioTrafficPolicy,
  TrafficPolicy_PortTrafficPolicy,
} from '@watershed/proto/istio/networking/v1alpha3/destination_rule.ts';
import { durationMs } from '../common/checks.ts';
import type { DurationValue } from '../common/checks.ts';
import { byCodeUnit } from '../common/hosts.ts';
import { clientTls } from './tls.ts';

const blankLocality = LocalityLb.create();
const blankOutliers = OutlierDetection.create();
const blankPool = ConnectionPool.create();
const blankPolicy = TrafficPolicy.create();

const simple: Readonly<Record<LoadBalancerSettings_SimpleLB, LbAlgorithm>> = {
  [LoadBalancerSettings_SimpleLB.UNSPECIFIED]: LbAlgorithm.LB_ALGORITHM_UNSPECIFIED,
  // The old name of the same.
  [LoadBalancerSettings_SimpleLB.LEAST_CONN]: LbAlgorithm.LB_ALGORITHM_LEAST_REQUEST,
  [LoadBalancerSettings_SimpleLB.RANDOM]: LbAlgorithm.LB_ALGORITHM_RANDOM,
  [LoadBalancerSettings_SimpleLB.PASSTHROUGH]: LbAlgorithm.LB_ALGORITHM_PASSTHROUGH,
  [LoadBalancerSettings_SimpleLB.ROUND_ROBIN]: LbAlgorithm.LB_ALGORITHM_ROUND_ROBIN,
  [LoadBalancerSettings_SimpleLB.LEAST_REQUEST]: LbAlgorithm.LB_ALGORITHM_LEAST_REQUEST,
  [LoadBalancerSettings_SimpleLB.UNRECOGNIZED]: LbAlgorithm.UNRECOGNIZED,
};

const upgrades: Readonly<Record<ConnectionPoolSettings_HTTPSettings_H2UpgradePolicy, H2Upgrade>> = {
  [ConnectionPoolSettings_HTTPSettings_H2UpgradePolicy.DEFAULT]: H2Upgrade.H2_UPGRADE_DEFAULT,
  [ConnectionPoolSettings_HTTPSettings_H2UpgradePolicy.DO_NOT_UPGRADE]: H2Upgrade.H2_UPGRADE_DO_NOT,
  [ConnectionPoolSettings_HTTPSettings_H2UpgradePolicy.UPGRADE]: H2Upgrade.H2_UPGRADE_UPGRADE,
  [ConnectionPoolSettings_HTTPSettings_H2UpgradePolicy.UNRECOGNIZED]: H2Upgrade.UNRECOGNIZED,
};

/** Envoy's defaults of slow start. */
const warmupAggression = 1;
const warmupMinimumPercent = 10;

export function trafficPolicy(from: IstioTrafficPolicy | undefined): TrafficPolicy | undefined {
  if (from === undefined) return undefined;
  const ports = from.portLevelSettings
    .map((entry) => ({
      ...PortTrafficPolicy.create(),
      port: entry.port?.number ?? 0,
      traffic: parts(entry),
    }))
    .sort((a, b) => a.port - b.port);
  return { ...parts(from), ports, proxyProtocol: proxyProtocol(from) };
}

function parts(from: Omit<TrafficPolicy_PortTrafficPolicy, 'port'>): TrafficPolicy {
  return {
    ...blankPolicy,
    loadBalancer: loadBalancer(from.loadBalancer),
    connectionPool: connectionPool(from.connectionPool),
    outlierDetection: outliers(from.outlierDetection),
    tls: clientTls(from.tls),
  };
}

function proxyProtocol({ proxyProtocol: from }: IstioTrafficPolicy): ProxyProtocol {
  if (from === undefined) return ProxyProtocol.PROXY_PROTOCOL_NONE;
  return from.version === TrafficPolicy_ProxyProtocol_VERSION.V2
    ? ProxyProtocol.PROXY_PROTOCOL_V2
    : ProxyProtocol.PROXY_PROTOCOL_V1;
}

function loadBalancer(from: LoadBalancerSettings | undefined): LoadBalancer | undefined {
  if (from === undefined) return undefined;
  const { lbPolicy: policy, warmup } = from;
  const duration = warmup?.duration ?? from.warmupDurationSecs;
  return {
    ...LoadBalancer.create(),
    ...(policy?.$case === 'simple' ? { algorithm: simple[policy.value] } : {}),
    ...(policy?.$case === 'consistentHash' ? consistentHash(policy.value) : {}),
    locality: localityLb(from.localityLbSetting),
    ...(duration === undefined
      ? {}
      : {
          warmupMs: durationMs(duration),
          warmupAggression: warmup?.aggression ?? warmupAggression,
          warmupMinimumPercent: warmup?.minimumPercent ?? warmupMinimumPercent,
        }),
  };
}

function consistentHash(from: LoadBalancerSettings_ConsistentHashLB): Partial<LoadBalancer> {
  const hash = hashKey(from);
  if (hash === undefined) return {};
  const algorithm = from.hashAlgorithm;
  if (algorithm?.$case === 'maglev') {
    return {
      algorithm: LbAlgorithm.LB_ALGORITHM_MAGLEV,
      hash,
      maglevTableSize: algorithm.value.tableSize,
    };
  }
  const minimumRingSize = algorithm?.value.minimumRingSize ?? from.minimumRingSize;
  return { algorithm: LbAlgorithm.LB_ALGORITHM_RING_HASH, hash, minimumRingSize };
}

function hashKey({ hashKey: key }: LoadBalancerSettings_ConsistentHashLB): HashKey | undefined {
  switch (key?.$case) {
    case 'httpHeaderName':
      return { source: { $case: 'header', value: key.value.toLowerCase() } };
    case 'httpCookie': {
      const { name, path, ttl } = key.value;
      return {
        source: { $case: 'cookie', value: { ...CookieKey.create(), name, path, ttlMs: msOf(ttl) } },
      };
    }
    case 'useSourceIp':
      return key.value ? { source: { $case: 'sourceIp', value: true } } : undefined;
    case 'httpQueryParameterName':
      return { source: { $case: 'queryParameter', value: key.value } };
    case undefined:
      return undefined;
  }
}

export function localityLb(from: LocalityLoadBalancerSetting | undefined): LocalityLb | undefined {
  if (from === undefined) return undefined;
  return {
    ...blankLocality,
    enabled: from.enabled,
    distribute: [...from.distribute].sort((a, b) => byCodeUnit(a.from, b.from)),
    failover: [...from.failover].sort((a, b) => byCodeUnit(a.from, b.from)),
    failoverPriority: from.failoverPriority,
  };
}

function msOf(duration: DurationValue | undefined): number | undefined {
  return duration === undefined ? undefined : durationMs(duration);
}

/** Where 0 is protobuf's "not set", as istiod reads it. */
function positive(value: number | undefined): number | undefined {
  return value === undefined || value <= 0 ? undefined : value;
}

export function connectionPool(
  from: ConnectionPoolSettings | undefined,
): ConnectionPool | undefined {
  if (from === undefined) return undefined;
  const { tcp, http } = from;
  return {
    ...blankPool,
    maxConnections: positive(tcp?.maxConnections),
    connectTimeoutMs: msOf(tcp?.connectTimeout),
    tcpKeepalive: keepalive(tcp?.tcpKeepalive),
    maxConnectionDurationMs: msOf(tcp?.maxConnectionDuration),
    tcpIdleTimeoutMs: msOf(tcp?.idleTimeout),
    http1MaxPendingRequests: positive(http?.http1MaxPendingRequests),
    http2MaxRequests: positive(http?.http2MaxRequests),
    maxRequestsPerConnection: positive(http?.maxRequestsPerConnection),
    maxRetries: positive(http?.maxRetries),
    idleTimeoutMs: msOf(http?.idleTimeout),
    h2Upgrade: upgrades[http?.h2UpgradePolicy ?? 0],
    useClientProtocol: http?.useClientProtocol ?? false,
    maxConcurrentStreams: positive(http?.maxConcurrentStreams),
  };
}

interface Keepalive {
  readonly probes: number;
  readonly time: DurationValue | undefined;
  readonly interval: DurationValue | undefined;
}

export function keepalive(from: Keepalive | undefined): TcpKeepalive | undefined {
  if (from === undefined) return undefined;
  return {
    ...TcpKeepalive.create(),
    probes: positive(from.probes),
    timeS: positive(from.time?.seconds),
    intervalS: positive(from.interval?.seconds),
  };
}

function outliers(from: IstioOutlierDetection | undefined): OutlierDetection | undefined {
  if (from === undefined) return undefined;
  return {
    ...blankOutliers,
    consecutive5xx: from.consecutive5xxErrors,
    consecutiveGatewayErrors: from.consecutiveGatewayErrors,
    consecutiveLocalOriginFailures: from.consecutiveLocalOriginFailures,
    splitExternalLocalOriginErrors: from.splitExternalLocalOriginErrors,
    intervalMs: msOf(from.interval),
    baseEjectionTimeMs: msOf(from.baseEjectionTime),
    maxEjectionPercent: positive(from.maxEjectionPercent),
    minHealthPercent: from.minHealthPercent,
  };
}
