/**
 * What a policy says for one port of a host, or of one of its subsets (Istio's rules of
 * inheritance).
 */
import {
  ProxyProtocol,
  type ConnectionPool,
  type LoadBalancer,
  type ClientTls,
  type OutlierDetection,
  type Subset,
  type TrafficPolicy,
} from '@watershed/model/gen/model.ts';
import type { MergedPolicy } from './policies.ts';

export interface Traffic {
  readonly loadBalancer: LoadBalancer | undefined;
  readonly connectionPool: ConnectionPool | undefined;
  readonly outlierDetection: OutlierDetection | undefined;
  readonly tls: ClientTls | undefined;
  readonly proxyProtocol: ProxyProtocol;
}

const nothing: Traffic = {
  loadBalancer: undefined,
  connectionPool: undefined,
  outlierDetection: undefined,
  tls: undefined,
  proxyProtocol: ProxyProtocol.PROXY_PROTOCOL_NONE,
};

/**
 * A port's settings stand in place of the host's, with nothing inherited. A subset's settings go
 * before the host's, field by field; those of its port stand in place of all.
 */
export function trafficFor(
  policy: MergedPolicy | undefined,
  port: number,
  subset: Subset | undefined,
): Traffic {
  const top = atPort(policy?.traffic, port)?.traffic ?? nothing;
  const own = atPort(subset?.traffic, port);
  if (own === undefined) return top;
  if (own.ofPort) return { ...own.traffic, proxyProtocol: top.proxyProtocol };
  const { traffic } = own;
  return {
    loadBalancer: traffic.loadBalancer ?? top.loadBalancer,
    connectionPool: traffic.connectionPool ?? top.connectionPool,
    outlierDetection: traffic.outlierDetection ?? top.outlierDetection,
    tls: traffic.tls ?? top.tls,
    proxyProtocol:
      traffic.proxyProtocol === ProxyProtocol.PROXY_PROTOCOL_NONE
        ? top.proxyProtocol
        : traffic.proxyProtocol,
  };
}

function atPort(
  policy: TrafficPolicy | undefined,
  port: number,
): { readonly traffic: Traffic; readonly ofPort: boolean } | undefined {
  if (policy === undefined) return undefined;
  const own = policy.ports.find((entry) => entry.port === port)?.traffic;
  if (own === undefined) return { traffic: settingsOf(policy), ofPort: false };
  return {
    traffic: { ...settingsOf(own), proxyProtocol: ProxyProtocol.PROXY_PROTOCOL_NONE },
    ofPort: true,
  };
}

function settingsOf(policy: TrafficPolicy): Traffic {
  const { loadBalancer, connectionPool, outlierDetection, tls, proxyProtocol } = policy;
  return { loadBalancer, connectionPool, outlierDetection, tls, proxyProtocol };
}
