/** A connection pool as clusters take it: what is 0, or of another protocol, is left out. */
import type { ConnectionPool } from '@watershed/model/gen/model.ts';
import type {
  ConnectionLife,
  PoolLimits,
  UpstreamProtocol,
} from '../generators/connection-pool.ts';

export function limitsOf(pool: ConnectionPool | undefined): PoolLimits {
  return present({
    maxConnections: positive(pool?.maxConnections),
    maxPendingRequests: positive(pool?.http1MaxPendingRequests),
    maxRequests: positive(pool?.http2MaxRequests),
    maxRetries: positive(pool?.maxRetries),
  });
}

export function lifeOf(
  pool: ConnectionPool | undefined,
  protocol: UpstreamProtocol,
): ConnectionLife {
  return present({
    idleTimeoutMs: pool?.idleTimeoutMs ?? pool?.tcpIdleTimeoutMs,
    maxDurationMs: pool?.maxConnectionDurationMs,
    maxRequests: positive(pool?.maxRequestsPerConnection),
    maxConcurrentStreams: protocol === 'http2' ? positive(pool?.maxConcurrentStreams) : undefined,
  });
}

/** The API cannot tell "not set" from 0 (istiod). */
function positive(value: number | undefined): number | undefined {
  return value === 0 ? undefined : value;
}

/** Without fields that hold nothing. */
function present<K extends string>(
  fields: Readonly<Record<K, number | undefined>>,
): {
  readonly [P in K]?: number;
} {
  const kept: { [P in K]?: number } = {};
  for (const name in fields) {
    const value = fields[name];
    if (value !== undefined) kept[name] = value;
  }
  return kept;
}
