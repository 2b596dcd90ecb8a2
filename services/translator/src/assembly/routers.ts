/** What gateways add to a router's set: listeners, route tables, and the secrets of their servers. */
import type { Query, Reader } from '@watershed/derive/graph.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import { TlsVersion } from '@watershed/model/gen/model.ts';
import type { ScopeClass } from '@watershed/model/gen/record.ts';
import type { MeshServerTls } from '../generators/downstream-tls.ts';
import {
  gatewayListener,
  type GatewayChain,
  type GatewayListenerArgument,
} from '../generators/gateway-listener.ts';
import { type Diagnostic, job, type ResourceKey, type ResourcePlan, resourceId } from '../plan.ts';
import { type Client, clientOf, type Core } from './core.ts';
import { isGrpcWeb, serverChain, serverNames } from './gateway-servers.ts';
import { createGatewayTables, type TableRef } from './gateway-tables.ts';
import {
  createGatewayQueries,
  type GatewayPort,
  type GatewayQueries,
  plainTable,
  secureTable,
  type Server,
} from './gateways.ts';
import { scopeId } from './inbound.ts';
import { sameKeys, samePlan } from './jobs.ts';
import { createListenerSettings, type ListenerSettings } from './listener-settings.ts';
import type { RouterPlans } from './parts.ts';
import { createSecretPlans, secretKeys } from './secrets.ts';

interface Context {
  readonly core: Core;
  readonly gateways: GatewayQueries;
  readonly settings: Query<string, ListenerSettings>;
  readonly meshTls: Query<string, MeshServerTls>;
  readonly secretExists: (read: Reader, key: ResourceKey) => boolean;
}

interface RouterListeners {
  readonly listeners: readonly ResourcePlan[];
  readonly secrets: readonly ResourceKey[];
}

export function createRouterPlans(core: Core): RouterPlans {
  const { graph } = core.inputs;
  const secretPlan = createSecretPlans(core);
  const context: Context = {
    core,
    gateways: createGatewayQueries(core.inputs),
    settings: createListenerSettings(core.mesh),
    meshTls: core.mesh.facet('gatewayTls', (mesh): MeshServerTls => ({
      trustDomains: [...new Set([mesh.trustDomain, ...mesh.trustDomainAliases])],
      only13: mesh.minMeshTlsVersion === TlsVersion.TLS_VERSION_1_3,
    })),
    secretExists: (read, key) => secretPlan(read, key) !== undefined,
  };
  const tables = createGatewayTables(core);
  const listening = graph.query<ScopeClass, RouterListeners>({
    name: 'routerListeners',
    id: scopeId,
    compute: (read, scope) => listenersOf(context, read, clientOf(core, read, scope)),
    equal: (a, b) => samePlans(a.listeners, b.listeners) && sameKeys(a.secrets, b.secrets),
  });
  const routing = graph.query<ScopeClass, readonly ResourcePlan[]>({
    name: 'routerTables',
    id: scopeId,
    compute: (read, scope) => {
      const client = clientOf(core, read, scope);
      return portsOf(context, read, client)
        .flatMap(tablesOf)
        .map((ref) => tables(read, client, ref));
    },
    equal: samePlans,
  });
  const types: RouterPlans['types'] = graph.query({
    name: 'routerTypes',
    id: scopeId,
    compute: (read, scope) => {
      const { listeners, secrets } = read.query(listening, scope);
      return [
        { typeUrl: resourceTypes.listener, shared: [], own: listeners },
        { typeUrl: resourceTypes.route, shared: [], own: read.query(routing, scope) },
        { typeUrl: resourceTypes.secret, shared: secrets, own: [] },
      ];
    },
  });
  // What is a router's alone is its own; what it shares with others is planned by their parts.
  const shared: RouterPlans['shared'] = graph.query<ResourceKey, undefined>({
    name: 'routerShared',
    id: resourceId,
    compute: () => undefined,
  });
  return { shared, types };
}

function samePlans(a: readonly ResourcePlan[], b: readonly ResourcePlan[]): boolean {
  return a.length === b.length && a.every((plan, at) => samePlan(plan, b[at]));
}

function portsOf({ gateways }: Context, read: Reader, client: Client): readonly GatewayPort[] {
  const { namespace, labels } = client.scope;
  return read.query(gateways.ports, { namespace, labels });
}

// ---------------------------------------------------------------- listeners

function listenersOf(context: Context, read: Reader, client: Client): RouterListeners {
  const listeners: ResourcePlan[] = [];
  const secrets = new Map<string, ResourceKey>();
  for (const port of portsOf(context, read, client)) {
    const made = listenerOf(context, read, client, port);
    if (made.plan !== undefined) listeners.push(made.plan);
    for (const key of made.secrets) secrets.set(key.name, key);
  }
  const byName = [...secrets.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  return { listeners, secrets: byName };
}

interface MadeListener {
  /** `undefined`: nothing of the port can be served. */
  readonly plan: ResourcePlan | undefined;
  readonly secrets: readonly ResourceKey[];
}

function listenerOf(
  context: Context,
  read: Reader,
  client: Client,
  port: GatewayPort,
): MadeListener {
  const problems: Diagnostic[] = [...port.conflicts];
  const secrets: ResourceKey[] = [];
  const chains: GatewayChain[] = [];
  const [plain] = port.plain;
  if (plain !== undefined) {
    const grpcWeb = port.plain.some(isGrpcWeb);
    chains.push({ routes: plainTable(port.port), sni: [], tls: undefined, grpcWeb });
  }
  for (const server of port.secure) {
    const made = secureChain(context, read, client, server);
    problems.push(...made.problems);
    secrets.push(...made.secrets);
    if (made.chain !== undefined) chains.push(made.chain);
  }
  if (chains.length === 0) return { plan: undefined, secrets: [] };
  const address = port.bind === '' ? '0.0.0.0' : port.bind;
  const name = `${address}_${port.port}`;
  const { http } = read.query(context.settings, client.mesh);
  const argument: GatewayListenerArgument = {
    name,
    address,
    port: port.port,
    chains,
    settings: http,
    problems,
  };
  const refs = [...chains.map((chain) => chain.routes), ...secrets.map((key) => key.name)];
  return { plan: ownPlan(resourceTypes.listener, name, argument, refs), secrets };
}

function ownPlan(
  typeUrl: string,
  name: string,
  argument: GatewayListenerArgument,
  refs: readonly string[],
): ResourcePlan {
  return {
    key: { typeUrl, name, variant: '' },
    parts: [job(gatewayListener, argument)],
    refs,
    follows: [],
    bypassesEpochs: false,
  };
}

interface SecureChain {
  readonly chain: GatewayChain | undefined;
  readonly secrets: readonly ResourceKey[];
  readonly problems: readonly Diagnostic[];
}

/** A server whose certificate is not there is left out: waiting for it would hold up the whole port. */
function secureChain(context: Context, read: Reader, client: Client, server: Server): SecureChain {
  const mesh = client.scope.certificates ? read.query(context.meshTls, client.mesh) : undefined;
  const { tls, secrets: names, refusal } = serverChain(server, mesh);
  const field = `listeners[${server.listener.name}].tls`;
  const refuse = (at: string, value: string, reason: string): SecureChain => ({
    chain: undefined,
    secrets: [],
    problems: [{ object: server.key, field: `${field}.${at}`, value, reason }],
  });
  if (refusal !== undefined) return refuse(refusal.field, refusal.value, refusal.reason);
  if (tls === undefined) return refuse('', '', 'a server of HTTPS needs TLS settings');
  const secrets = secretKeys(names, client.scope);
  const missing = secrets.find((key) => !context.secretExists(read, key));
  if (missing !== undefined) {
    return refuse('credentials', missing.name, 'there is no such certificate; the server is off');
  }
  const chain = { routes: secureTable(server), sni: serverNames(server), tls };
  return { chain: { ...chain, grpcWeb: isGrpcWeb(server) }, secrets, problems: [] };
}

// ---------------------------------------------------------------- tables

function tablesOf(port: GatewayPort): readonly TableRef[] {
  const plain: readonly TableRef[] =
    port.plain.length === 0
      ? []
      : [{ name: plainTable(port.port), port: port.port, tls: false, servers: port.plain }];
  const secure = port.secure.map((server) => ({
    name: secureTable(server),
    port: port.port,
    tls: true,
    servers: [server],
  }));
  return [...plain, ...secure];
}
