/** A sidecar's listener for connections to its workload: one for all ports, or a port's own. */
import { TrafficDirection } from '@watershed/proto/gen/envoy/config/core/v3/base.ts';
import { Listener } from '@watershed/proto/gen/envoy/config/listener/v3/listener.ts';
import {
  FilterChain,
  FilterChainMatch,
  type Filter,
} from '@watershed/proto/gen/envoy/config/listener/v3/listener_components.ts';
import { RouteConfiguration } from '@watershed/proto/gen/envoy/config/route/v3/route.ts';
import type { Generator } from '../plan.ts';
import { accessLogs } from './access-log.ts';
import { addressOf } from './addresses.ts';
import { meshServerSocket, type MeshServerTls } from './downstream-tls.ts';
import { httpConnectionManager, type HttpSettings } from './http-connection-manager.ts';
import { inspectors } from './inspectors.ts';
import { originalDestination, originalSource, plainProxy } from './network-filters.ts';
import { blackHole, inboundPassthrough } from './special-cluster.ts';
import { durationOf } from './values.ts';
import type { WayIn } from './way-in.ts';

export interface InboundListenerArgument {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** Connections were going elsewhere: to the port that each names. */
  readonly intercepts: boolean;
  /** They keep their source's address, too (TPROXY). */
  readonly transparent: boolean;
  /** By port. */
  readonly ports: readonly InboundPort[];
  /** For connections to ports that are not among them. Absent: none is let in. */
  readonly otherPorts?: readonly WayIn[];
  /** Absent: no way in ends TLS. */
  readonly tls?: MeshServerTls;
  readonly settings: HttpSettings;
  readonly logUnmatched: boolean;
  readonly detectionTimeoutMs: number;
}

export interface InboundPort {
  /** Of the workload. */
  readonly port: number;
  readonly ways: readonly WayIn[];
  readonly cluster: string;
  /** Absent: no way in is HTTP. */
  readonly http?: InboundHttp;
}

export interface InboundHttp {
  /** Of the service; both name the virtual host and the trace. */
  readonly servicePort: number;
  readonly host: string;
  /** Retries of a stream would break it. */
  readonly retries: boolean;
  readonly grpcWeb: boolean;
}

export const virtualInboundName = 'virtualInbound';

/** Stands for all ports that are not named. */
const anyPort = 0;

export const inboundListener: Generator<InboundListenerArgument> = {
  name: 'inbound-listener',
  version: 1,
  generate(argument) {
    const { name, address, port, intercepts, transparent } = argument;
    const listener = Listener.fromPartial({
      name,
      trafficDirection: TrafficDirection.INBOUND,
      continueOnListenerFiltersTimeout: true,
      maxConnectionsToAcceptPerSocketEvent: 1,
      listenerFiltersTimeout: durationOf(argument.detectionTimeoutMs),
      ...(transparent ? { transparent: true } : {}),
    });
    listener.address = addressOf(address, port);
    if (argument.logUnmatched) {
      listener.accessLog = accessLogs(argument.settings.accessLog, ['NR']);
    }
    if (intercepts) listener.listenerFilters.push(originalDestination());
    if (transparent) listener.listenerFilters.push(originalSource());
    if (argument.otherPorts !== undefined) listener.filterChains.push(loopChain(argument));
    const all = entriesOf(argument);
    for (const entry of all) listener.filterChains.push(chainOf(entry, argument));
    const needs = all.map(({ target, way }) => ({ port: target.port, way }));
    listener.listenerFilters.push(...inspectors(needs));
    return { bytes: Listener.encode(listener).finish() };
  },
};

interface Entry {
  readonly target: InboundPort;
  readonly way: WayIn;
}

function entriesOf({ ports, otherPorts }: InboundListenerArgument): readonly Entry[] {
  const http = { servicePort: 0, host: '', retries: true, grpcWeb: false };
  const ways = otherPorts ?? [];
  const rest: InboundPort = { port: anyPort, ways, cluster: inboundPassthrough, http };
  return [rest, ...ports].flatMap((target) => target.ways.map((way) => ({ target, way })));
}

/** Who connects to the listener's own port would be sent round and round. */
function loopChain({ port }: InboundListenerArgument): FilterChain {
  const chain = FilterChain.fromPartial({
    name: 'virtualInbound-blackhole',
    filterChainMatch: { destinationPort: port },
  });
  chain.filters = [plainProxy(blackHole, undefined)];
  return chain;
}

function chainOf({ target, way }: Entry, argument: InboundListenerArgument): FilterChain {
  const { intercepts, address, tls, settings } = argument;
  const own = `${intercepts ? '0.0.0.0' : address}_${target.port}`;
  const catchAll = way.http ? 'virtualInbound-catchall-http' : virtualInboundName;
  const chain = FilterChain.fromPartial({ name: target.port === anyPort ? catchAll : own });
  const match = FilterChainMatch.fromPartial({ transportProtocol: way.transport });
  match.applicationProtocols = [...(way.protocols ?? [])];
  if (target.port !== anyPort) match.destinationPort = target.port;
  chain.filterChainMatch = match;
  if (way.endsTls && tls !== undefined) chain.transportSocket = meshServerSocket(tls);
  const statPrefix = target.port === anyPort ? `${target.cluster};` : `inbound_${own};`;
  chain.filters = [filterOf(target, way, statPrefix, settings)];
  return chain;
}

function filterOf(
  { cluster, http }: InboundPort,
  way: WayIn,
  statPrefix: string,
  settings: HttpSettings,
): Filter {
  if (!way.http || http === undefined) return plainProxy(cluster, settings.accessLog);
  const { grpcWeb } = http;
  const routes = routesOf(cluster, http);
  const common = { statPrefix, routes, settings, grpcWeb, streams: '' } as const;
  return httpConnectionManager({ traffic: 'inbound', ...common });
}

const never = { seconds: 0, nanos: 0 };
const resetRetry = { retryOn: 'reset-before-request', numRetries: 2 };

/** Everything goes to the workload; what was reset before it got there is tried again (istiod). */
function routesOf(
  cluster: string,
  { servicePort, host, retries }: InboundHttp,
): RouteConfiguration {
  return RouteConfiguration.fromPartial({
    name: cluster,
    validateClusters: false,
    virtualHosts: [
      {
        name: `inbound|http|${servicePort}`,
        domains: ['*'],
        routes: [
          {
            name: 'default',
            match: { pathSpecifier: { $case: 'prefix', value: '/' } },
            decorator: { operation: `${host}:${servicePort}/*` },
            action: {
              $case: 'route',
              value: {
                clusterSpecifier: { $case: 'cluster', value: cluster },
                timeout: never,
                maxStreamDuration: { maxStreamDuration: never, grpcTimeoutHeaderMax: never },
                ...(retries ? { retryPolicy: resetRetry } : {}),
              },
            },
          },
        ],
      },
    ],
  });
}
