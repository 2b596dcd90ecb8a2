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
import {
  chainOptions,
  type ChainOption,
  type InboundProtocol,
  type MtlsMode,
} from './inbound-chains.ts';
import { inspectors } from './inspectors.ts';
import { originalDestination, originalSource, plainProxy } from './network-filters.ts';
import { blackHole, inboundPassthrough } from './special-cluster.ts';
import { durationOf } from './values.ts';

export interface InboundListenerArgument {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** How connections come: redirected, transparently, or to the port itself. */
  readonly interception: 'redirect' | 'tproxy' | 'none';
  /** By port. */
  readonly ports: readonly InboundPort[];
  /** For ports that no service has; `undefined`: there are none. */
  readonly passthrough: MtlsMode | undefined;
  readonly tls: MeshServerTls;
  readonly settings: HttpSettings;
  readonly logUnmatched: boolean;
  readonly detectionTimeoutMs: number;
}

export interface InboundPort {
  /** Of the workload. */
  readonly port: number;
  readonly protocol: InboundProtocol;
  /** Retries of a stream would break it. */
  readonly grpc: boolean;
  readonly grpcWeb: boolean;
  readonly mtls: MtlsMode;
  readonly cluster: string;
  /** Of the service; names the virtual host and the trace. */
  readonly servicePort: number;
  readonly host: string;
}

export const virtualInboundName = 'virtualInbound';

export const inboundListener: Generator<InboundListenerArgument> = {
  name: 'inbound-listener',
  version: 1,
  generate(argument) {
    const { name, address, port, interception } = argument;
    const listener = Listener.fromPartial({
      name,
      trafficDirection: TrafficDirection.INBOUND,
      continueOnListenerFiltersTimeout: true,
      maxConnectionsToAcceptPerSocketEvent: 1,
      listenerFiltersTimeout: durationOf(argument.detectionTimeoutMs),
      ...(interception === 'tproxy' ? { transparent: true } : {}),
    });
    listener.address = addressOf(address, port);
    if (argument.logUnmatched) {
      listener.accessLog = accessLogs(argument.settings.accessLog, ['NR']);
    }
    if (interception !== 'none') listener.listenerFilters.push(originalDestination());
    if (interception === 'tproxy') listener.listenerFilters.push(originalSource());
    if (argument.passthrough !== undefined) listener.filterChains.push(loopChain(argument));
    const all = waysIn(argument);
    for (const way of all) listener.filterChains.push(chainOf(way, argument));
    const needs = all.map(({ target, option }) => ({ port: target.port, option }));
    listener.listenerFilters.push(...inspectors(needs));
    return { bytes: Listener.encode(listener).finish() };
  },
};

interface WayIn {
  readonly target: InboundPort;
  readonly option: ChainOption;
  readonly unknown: boolean;
}

function waysIn({ ports, passthrough }: InboundListenerArgument): readonly WayIn[] {
  const ofPorts = ports.flatMap((target) =>
    chainOptions(target.mtls, target.protocol).map((option) => ({
      target,
      option,
      unknown: false,
    })),
  );
  if (passthrough === undefined) return ofPorts;
  const target: InboundPort = {
    port: 0,
    protocol: 'auto',
    grpc: false,
    grpcWeb: false,
    mtls: passthrough,
    cluster: inboundPassthrough,
    servicePort: 0,
    host: '',
  };
  const rest = chainOptions(passthrough, 'auto').map((option) => ({
    target,
    option,
    unknown: true,
  }));
  return [...rest, ...ofPorts];
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

function chainOf(
  { target, option, unknown }: WayIn,
  argument: InboundListenerArgument,
): FilterChain {
  const bind = argument.interception === 'none' ? argument.address : '0.0.0.0';
  const own = `${bind}_${target.port}`;
  const catchAll = option.as === 'http' ? 'virtualInbound-catchall-http' : virtualInboundName;
  const chain = FilterChain.fromPartial({ name: unknown ? catchAll : own });
  const match = FilterChainMatch.fromPartial({ transportProtocol: option.transport });
  match.applicationProtocols = [...option.protocols];
  if (target.port !== 0) match.destinationPort = target.port;
  chain.filterChainMatch = match;
  if (option.endsTls) chain.transportSocket = meshServerSocket(argument.tls);
  const statPrefix = unknown ? `${target.cluster};` : `inbound_${own};`;
  chain.filters = [filterOf(target, option, statPrefix, argument.settings)];
  return chain;
}

function filterOf(
  target: InboundPort,
  { as }: ChainOption,
  statPrefix: string,
  settings: HttpSettings,
): Filter {
  if (as === 'tcp') return plainProxy(target.cluster, settings.accessLog);
  return httpConnectionManager({
    traffic: 'inbound',
    statPrefix,
    routes: routesOf(target),
    settings,
    grpcWeb: target.grpcWeb,
  });
}

const never = { seconds: 0, nanos: 0 };

/** Everything goes to the workload; what was reset before it got there is tried again (istiod). */
function routesOf({ cluster, servicePort, host, grpc }: InboundPort): RouteConfiguration {
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
                ...(grpc
                  ? {}
                  : { retryPolicy: { retryOn: 'reset-before-request', numRetries: 2 } }),
              },
            },
          },
        ],
      },
    ],
  });
}
