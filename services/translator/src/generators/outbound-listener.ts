/** A sidecar's listener for one address and port that its workload connects to. */
import { CidrRange } from '@watershed/proto/gen/envoy/config/core/v3/address.ts';
import { TrafficDirection } from '@watershed/proto/gen/envoy/config/core/v3/base.ts';
import { Listener } from '@watershed/proto/gen/envoy/config/listener/v3/listener.ts';
import {
  FilterChain,
  FilterChainMatch,
  type Filter,
} from '@watershed/proto/gen/envoy/config/listener/v3/listener_components.ts';
import type { Diagnostic, Generator } from '../plan.ts';
import { addressOf } from './addresses.ts';
import type { Streams } from './config-source.ts';
import { httpConnectionManager, type HttpSettings } from './http-connection-manager.ts';
import {
  httpInspector,
  plainProxy,
  tcpProxy,
  tlsInspector,
  type TcpProxyArgument,
} from './network-filters.ts';
import { durationOf } from './values.ts';

export interface OutboundListenerArgument {
  readonly name: string;
  /** IP or unix:///path */
  readonly address: string;
  readonly port: number;
  /** False: it takes what `virtualOutbound` hands over, and opens no socket. */
  readonly bindToPort: boolean;
  readonly chains: readonly ChainArgument[];
  /** Where connections go that no chain takes; '' for nowhere: they are closed. */
  readonly fallthrough: string;
  /** How long a client may be silent before its protocol counts as unknown; 0: for ever. */
  readonly detectionTimeoutMs: number;
  readonly settings: HttpSettings;
  readonly streams: Streams;
  /** Absent: none. */
  readonly problems?: readonly Diagnostic[];
}

export interface ChainArgument {
  readonly match: ChainMatch;
  readonly action: ChainAction;
}

export interface ChainMatch {
  /** Server names. Absent: any. */
  readonly sni?: readonly string[];
  /** Destinations, `10.0.0.0/8`. Absent: any. */
  readonly cidrs?: readonly string[];
  /** Only what looks like HTTP in plain text. */
  readonly plainHttp: boolean;
}

export type ChainAction =
  | {
      readonly kind: 'http';
      /** Name of the route table. */
      readonly routes: string;
      readonly grpcWeb: boolean;
    }
  | { readonly kind: 'tcp'; readonly to: TcpProxyArgument };

/** What the inspector finds in plain text; HTTP/1.0 passes as raw TCP (istiod). */
const plainHttpProtocols = ['http/1.1', 'h2c'];

export const outboundListener: Generator<OutboundListenerArgument> = {
  name: 'outbound-listener',
  version: 1,
  generate(argument) {
    const { name, address, port, bindToPort, chains, detectionTimeoutMs } = argument;
    const listener = Listener.fromPartial({
      name,
      trafficDirection: TrafficDirection.OUTBOUND,
      continueOnListenerFiltersTimeout: true,
      ...(bindToPort ? { maxConnectionsToAcceptPerSocketEvent: 1 } : { bindToPort: false }),
    });
    listener.address = addressOf(address, port);
    const byName = chains.some(({ match }) => match.sni !== undefined);
    const byProtocol = chains.some(({ match }) => match.plainHttp);
    if (byName) listener.listenerFilters.push(tlsInspector());
    if (byProtocol) listener.listenerFilters.push(httpInspector());
    listener.listenerFiltersTimeout = durationOf(byProtocol ? detectionTimeoutMs : 0);
    addChains(listener, argument);
    const bytes = Listener.encode(listener).finish();
    return argument.problems === undefined ? { bytes } : { bytes, diagnostics: argument.problems };
  },
};

/**
 * What takes everything is the default chain: a connection that starts to match another one and
 * then fails it would otherwise be closed (istio#26079).
 */
function addChains(listener: Listener, argument: OutboundListenerArgument): void {
  const { accessLog } = argument.settings;
  for (const chain of argument.chains) {
    const made = chainOf(chain, argument);
    if (matchesAll(chain.match)) listener.defaultFilterChain = made;
    else listener.filterChains.push(made);
  }
  if (listener.defaultFilterChain === undefined) {
    if (argument.fallthrough === '') return;
    const passthrough = FilterChain.fromPartial({
      name: 'PassthroughFilterChain',
      filterChainMatch: {},
    });
    passthrough.filters = [plainProxy(argument.fallthrough, accessLog)];
    listener.defaultFilterChain = passthrough;
  } else if (listener.filterChains.length === 0) {
    listener.filterChains = [listener.defaultFilterChain];
    listener.defaultFilterChain = undefined;
  }
}

function chainOf(
  { match, action }: ChainArgument,
  argument: OutboundListenerArgument,
): FilterChain {
  const chain = FilterChain.fromPartial({});
  if (!matchesAll(match)) chain.filterChainMatch = matchOf(match);
  chain.filters = filtersOf(action, argument);
  return chain;
}

function filtersOf(action: ChainAction, argument: OutboundListenerArgument): Filter[] {
  const { name, settings, streams } = argument;
  switch (action.kind) {
    case 'tcp':
      return [tcpProxy(action.to, settings.accessLog)];
    case 'http': {
      const { routes, grpcWeb } = action;
      const statPrefix = `outbound_${name};`;
      const traffic = 'outbound';
      return [httpConnectionManager({ traffic, statPrefix, routes, settings, grpcWeb, streams })];
    }
  }
  return [];
}

function matchesAll({ sni, cidrs, plainHttp }: ChainMatch): boolean {
  return sni === undefined && cidrs === undefined && !plainHttp;
}

function matchOf({ sni = [], cidrs = [], plainHttp }: ChainMatch): FilterChainMatch {
  const match = FilterChainMatch.fromPartial({ serverNames: [...sni].sort() });
  match.prefixRanges = [...cidrs].sort().map(cidrOf);
  if (plainHttp) {
    match.applicationProtocols = plainHttpProtocols;
    match.transportProtocol = 'raw_buffer';
  }
  return match;
}

function cidrOf(text: string): CidrRange {
  const [addressPrefix = '', length] = text.split('/');
  const whole = addressPrefix.includes(':') ? 128 : 32;
  return CidrRange.fromPartial({
    addressPrefix,
    prefixLen: length === undefined ? whole : Number(length),
  });
}
