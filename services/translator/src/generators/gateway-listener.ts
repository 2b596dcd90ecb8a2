/** A gateway's listener: plain HTTP in one chain, or a chain for each server that ends TLS. */
import { TrafficDirection } from '@watershed/proto/gen/envoy/config/core/v3/base.ts';
import { Listener } from '@watershed/proto/gen/envoy/config/listener/v3/listener.ts';
import {
  FilterChain,
  FilterChainMatch,
} from '@watershed/proto/gen/envoy/config/listener/v3/listener_components.ts';
import type { Generator } from '../plan.ts';
import { accessLogs } from './access-log.ts';
import { addressOf } from './addresses.ts';
import { type GatewayTls, gatewaySocket } from './gateway-tls.ts';
import type { Streams } from './config-source.ts';
import { httpConnectionManager, type HttpSettings } from './http-connection-manager.ts';
import { tlsInspector } from './network-filters.ts';

export interface GatewayListenerArgument {
  /** `ADDRESS_PORT` */
  readonly name: string;
  /** An IP address, or `unix:///path`. */
  readonly address: string;
  readonly port: number;
  readonly chains: readonly GatewayChain[];
  readonly settings: HttpSettings;
  /** Connections that no chain takes are logged, too. */
  readonly logUnmatched: boolean;
  /** Absent: false. */
  readonly onDemand?: boolean;
  readonly streams: Streams;
}

export interface GatewayChain {
  /** Name of the route table, over RDS. */
  readonly routes: string;
  readonly grpcWeb: boolean;
  /** `undefined`: plain HTTP. */
  readonly secure: SecureChain | undefined;
}

export interface SecureChain {
  /** Names that clients ask for; empty: any. */
  readonly serverNames: readonly string[];
  readonly tls: GatewayTls;
}

/** istiod's: so long a handshake may take, against clients that keep connections half open. */
const handshakeSeconds = 15;

export const gatewayListener: Generator<GatewayListenerArgument> = {
  name: 'gateway-listener',
  version: 2,
  generate(argument) {
    const { name, address, port, chains, settings, logUnmatched } = argument;
    const listener = Listener.fromPartial({
      name,
      trafficDirection: TrafficDirection.OUTBOUND,
      // A burst of connections is shared among workers (istiod).
      maxConnectionsToAcceptPerSocketEvent: 1,
    });
    listener.address = addressOf(address, port);
    // Its time-out stays Envoy's 15 s: the edge does not wait for ever.
    if (chains.some((chain) => chain.secure !== undefined)) {
      listener.listenerFilters = [tlsInspector()];
    }
    listener.filterChains = chains.map((chain) => chainOf(chain, argument));
    if (logUnmatched) listener.accessLog = accessLogs(settings.accessLog, ['NR']);
    return { bytes: Listener.encode(listener).finish() };
  },
};

function chainOf(
  { routes, grpcWeb, secure }: GatewayChain,
  { name, settings, onDemand, streams }: GatewayListenerArgument,
): FilterChain {
  const chain = FilterChain.fromPartial({
    transportSocketConnectTimeout: { seconds: handshakeSeconds, nanos: 0 },
  });
  if (secure !== undefined) {
    const serverNames = [...secure.serverNames];
    if (serverNames.length > 0) {
      chain.filterChainMatch = FilterChainMatch.fromPartial({ serverNames });
    }
    chain.transportSocket = gatewaySocket(secure.tls, streams);
  }
  const statPrefix = `outbound_${name};`;
  const traffic = 'gateway';
  const common = { traffic, statPrefix, routes, settings, grpcWeb, streams } as const;
  const more = onDemand === undefined ? {} : { onDemand };
  chain.filters = [httpConnectionManager({ ...common, ...more })];
  return chain;
}
