/** What gateways add to a router's set: listeners, route tables, and the secrets of their servers. */
import type { Query, Reader } from '@watershed/derive/graph.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import type { GatewayListener } from '@watershed/model/gen/model.ts';
import type { ScopeClass } from '@watershed/model/gen/record.ts';
import { gatewayListener, type GatewayChain } from '../generators/gateway-listener.ts';
import {
  type Diagnostic,
  job,
  type Job,
  type ManifestTypePlan,
  type ResourceKey,
  resourceId,
} from '../plan.ts';
import type { Core } from './core.ts';
import { sameData } from './equal.ts';
import { isGrpcWeb, serverChain } from './gateway-servers.ts';
import {
  createGatewayTables,
  type GatewayTableKey,
  type TableClient,
  tablesOf,
} from './gateway-tables.ts';
import {
  createGatewayPorts,
  type GatewayPort,
  type GatewayPorts,
  type Server,
  serverNames,
} from './gateways.ts';
import { scopeId } from './inbound.ts';
import { sameJob, sameManifest } from './jobs.ts';
import { createListenerSettings, type ListenerSettings } from './listener-settings.ts';
import { streamsOf } from './own-streams.ts';
import type { RouterPlans, RouterSet } from './parts.ts';
import { createSecretPlans, lackOf, secretKeys } from './secrets.ts';
import { serverField } from './user-fields.ts';

interface Context {
  readonly core: Core;
  readonly ports: GatewayPorts;
  readonly settings: Query<string, ListenerSettings>;
  readonly secretExists: (read: Reader, key: ResourceKey) => boolean;
}

export function createRouterPlans(core: Core): RouterPlans {
  const { graph } = core.inputs;
  const secretPlan = createSecretPlans(core);
  const context: Context = {
    core,
    ports: createGatewayPorts(core.inputs),
    settings: createListenerSettings(core.mesh),
    secretExists: (read, key) => secretPlan(read, key) !== undefined,
  };
  const tables = createGatewayTables(core);
  const sockets = createSockets(context);
  const set = graph.query<ScopeClass, RouterSet>({
    name: 'routerSet',
    id: scopeId,
    compute: (read, scope) => {
      const all = read.query(sockets, scope);
      const served = all
        .flatMap((socket) => socket.tables)
        .map((table) => read.query(tables, table));
      return {
        types: [
          { typeUrl: resourceTypes.listener, shared: [], own: all.flatMap(planOf) },
          { typeUrl: resourceTypes.route, shared: [], own: served },
          { typeUrl: resourceTypes.secret, shared: distinct(all), own: [] },
        ],
        problems: all.flatMap((socket) => socket.problems),
      };
    },
    equal: sameRouterSet,
  });
  // What is a router's alone is its own; what it shares with others is planned by their parts.
  const shared: RouterPlans['shared'] = graph.query<ResourceKey, undefined>({
    name: 'routerShared',
    id: resourceId,
    compute: () => undefined,
  });
  return { shared, set };
}

function sameRouterSet(a: RouterSet, b: RouterSet): boolean {
  return sameManifest({ types: a.types }, { types: b.types }) && sameData(a.problems, b.problems);
}

// ---------------------------------------------------------------- listeners

/** A listener of a router, and what goes with it. */
interface RouterSocket {
  readonly name: string;
  /** `undefined`: nothing of the port can be served. */
  readonly job: Job | undefined;
  readonly tables: readonly GatewayTableKey[];
  readonly secrets: readonly ResourceKey[];
  readonly problems: readonly Diagnostic[];
}

function createSockets(context: Context): Query<ScopeClass, readonly RouterSocket[]> {
  const { core, ports } = context;
  return core.inputs.graph.query<ScopeClass, readonly RouterSocket[]>({
    name: 'routerSockets',
    id: scopeId,
    compute: (read, scope) => {
      const { namespace, labels } = scope;
      const mesh = read.query(core.mesh.refOf, scope.cluster);
      const policies = read.query(core.policies.clientClass, { namespace, labels, mesh });
      const router = { scope, client: { namespace, labels, mesh, policies } };
      return read.query(ports, scope).map((port) => socketOf(context, read, router, port));
    },
    equal: (a, b) => a.length === b.length && a.every((one, at) => sameSocket(one, b[at])),
  });
}

function sameSocket(a: RouterSocket, b: RouterSocket | undefined): boolean {
  if (b === undefined || !sameJob(a.job, b.job)) return false;
  return sameData({ ...a, job: undefined }, { ...b, job: undefined });
}

function planOf({ name, job: made, tables, secrets }: RouterSocket): ManifestTypePlan['own'] {
  if (made === undefined) return [];
  const key = { typeUrl: resourceTypes.listener, name, variant: '' };
  const refs = [...tables, ...secrets].map((one) => one.name);
  return [{ key, parts: [made], refs, bypassesEpochs: false }];
}

/** By name. */
function distinct(sockets: readonly RouterSocket[]): readonly ResourceKey[] {
  const byName = new Map(sockets.flatMap(({ secrets }) => secrets.map((key) => [key.name, key])));
  return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

interface Router {
  readonly scope: ScopeClass;
  readonly client: TableClient;
}

function socketOf(
  context: Context,
  read: Reader,
  router: Router,
  socket: GatewayPort,
): RouterSocket {
  const { port, address, plain, secure, conflicts } = socket;
  const problems: Diagnostic[] = [...conflicts];
  const secrets: ResourceKey[] = [];
  const chains: GatewayChain[] = [];
  const [first] = plain;
  if (first !== undefined) {
    const grpcWeb = plain.some(({ listener }) => isGrpcWeb(listener));
    chains.push({ routes: first.table, grpcWeb, secure: undefined });
  }
  for (const server of secure) {
    const made = secureChain(context, read, router.scope, server);
    problems.push(...made.problems);
    secrets.push(...made.secrets);
    if (made.chain !== undefined) chains.push(made.chain);
  }
  const name = address.startsWith('unix://') ? address : `${address}_${port}`;
  const { http, logUnmatched } = read.query(context.settings, router.client.mesh);
  const { hostsOnDemand } = router.scope;
  const argument = {
    ...{ name, address, port, chains, settings: http, logUnmatched },
    streams: streamsOf(router.scope),
    ...(hostsOnDemand ? { onDemand: true } : {}),
  };
  // A server that is off has nobody to ask for its table.
  const asked = new Set(chains.map((chain) => chain.routes));
  return {
    name,
    job: chains.length === 0 ? undefined : job(gatewayListener, argument),
    tables: tablesOf(socket, router.client).filter((table) => asked.has(table.name)),
    secrets,
    problems,
  };
}

interface MadeChain {
  readonly chain: GatewayChain | undefined;
  readonly secrets: readonly ResourceKey[];
  readonly problems: readonly Diagnostic[];
}

/** A server whose certificate is not there is left out: waiting for it would hold up the whole port. */
function secureChain(context: Context, read: Reader, scope: ScopeClass, server: Server): MadeChain {
  const { key: object, listener } = server;
  const refuse = (of: string, value: string, reason: string): MadeChain => {
    const field = serverField(object, listener.name, of);
    return {
      chain: undefined,
      secrets: [],
      problems: [{ object, field, value, reason }],
    };
  };
  const made = serverChain(listener, scope.certificates);
  if (made.kind === 'refused') return refuse(made.field, made.value, made.reason);
  const secrets = secretKeys(made.secrets, scope);
  const missing = secrets.find((key) => !context.secretExists(read, key));
  if (missing !== undefined) {
    const { secret, lack } = lackOf(missing.name, scope.namespace);
    return refuse(
      credentialField(listener, missing.name),
      secret,
      `${lack}: this server is off until there is`,
    );
  }
  const names = serverNames(server).filter((name) => name !== '*');
  const chain: GatewayChain = {
    routes: server.table,
    grpcWeb: isGrpcWeb(listener),
    secure: { serverNames: names, tls: made.tls },
  };
  return { chain, secrets, problems: [] };
}

function credentialField({ tls }: GatewayListener, secret: string): string {
  const { caCredential = '', credentials = [] } = tls ?? {};
  if (caCredential !== '' && !credentials.includes(secret)) return 'tls.caCertCredentialName';
  return credentials.length > 1 ? 'tls.credentialNames' : 'tls.credentialName';
}
