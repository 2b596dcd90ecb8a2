/**
 * Listeners of gRPC without a proxy: what a client asks for by the name that it calls, and what a
 * server waits for before it serves. They have what gRPC understands and nothing else: it refuses
 * filters and fields that it does not know (gRFC A27, A36, A39).
 */
import { FilterChain } from '@watershed/proto/gen/envoy/config/listener/v3/listener_components.ts';
import { Listener } from '@watershed/proto/gen/envoy/config/listener/v3/listener.ts';
import { RouteConfiguration } from '@watershed/proto/gen/envoy/config/route/v3/route.ts';
import { HttpConnectionManager } from '@watershed/proto/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts';
import { pack, typeUrls } from '@watershed/proto/any.ts';
import type { Generator } from '../plan.ts';
import { addressOf } from './addresses.ts';
import { faultFilter, routerFilter } from './http-connection-manager.ts';
import { proxylessServerSocket } from './proxyless-tls.ts';
import { configSource } from './config-source.ts';

export interface ProxylessClientArgument {
  /** As it is called: `host:port`. */
  readonly name: string;
  /** The name of its route table. */
  readonly routes: string;
}

export const proxylessClient: Generator<ProxylessClientArgument> = {
  name: 'proxyless-client',
  version: 1,
  generate({ name, routes }) {
    const manager = HttpConnectionManager.fromPartial({});
    manager.routeSpecifier = {
      $case: 'rds',
      value: { configSource: configSource(''), routeConfigName: routes },
    };
    manager.httpFilters = [faultFilter(), routerFilter()];
    const listener = Listener.fromPartial({ name });
    listener.apiListener = { apiListener: packed(manager) };
    return { bytes: Listener.encode(listener).finish() };
  },
};

export interface ProxylessServerArgument {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** Mutual TLS with the certificates of the bootstrap, and nothing but that. */
  readonly tls: boolean;
}

export const proxylessServer: Generator<ProxylessServerArgument> = {
  name: 'proxyless-server',
  version: 1,
  generate({ name, address, port, tls }) {
    const listener = Listener.fromPartial({ name });
    listener.address = addressOf(address, port);
    const chain = FilterChain.fromPartial({ name: 'inbound' });
    const value = packed(inbound());
    const filter = 'envoy.filters.network.http_connection_manager';
    chain.filters = [{ name: filter, configType: { $case: 'typedConfig', value } }];
    if (tls) chain.transportSocket = proxylessServerSocket();
    listener.filterChains = [chain];
    return { bytes: Listener.encode(listener).finish() };
  },
};

/** All calls go to the handlers of the process itself. */
function inbound(): HttpConnectionManager {
  const manager = HttpConnectionManager.fromPartial({});
  const value = RouteConfiguration.fromPartial({
    name: 'inbound',
    virtualHosts: [
      {
        name: 'inbound',
        domains: ['*'],
        routes: [
          {
            match: { pathSpecifier: { $case: 'prefix', value: '/' } },
            action: { $case: 'nonForwardingAction', value: {} },
          },
        ],
      },
    ],
  });
  manager.routeSpecifier = { $case: 'routeConfig', value };
  manager.httpFilters = [routerFilter()];
  return manager;
}

function packed(manager: HttpConnectionManager) {
  return pack(typeUrls.httpConnectionManager, HttpConnectionManager, manager);
}
