/** istiod's validateTrafficPolicy and what it calls. */
import type {
  ConnectionPoolSettings,
  OutlierDetection,
  TrafficPolicy,
  TrafficPolicy_PortTrafficPolicy,
} from '@watershed/proto/istio/networking/v1alpha3/destination_rule.ts';
import type { At } from '../../decode.ts';
import { checkDuration, checkNotNegative, checkPercent, checkPort } from '../common/checks.ts';
import { checkLoadBalancer } from './load-balancer-check.ts';
import { checkClientTls } from './tls-check.ts';

export function checkTrafficPolicy(policy: TrafficPolicy | undefined, at: At): void {
  if (policy === undefined) return;
  const { portLevelSettings: ports, tunnel, proxyProtocol, retryBudget } = policy;
  const set = [tunnel, proxyProtocol, retryBudget].some((value) => value !== undefined);
  if (!set && ports.length === 0 && isEmpty(policy)) at.error(policy, 'must not be empty');
  if (tunnel !== undefined) {
    at.field('tunnel').error(tunnel, 'is not supported: connections would go past the tunnel');
  }
  if (retryBudget !== undefined) {
    at.field('retryBudget').warn(retryBudget, 'is not supported and has no effect');
  }
  checkParts(policy, at);
  const seen = new Set<number>();
  for (const [index, entry] of ports.entries()) {
    const item = at.field('portLevelSettings').item(index);
    checkEntry(entry, item);
    const number = entry.port?.number ?? 0;
    if (seen.has(number)) item.field('port').error(number, 'is set twice');
    seen.add(number);
  }
}

type Parts = Pick<
  TrafficPolicy_PortTrafficPolicy,
  'loadBalancer' | 'connectionPool' | 'outlierDetection' | 'tls'
>;

function isEmpty(parts: Parts): boolean {
  const { loadBalancer, connectionPool, outlierDetection, tls } = parts;
  return [loadBalancer, connectionPool, outlierDetection, tls].every((part) => part === undefined);
}

function checkEntry(entry: TrafficPolicy_PortTrafficPolicy, at: At): void {
  if (entry.port === undefined) at.field('port').error(undefined, 'is required');
  else checkPort(at.field('port').field('number'), entry.port.number);
  if (isEmpty(entry)) at.error(entry, 'must have a setting beside the port');
  checkParts(entry, at);
}

function checkParts(parts: Parts, at: At): void {
  checkOutliers(parts.outlierDetection, at.field('outlierDetection'));
  checkConnectionPool(parts.connectionPool, at.field('connectionPool'));
  checkLoadBalancer(parts.loadBalancer, parts.outlierDetection, at.field('loadBalancer'));
  checkClientTls(parts.tls, at.field('tls'));
}

function checkOutliers(outlier: OutlierDetection | undefined, at: At): void {
  if (outlier === undefined) return;
  checkDuration(at.field('baseEjectionTime'), outlier.baseEjectionTime);
  checkDuration(at.field('interval'), outlier.interval);
  checkPercent(at.field('maxEjectionPercent'), outlier.maxEjectionPercent);
  checkPercent(at.field('minHealthPercent'), outlier.minHealthPercent);
  if (outlier.consecutiveErrors !== 0) {
    at.field('consecutiveErrors').warn(
      outlier.consecutiveErrors,
      'is deprecated and has no effect; use consecutive5xxErrors or consecutiveGatewayErrors',
    );
  }
  const local = outlier.consecutiveLocalOriginFailures ?? 0;
  if (local > 0 && !outlier.splitExternalLocalOriginErrors) {
    at.field('consecutiveLocalOriginFailures').error(
      local,
      'must not be set unless splitExternalLocalOriginErrors is true',
    );
  }
}

const upgrade = 2;

export function checkConnectionPool(settings: ConnectionPoolSettings | undefined, at: At): void {
  if (settings === undefined) return;
  const { http, tcp } = settings;
  if (http === undefined && tcp === undefined) at.error(settings, 'must have http or tcp settings');
  if (http !== undefined) {
    const inner = at.field('http');
    for (const field of [
      'http1MaxPendingRequests',
      'http2MaxRequests',
      'maxRequestsPerConnection',
      'maxRetries',
      'maxConcurrentStreams',
    ] as const) {
      checkNotNegative(inner.field(field), http[field]);
    }
    checkDuration(inner.field('idleTimeout'), http.idleTimeout);
    if (http.h2UpgradePolicy === upgrade && http.useClientProtocol) {
      inner
        .field('useClientProtocol')
        .error(true, 'must not be set where h2UpgradePolicy is UPGRADE');
    }
  }
  if (tcp === undefined) return;
  const inner = at.field('tcp');
  checkNotNegative(inner.field('maxConnections'), tcp.maxConnections);
  checkDuration(inner.field('connectTimeout'), tcp.connectTimeout);
  checkDuration(inner.field('maxConnectionDuration'), tcp.maxConnectionDuration);
  const { idleTimeout, tcpKeepalive } = tcp;
  // 0s turns it off.
  if (idleTimeout?.seconds !== 0 || idleTimeout.nanos !== 0) {
    checkDuration(inner.field('idleTimeout'), idleTimeout);
  }
  for (const field of ['time', 'interval'] as const) {
    const item = inner.field('tcpKeepalive').field(field);
    checkDuration(item, tcpKeepalive?.[field]);
    // What the kernel's socket options can say.
    if ((tcpKeepalive?.[field]?.nanos ?? 0) !== 0) {
      item.warn(tcpKeepalive?.[field], 'is cut to whole seconds');
    }
  }
}
