/**
 * Route tables of sidecars: one per port, of one virtual host per service of the port, of those
 * that routes alone name, and of what happens to all else.
 *
 * A table is made in two steps. The first says which virtual hosts it has, and under which domains;
 * what routes do with a request is not read there. The second puts their jobs in a row.
 */
import type { Query, Reader } from '@watershed/derive/graph.ts';
import { routeConfiguration } from '../generators/route-configuration.ts';
import { passthrough } from '../generators/special-cluster.ts';
import { type ActionArgument, virtualHost } from '../generators/virtual-host.ts';
import { job, type Job, type ResourceKey, type ResourcePlan, resourceId } from '../plan.ts';
import { type Core, isRegistryOnly, pickLabels } from './core.ts';
import { sameData } from './equal.ts';
import { isSubsetOf, isWildcard } from './hosts.ts';
import { samePlan } from './jobs.ts';
import type { SidecarRoutes } from './parts.ts';
import { listenerProtocol } from './protocols.ts';
import { parseRouteTable, type RouteTableKey } from './route-table.ts';
import { createRouteChoices, routesOf, type ChoiceKey, type RouteChoice } from './routes-choice.ts';
import { type CalledService, domainsOf, withPort } from './routes-domains.ts';
import {
  type AttachedRoutes,
  createAttachedRoutes,
  createRouteShapes,
  type MeshSite,
  type RouteShape,
} from './routes-shapes.ts';
import { addressesFor, type MergedService, namespaceOf } from './services.ts';
import { createVirtualHosts, virtualHostKey, type VirtualHostKey } from './virtual-hosts.ts';
import type { VisibleService } from './visibility.ts';

/** Hosts that no service has are routed on this port alone (istiod). */
const httpPort = 80;

export function createSidecarRoutes(core: Core): SidecarRoutes {
  const { graph } = core.inputs;
  const attached = createAttachedRoutes(core.inputs);
  const choices = createRouteChoices(core, createRouteShapes(core.inputs));
  const virtualHosts = createVirtualHosts(core);
  const hosts = graph.query<ResourceKey, readonly VirtualHostKey[]>({
    name: 'routeTableHosts',
    id: resourceId,
    compute: (read, key) => {
      const own = hostsOf({ core, attached, choices }, read, parseRouteTable(key));
      // Most are those of other tables, and each table keeps a thousand.
      return own.map((host) => read.same(virtualHosts, host));
    },
    equal: (a, b) => a.length === b.length && a.every((one, at) => one.id === b[at]?.id),
  });
  const catchAll = createCatchAll(core);
  const shared = graph.query<ResourceKey, ResourcePlan | undefined>({
    name: 'routeTable',
    id: resourceId,
    compute: (read, key) => {
      const table = parseRouteTable(key);
      const own = read.query(hosts, key);
      const jobs = own.map((host) => read.query(virtualHosts, host));
      const last = table.proxyless || takesAll(own) ? [] : [read.query(catchAll, table)];
      const head = job(routeConfiguration, { name: key.name, ignorePort: !tellsByPort(table) });
      return { key, parts: [head, ...jobs, ...last], refs: [], bypassesEpochs: false };
    },
    equal: samePlan,
  });
  return { shared };
}

/** A table of one port ignores ports in a request's Host; where requests come for any, they decide. */
function tellsByPort({ port }: RouteTableKey): boolean {
  return port === 0;
}

function takesAll(hosts: readonly VirtualHostKey[]): boolean {
  return hosts.some((host) => host.domains.includes('*'));
}

// ---------------------------------------------------------------- the virtual hosts of a table

interface Context {
  readonly core: Core;
  readonly attached: AttachedRoutes;
  readonly choices: Query<ChoiceKey, RouteChoice>;
}

/** What a virtual host will be, before domains are told apart. */
interface Candidate {
  readonly host: string;
  readonly port: number;
  readonly domains: readonly string[];
  readonly routes: readonly RouteShape[];
  readonly service: VisibleService | undefined;
}

function hostsOf(context: Context, read: Reader, table: RouteTableKey): readonly VirtualHostKey[] {
  const view = read.query(context.core.visibility.view, table.view);
  const services = view.listeners[table.listener]?.services ?? [];
  const { namespace, labels } = table.client;
  const siteAt = (port: number): MeshSite => ({ port, namespace, labels });
  const choices = new Map<number, RouteChoice>();
  const choiceAt = (port: number): RouteChoice => {
    const { view, listener } = table;
    const known =
      choices.get(port) ?? read.query(context.choices, { view, listener, site: siteAt(port) });
    choices.set(port, known);
    return known;
  };
  const candidates: Candidate[] = [];
  for (const service of table.host === '' ? services : servicesOf(services, table.host)) {
    const merged = read.query(context.core.services.service, service);
    if (merged === undefined) continue;
    const called = { host: service.host, namespace: namespaceOf(service.ref) };
    const attached = read.query(context.attached, service.host);
    for (const port of portsIn(table, service, merged)) {
      const at = { called, site: siteAt(port) };
      const routes = routesOf(attached, choiceAt(port), at);
      candidates.push(serviceCandidate(table, service, merged, port, routes));
    }
  }
  if (table.host === '' && (table.port === httpPort || table.port === 0)) {
    candidates.push(...unserved(table, services, choiceAt(httpPort)));
  }
  return withOwnDomains(candidates).map((one) => hostKey(table, one));
}

/** By a listener's services: a table of one host each must not look through them all. */
const byHost = new WeakMap<readonly VisibleService[], ReadonlyMap<string, VisibleService[]>>();

function servicesOf(services: readonly VisibleService[], host: string): readonly VisibleService[] {
  let known = byHost.get(services);
  if (known === undefined) {
    known = Map.groupBy(services, (service) => service.host);
    byHost.set(services, known);
  }
  return known.get(host) ?? [];
}

function portsIn(
  table: RouteTableKey,
  service: VisibleService,
  { ports }: MergedService,
): readonly number[] {
  return ports
    .filter(({ number }) => table.port === 0 || number === table.port)
    .filter(({ number }) => service.ports.length === 0 || service.ports.includes(number))
    .filter(({ protocol }) => ['http', 'auto'].includes(listenerProtocol(protocol)))
    .map(({ number }) => number);
}

function serviceCandidate(
  table: RouteTableKey,
  service: VisibleService,
  merged: MergedService,
  port: number,
  routes: readonly RouteShape[],
): Candidate {
  const { host } = service;
  const called: CalledService = {
    host,
    addresses: addressesFor(merged, table.client.cluster),
    headless: merged.headless,
  };
  const domains = table.host === '' ? domainsIn(table, called, port) : ['*'];
  return { host, port, domains, routes, service };
}

function domainsIn(table: RouteTableKey, called: CalledService, port: number): readonly string[] {
  const domains = domainsOf(called, table.client.dnsDomain);
  return tellsByPort(table) ? withPort(domains, port) : domains;
}

/** Hosts of routes that no service of the table stands for. */
function unserved(
  table: RouteTableKey,
  services: readonly VisibleService[],
  { named }: RouteChoice,
): readonly Candidate[] {
  const served = new Set(services.map(({ host }) => host));
  const isServed = (host: string): boolean =>
    isWildcard(host)
      ? services.some((service) => isSubsetOf(service.host, host))
      : served.has(host);
  return named
    .filter(([host]) => !isServed(host))
    .map(([host, route]) => {
      const called = { host, addresses: [], headless: false };
      const domains = host.startsWith('*') ? [host] : domainsIn(table, called, httpPort);
      return { host, port: httpPort, domains, routes: [route], service: undefined };
    });
}

/** Envoy refuses a table in which a domain stands twice: full names go first, then who comes first. */
function withOwnDomains(candidates: readonly Candidate[]): readonly Candidate[] {
  const owners = new Map<string, Candidate>();
  for (const one of candidates) {
    const [full] = one.domains;
    if (full !== undefined && !owners.has(full)) owners.set(full, one);
  }
  for (const one of candidates) {
    for (const domain of one.domains) if (!owners.has(domain)) owners.set(domain, one);
  }
  return candidates.flatMap((one) => {
    const domains = one.domains.filter((domain) => owners.get(domain) === one);
    return domains.length === 0 ? [] : [{ ...one, domains: [...new Set(domains)] }];
  });
}

function hostKey(table: RouteTableKey, one: Candidate): VirtualHostKey {
  const { client, view } = table;
  const { host, port, domains, routes, service } = one;
  // Where only what is exported to all counts, every namespace chooses alike.
  const alike = view === '' && !routes.some((route) => route.readsNamespace);
  const read = [...new Set(routes.flatMap((route) => route.labels))].sort();
  return virtualHostKey({
    name: `${host}:${port}`,
    domains,
    routes: routes.map((route) => route.key),
    service: service && { host: service.host, ref: service.ref },
    parents: ['mesh'],
    port,
    namespace: alike ? '' : client.namespace,
    labels: pickLabels(client.labels, read),
    mesh: client.mesh,
    policies: client.policies,
    tls: false,
    requireTls: false,
    proxyless: table.proxyless,
  });
}

// ---------------------------------------------------------------- all else

/** Requests to hosts that the client does not know: let through, or refused. */
function createCatchAll(core: Core): Query<RouteTableKey, Job> {
  return core.inputs.graph.query<RouteTableKey, Job>({
    name: 'routeTableCatchAll',
    id: ({ view, client }) => `${view}\n${client.mesh}`,
    compute: (read, { view, client }) =>
      job(
        virtualHost,
        isRegistryOnly(core, read, view, client.mesh)
          ? catchAllHost('block_all', { kind: 'respond', respond: { status: 502, body: '' } })
          : catchAllHost('allow_any', toPassthrough),
      ),
    equal: (a, b) => sameData(a.argument, b.argument),
  });
}

const toPassthrough: ActionArgument = {
  kind: 'forward',
  forward: {
    backends: [
      {
        cluster: passthrough,
        weight: 0,
        authority: '',
        requestHeaders: undefined,
        responseHeaders: undefined,
      },
    ],
    rewrite: undefined,
    authority: '',
    timeoutMs: 0,
    retry: undefined,
    mirrors: [],
    hash: [],
    missing: 503,
  },
};

function catchAllHost(name: string, action: ActionArgument) {
  const nothing = {
    fault: undefined,
    cors: undefined,
    requestHeaders: undefined,
    responseHeaders: undefined,
  };
  return {
    name,
    domains: ['*'],
    rules: [{ name, matches: [], action, ...nothing }],
    requireTls: false,
  };
}
