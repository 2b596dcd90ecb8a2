/** Which outbound listeners and route tables a sidecar has, and the job that makes each listener. */
import type { Query, Reader } from '@watershed/derive/graph.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import { OutboundMode } from '@watershed/model/gen/model.ts';
import type { Streams } from '../generators/config-source.ts';
import type { TcpProxyArgument } from '../generators/network-filters.ts';
import { clusterName } from '../generators/names.ts';
import {
  outboundListener,
  type ChainArgument,
  type OutboundListenerArgument,
} from '../generators/outbound-listener.ts';
import { blackHole, passthrough } from '../generators/special-cluster.ts';
import { virtualOutbound, virtualOutboundName } from '../generators/virtual-outbound.ts';
import { job, type Diagnostic, type Job, type ResourceKey } from '../plan.ts';
import { policyOf, type Client, type Core } from './core.ts';
import { sameKeys } from './jobs.ts';
import {
  isPlainHttp,
  listenerResource,
  ownService,
  parseListener,
  type ListenerKey,
} from './listener-key.ts';
import { createListenerSettings, type ListenerSettings } from './listener-settings.ts';
import { layoutKeyOf, type LayoutKey, type OutboundQueries } from './outbound.ts';
import { nameOf, type ChainSpec, type HttpChain, type ListenerSpec } from './outbound-layout.ts';
import { sameData } from './equal.ts';
import { streamsFrom, streamsOf } from './own-streams.ts';
import type { PlanOf } from './parts.ts';
import { httpProxyTable, type RouteTableKey, routeClientOf, routeTableId } from './route-table.ts';
import { namespaceOf } from './services.ts';
import { decodeVariant, encodeVariant, field } from './variant.ts';

export interface OutboundListeners {
  readonly shared: PlanOf;
  /** Listeners of a client, by name. */
  listenersOf(read: Reader, client: Client): readonly ResourceKey[];
  /** Route tables that they refer to, by name. */
  tablesOf(read: Reader, client: Client): readonly ResourceKey[];
}

interface ListKey {
  readonly layout: LayoutKey;
  readonly streams: Streams;
  /** Policy class. */
  readonly policies: string;
}

/** What of the mesh the listeners for unknown traffic depend on. */
interface CatchAll {
  readonly outboundMode: OutboundMode;
  readonly listenPort: number;
  readonly httpPort: number;
}

interface Context {
  readonly core: Core;
  readonly outbound: OutboundQueries;
  readonly settings: Query<string, ListenerSettings>;
  readonly catchAll: Query<string, CatchAll>;
  readonly spec: Query<SpecKey, ListenerSpec | undefined>;
}

interface SpecKey {
  readonly layout: LayoutKey;
  readonly name: string;
}

const layoutId = (key: LayoutKey): string =>
  `${key.view}\n${key.cluster}\n${key.mesh}\n${key.direct}`;

export function createOutboundListeners(core: Core, outbound: OutboundQueries): OutboundListeners {
  const { graph } = core.inputs;
  const settings = createListenerSettings(core.mesh);
  const catchAll = core.mesh.facet('catchAll', (mesh): CatchAll => ({
    outboundMode: mesh.outboundMode,
    listenPort: mesh.proxyListenPort,
    httpPort: mesh.proxyHttpPort,
  }));
  /** One listener of a layout: others of it may change without it. */
  const spec = graph.query<SpecKey, ListenerSpec | undefined>({
    name: 'listenerSpec',
    id: (key) => `${key.name}\n${layoutId(key.layout)}`,
    compute: (read, { layout, name }) =>
      read.query(outbound.layout, layout).find((one) => one.name === name),
    equal: sameData,
  });
  const context: Context = { core, outbound, settings, catchAll, spec };
  const shared: PlanOf = (read, key) => {
    const made = madeOf(context, read, key);
    if (made === undefined) return undefined;
    return { key, parts: [made.job], refs: made.refs, bypassesEpochs: false };
  };
  const list = graph.query<ListKey, readonly ResourceKey[]>({
    name: 'outboundListenerList',
    id: (key) => `${layoutId(key.layout)}\n${key.policies}\n${key.streams}`,
    compute: (read, key) => listenerKeys(context, read, key),
    equal: sameKeys,
  });
  return {
    shared,
    listenersOf: (read, client) =>
      read.query(list, listKeyOf(client)).concat(catchAllOf(context, read, client)),
    tablesOf: (read, client) => tablesOf(context, read, client),
  };
}

// ---------------------------------------------------------------- which there are

function listKeyOf(client: Client): ListKey {
  const { policies, scope } = client;
  return { layout: layoutKeyOf(client), policies, streams: streamsOf(scope) };
}

function listenerKeys(context: Context, read: Reader, key: ListKey): readonly ResourceKey[] {
  const { core, outbound } = context;
  const { outboundMode: mode } = read.query(core.visibility.view, key.layout.view);
  const { mesh } = key.layout;
  return read.query(outbound.layout, key.layout).map((spec) => {
    const common = { mesh, mode, bindToPort: spec.bindToPort, streams: key.streams };
    if (isPlainHttp(spec)) {
      const plainHttp = spec.chains.some((chain) => chain.kind === 'http' && chain.plainHttp);
      return listenerResource(spec.name, { ...common, kind: 'http', plainHttp });
    }
    const own = ownService(spec);
    if (own === undefined) {
      const { layout, policies } = key;
      return listenerResource(spec.name, { ...common, kind: 'layout', layout, policies });
    }
    const { service, port: clusterPort, auto } = own;
    const named = { ...service, namespace: namespaceOf(service.ref) };
    const policies = policyOf(core, read, named, { policies: key.policies, mesh });
    return listenerResource(spec.name, {
      ...common,
      kind: 'service',
      service,
      clusterPort,
      auto,
      policies,
    });
  });
}

/** `virtualOutbound`, where traffic is intercepted; the HTTP proxy's, where the mesh has one. */
function catchAllOf(context: Context, read: Reader, client: Client): readonly ResourceKey[] {
  const { httpPort } = read.query(context.catchAll, client.mesh);
  const { outboundMode } = read.query(context.core.visibility.view, client.view);
  const { interception } = client.scope;
  const mode = outboundMode === undefined ? '' : isAny(outboundMode) ? 'any' : 'registry';
  const of = (name: string, fields: Readonly<Record<string, string>>): ResourceKey => ({
    typeUrl: resourceTypes.listener,
    name,
    variant: encodeVariant({ ...fields, m: client.mesh }),
  });
  const keys: ResourceKey[] = [];
  if (httpPort !== 0) {
    keys.push(of(nameOf('127.0.0.1', httpPort), { k: 'proxy', e: streamsOf(client.scope) }));
  }
  if (interception !== 'NONE') {
    const transparent = interception === 'TPROXY' ? '1' : '';
    keys.push(of(virtualOutboundName, { k: 'virtual', t: transparent, o: mode }));
  }
  return keys;
}

function isAny(mode: OutboundMode): boolean {
  return mode !== OutboundMode.OUTBOUND_MODE_REGISTRY_ONLY;
}

function tablesOf(context: Context, read: Reader, client: Client): readonly ResourceKey[] {
  const { core, outbound, catchAll } = context;
  const byName = new Map<string, RouteTableKey>();
  const of = (name: string, listener: number, port: number, host: string): RouteTableKey => ({
    name,
    client: routeClientOf(client),
    view: client.view,
    listener,
    port,
    host,
    proxyless: false,
  });
  for (const { chains } of read.query(outbound.layout, layoutKeyOf(client))) {
    for (const chain of chains) {
      if (chain.kind !== 'http' || byName.has(chain.routes)) continue;
      const { routes, egress, tablePort, host } = chain;
      byName.set(routes, of(routes, egress, tablePort, host));
    }
  }
  if (read.query(catchAll, client.mesh).httpPort !== 0) {
    const { listeners } = read.query(core.visibility.view, client.view);
    const rest = listeners.findIndex((listener) => listener.port === 0 && listener.bind === '');
    if (rest >= 0) byName.set(httpProxyTable, of(httpProxyTable, rest, 0, ''));
  }
  return [...byName.values()].map(routeTableId);
}

// ---------------------------------------------------------------- what each is made of

/** The job of a listener, and the route tables that it refers to. */
interface Made {
  readonly job: Job;
  readonly refs: readonly string[];
}

function madeOf(context: Context, read: Reader, key: ResourceKey): Made | undefined {
  const fields = decodeVariant(key.variant);
  switch (field(fields, 'k')) {
    case 'virtual':
      return { job: virtualJob(context, read, fields), refs: [] };
    case 'proxy':
      return {
        job: proxyJob(context, read, key.name, fields),
        refs: [httpProxyTable],
      };
    default: {
      const parsed = parseListener(key.variant);
      const argument = parsed && argumentOf(context, read, key.name, parsed);
      if (argument === undefined) return undefined;
      const refs = argument.chains.flatMap(({ action }) =>
        action.kind === 'http' ? [action.routes] : [],
      );
      return { job: job(outboundListener, argument), refs };
    }
  }
}

function virtualJob(context: Context, read: Reader, fields: ReadonlyMap<string, string>): Job {
  const mesh = field(fields, 'm');
  const { outboundMode, listenPort } = read.query(context.catchAll, mesh);
  const { http, logUnmatched } = read.query(context.settings, mesh);
  const own = field(fields, 'o');
  const any = own === '' ? isAny(outboundMode) : own === 'any';
  return job(virtualOutbound, {
    port: listenPort,
    transparent: field(fields, 't') === '1',
    fallthrough: any ? passthrough : blackHole,
    accessLog: http.accessLog,
    logUnmatched,
  });
}

function proxyJob(
  context: Context,
  read: Reader,
  name: string,
  fields: ReadonlyMap<string, string>,
): Job {
  const mesh = field(fields, 'm');
  const { http: settings } = read.query(context.settings, mesh);
  const { httpPort: port } = read.query(context.catchAll, mesh);
  return job(outboundListener, {
    name,
    address: '127.0.0.1',
    port,
    bindToPort: true,
    chains: [httpArgument({ routes: httpProxyTable, plainHttp: false, grpcWeb: false })],
    fallthrough: '',
    detectionTimeoutMs: 0,
    settings,
    streams: streamsFrom(field(fields, 'e')),
  });
}

function argumentOf(
  context: Context,
  read: Reader,
  name: string,
  key: ListenerKey,
): OutboundListenerArgument | undefined {
  const { outboundMode } = read.query(context.catchAll, key.mesh);
  const { http, detectionTimeoutMs } = read.query(context.settings, key.mesh);
  const made = chainsOf(context, read, name, key);
  if (made === undefined) return undefined;
  return {
    name,
    ...addressFrom(name),
    bindToPort: key.bindToPort,
    chains: made.chains,
    fallthrough: isAny(key.mode ?? outboundMode) ? passthrough : blackHole,
    // Nobody else's settings: a listener that does not look has no time-out.
    detectionTimeoutMs,
    settings: http,
    streams: key.streams,
    ...(made.problems.length === 0 ? {} : { problems: made.problems }),
  };
}

function addressFrom(name: string): { readonly address: string; readonly port: number } {
  if (name.startsWith('unix://')) return { address: name, port: 0 };
  const at = name.lastIndexOf('_');
  return { address: name.slice(0, at), port: Number(name.slice(at + 1)) };
}

interface Chains {
  readonly chains: readonly ChainArgument[];
  readonly problems: readonly Diagnostic[];
}

function chainsOf(
  context: Context,
  read: Reader,
  name: string,
  key: ListenerKey,
): Chains | undefined {
  switch (key.kind) {
    case 'http': {
      const { port } = addressFrom(name);
      const { plainHttp } = key;
      const chain = httpArgument({ routes: String(port), plainHttp, grpcWeb: false });
      return { chains: [chain], problems: [] };
    }
    case 'service': {
      const { service, clusterPort, auto, policies } = key;
      const tcp = tcpArgument(context, read, { host: service.host, port: clusterPort, policies });
      const chains: ChainArgument[] = [{ match: everything, action: { kind: 'tcp', to: tcp } }];
      const routes = `${service.host}:${addressFrom(name).port}`;
      if (auto) chains.push(httpArgument({ routes, plainHttp: true, grpcWeb: false }));
      return { chains, problems: [] };
    }
    case 'layout': {
      const spec = read.query(context.spec, { layout: key.layout, name });
      if (spec === undefined) return undefined;
      const client = { policies: key.policies, mesh: key.mesh };
      const chains = spec.chains.map((chain) => chainArgument(context, read, chain, client));
      return { chains, problems: problemsOf(spec) };
    }
  }
}

const everything = { plainHttp: false } as const;

function httpArgument({
  routes,
  plainHttp,
  grpcWeb,
}: Pick<HttpChain, 'routes' | 'plainHttp' | 'grpcWeb'>): ChainArgument {
  return { match: { plainHttp }, action: { kind: 'http', routes, grpcWeb } };
}

function chainArgument(
  context: Context,
  read: Reader,
  chain: ChainSpec,
  client: { readonly policies: string; readonly mesh: string },
): ChainArgument {
  if (chain.kind === 'http') return httpArgument(chain);
  const { service, port, sni, cidrs } = chain;
  const named = { ...service, namespace: namespaceOf(service.ref) };
  const policies = policyOf(context.core, read, named, client);
  const to = tcpArgument(context, read, { host: service.host, port, policies });
  const match = {
    ...(sni.length === 0 ? {} : { sni }),
    ...(cidrs.length === 0 ? {} : { cidrs }),
    plainHttp: false,
  };
  return { match, action: { kind: 'tcp', to } };
}

/** Of a policy the top level alone counts: a listener is not of one port's settings (istiod). */
function tcpArgument(
  { core }: Context,
  read: Reader,
  {
    host,
    port,
    policies,
  }: { readonly host: string; readonly port: number; readonly policies: string },
): TcpProxyArgument {
  const traffic = read.query(core.policies.policy, policies)?.traffic;
  const pool = traffic?.connectionPool;
  return {
    cluster: clusterName('outbound', port, '', host),
    idleTimeoutMs: pool?.tcpIdleTimeoutMs,
    maxDurationMs: pool?.maxConnectionDurationMs,
    hashSourceIp: traffic?.loadBalancer?.hash?.source?.$case === 'sourceIp',
  };
}

function problemsOf({ name, conflicts }: ListenerSpec): readonly Diagnostic[] {
  return conflicts.map(({ object, port, reason }) => {
    return { object, field: 'spec.ports', value: String(port), reason: `${name}: ${reason}` };
  });
}
