/**
 * What workloads that speak gRPC without a proxy are given (istiod's gRPC generator): a listener
 * for each name by which a service can be called, a table for each of its ports, and a listener for
 * each port that the workload serves. They ask for all of that by name.
 */
import type { Reader } from '@watershed/derive/graph.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import type { ScopeClass } from '@watershed/model/gen/record.ts';
import { clusterName } from '../generators/names.ts';
import { proxylessClient, proxylessServer } from '../generators/proxyless-listener.ts';
import { job, type Job, type ResourceKey } from '../plan.ts';
import type { Client, Core } from './core.ts';
import { sameData } from './equal.ts';
import type { WorkloadPorts } from './inbound.ts';
import type { PlanOf } from './parts.ts';
import { listenerProtocol } from './protocols.ts';
import { routeClientOf, routeTableId } from './route-table.ts';
import { shortNames } from './routes-domains.ts';
import { decodeVariant, encodeVariant, field } from './variant.ts';

export interface Proxyless {
  readonly shared: PlanOf;
  listenersOf(read: Reader, client: Client): readonly ResourceKey[];
  tablesOf(read: Reader, client: Client): readonly ResourceKey[];
}

/** A port of a service that clients of a view can call. */
interface Callable {
  readonly host: string;
  readonly port: number;
  /** Which of the view's egress listeners shows it: its routes hold. */
  readonly listener: number;
}

interface NamesKey {
  readonly view: string;
  /** Short names are short in it. */
  readonly dnsDomain: string;
}

export function createProxyless(core: Core, ports: WorkloadPorts): Proxyless {
  const { graph } = core.inputs;
  const callable = graph.query<string, readonly Callable[]>({
    name: 'proxylessCallable',
    id: (view) => view,
    compute: (read, view) => callableIn(core, read, view),
    equal: sameData,
  });
  const names = graph.query<NamesKey, readonly ResourceKey[]>({
    name: 'proxylessNames',
    id: ({ view, dnsDomain }) => `${view}\n${dnsDomain}`,
    compute: (read, { view, dnsDomain }) => namesOf(read.query(callable, view), dnsDomain),
    equal: sameData,
  });
  return {
    shared: (_read, key) => {
      const made = jobOf(key);
      if (made === undefined) return undefined;
      return { key, parts: [made.job], refs: made.refs, bypassesEpochs: false };
    },
    listenersOf: (read, { view, scope }) => [
      ...read.query(names, { view, dnsDomain: scope.dnsDomain }),
      ...serversOf(scope, new Set(read.query(ports, scope).map(({ port }) => port))),
    ],
    tablesOf: (read, client) =>
      read.query(callable, client.view).map(({ host, port, listener }) =>
        routeTableId({
          name: clusterName('outbound', port, '', host),
          client: routeClientOf(client),
          ...{ view: client.view, listener, port, host, proxyless: true },
        }),
      ),
  };
}

export function isProxylessListener({ typeUrl, variant }: ResourceKey): boolean {
  return typeUrl === resourceTypes.listener && variant.startsWith('g=');
}

/** A name with a wildcard is nobody's to call. */
function callableIn(core: Core, read: Reader, id: string): readonly Callable[] {
  const { listeners } = read.query(core.visibility.view, id);
  const found = new Map<string, Callable>();
  for (const [listener, { services }] of listeners.entries()) {
    for (const service of services) {
      const { host } = service;
      if (host.startsWith('*')) continue;
      for (const { number: port, protocol } of read.query(core.services.service, service)?.ports ??
        []) {
        if (service.ports.length > 0 && !service.ports.includes(port)) continue;
        if (!['http', 'auto'].includes(listenerProtocol(protocol))) continue;
        const name = `${host}:${port}`;
        if (!found.has(name)) found.set(name, { host, port, listener });
      }
    }
  }
  return [...found.values()];
}

// ---------------------------------------------------------------- clients

/** Full names first: a short one may be the same as another service's full one. */
function namesOf(all: readonly Callable[], dnsDomain: string): readonly ResourceKey[] {
  const byName = new Map<string, Callable>();
  for (const one of all) byName.set(`${one.host}:${one.port}`, one);
  for (const one of all) {
    for (const short of shortNames(one.host, dnsDomain)) {
      if (short.endsWith('.')) continue;
      const name = `${short}:${one.port}`;
      if (!byName.has(name)) byName.set(name, one);
    }
  }
  return [...byName].map(([name, { host, port }]) => ({
    typeUrl: resourceTypes.listener,
    name,
    variant: encodeVariant({ g: 'client', h: host, o: String(port) }),
  }));
}

// ---------------------------------------------------------------- servers

/** istio's `server_listener_resource_name_template`, without its `%s`. */
const serverPrefix = 'xds.istio.io/grpc/lds/inbound/';

/** Where servers listen, as they say it. Which address a workload has is not its scope's to know. */
const serverAddresses = ['0.0.0.0', '127.0.0.1', '[::]', '[::1]'];

function serversOf(scope: ScopeClass, ports: ReadonlySet<number>): readonly ResourceKey[] {
  const variant = encodeVariant({ g: 'server', t: scope.certificates ? '1' : '' });
  return [...ports].flatMap((port) =>
    serverAddresses.map((address) => ({
      typeUrl: resourceTypes.listener,
      name: `${serverPrefix}${address}:${port}`,
      variant,
    })),
  );
}

function jobOf({
  name,
  variant,
}: ResourceKey): { readonly job: Job; readonly refs: readonly string[] } | undefined {
  const fields = decodeVariant(variant);
  if (field(fields, 'g') === 'client') {
    const routes = clusterName('outbound', Number(field(fields, 'o')), '', field(fields, 'h'));
    return { job: job(proxylessClient, { name, routes }), refs: [routes] };
  }
  if (!name.startsWith(serverPrefix)) return undefined;
  const at = name.lastIndexOf(':');
  const address = name.slice(serverPrefix.length, at).replace(/^\[|\]$/g, '');
  const port = Number(name.slice(at + 1));
  const tls = field(fields, 't') === '1';
  return { job: job(proxylessServer, { name, address, port, tls }), refs: [] };
}
