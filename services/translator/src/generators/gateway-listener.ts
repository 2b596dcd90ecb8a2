/** A gateway's listener: plain HTTP in one chain, or a chain for each server that ends TLS. */
import { TrafficDirection } from '@watershed/proto/gen/envoy/config/core/v3/base.ts';
import { Listener } from '@watershed/proto/gen/envoy/config/listener/v3/listener.ts';
import {
  FilterChain,
  FilterChainMatch,
} from '@watershed/proto/gen/envoy/config/listener/v3/listener_components.ts';
import type { Diagnostic, Generator } from '../plan.ts';
import { addressOf } from './addresses.ts';
import { type MeshServerTls, meshServerSocket } from './downstream-tls.ts';
import { type GatewayTls, gatewaySocket } from './gateway-tls.ts';
import { httpConnectionManager, type HttpSettings } from './http-connection-manager.ts';
import { tlsInspector } from './network-filters.ts';

export interface GatewayListenerArgument {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly chains: readonly GatewayChain[];
  readonly settings: HttpSettings;
  readonly problems: readonly Diagnostic[];
}

export interface GatewayChain {
  /** Name of the route table, over RDS. */
  readonly routes: string;
  /** Server names; empty: any. Read only where TLS ends. */
  readonly sni: readonly string[];
  readonly tls: ChainTls | undefined;
  readonly grpcWeb: boolean;
}

export type ChainTls =
  | { readonly kind: 'own'; readonly tls: GatewayTls }
  /** The workload's certificate, as between sidecars. */
  | { readonly kind: 'mesh'; readonly tls: MeshServerTls };

export const gatewayListener: Generator<GatewayListenerArgument> = {
  name: 'gateway-listener',
  version: 1,
  generate({ name, address, port, chains, settings, problems }) {
    const listener = Listener.fromPartial({
      name,
      trafficDirection: TrafficDirection.OUTBOUND,
      // Names are needed before a chain can be chosen; a client that says nothing is not waited for.
      continueOnListenerFiltersTimeout: true,
      listenerFiltersTimeout: { seconds: 0, nanos: 0 },
    });
    listener.address = addressOf(address, port);
    const ends = chains.some((chain) => chain.tls !== undefined);
    listener.listenerFilters = ends ? [tlsInspector()] : [];
    listener.filterChains = chains.map((chain) => chainOf(chain, address, port, settings));
    const bytes = Listener.encode(listener).finish();
    return problems.length === 0 ? { bytes } : { bytes, diagnostics: problems };
  },
};

function chainOf(
  { routes, sni, tls, grpcWeb }: GatewayChain,
  address: string,
  port: number,
  settings: HttpSettings,
): FilterChain {
  const chain = FilterChain.fromPartial({});
  if (tls !== undefined) {
    chain.filterChainMatch = FilterChainMatch.fromPartial({ serverNames: [...sni] });
    chain.transportSocket = tls.kind === 'own' ? gatewaySocket(tls.tls) : meshServerSocket(tls.tls);
  }
  const statPrefix = `outbound_${address}_${port}`;
  chain.filters = [
    httpConnectionManager({ traffic: 'gateway', statPrefix, routes, settings, grpcWeb }),
  ];
  return chain;
}
