/**
 * Virtual hosts: the routes of a host, in order, with every backend resolved to a cluster. One
 * query serves sidecars and routers; its key names what was chosen, so clients that chose alike
 * share the job.
 */
import type { Query, Reader } from '@watershed/derive/graph.ts';
import type { Backend, HashKey, Retry, Route } from '@watershed/model/gen/model.ts';
import { clusterName } from '../generators/names.ts';
import { proxylessVirtualHost } from '../generators/proxyless-virtual-host.ts';
import {
  type RuleArgument,
  virtualHost,
  type VirtualHostArgument,
} from '../generators/virtual-host.ts';
import type { Keyed } from '../inputs.ts';
import { job, type Job } from '../plan.ts';
import { type Core, policyOf } from './core.ts';
import { sameData } from './equal.ts';
import { sameJob } from './jobs.ts';
import { bySpecificMatch, catchAllsLast, upToCatchAll } from './precedence.ts';
import { proxylessRoutes, type RoutedRule } from './proxyless-rules.ts';
import { retryOf } from './retry.ts';
import { type Destination, ruleArgument, type RuleSite } from './rules.ts';
import { chooseService, isExportedTo, namespaceOf, type ServiceChoice } from './services.ts';
import { trafficFor } from './traffic.ts';
import { encodeLabels } from './variant.ts';

export interface VirtualHostFields extends RuleSite {
  readonly name: string;
  readonly domains: readonly string[];
  /** Config keys of routes, in order of precedence. */
  readonly routes: readonly string[];
  /** Where there are no routes: the service that all requests go to. `undefined`: nobody answers. */
  readonly service: ServiceChoice | undefined;
  /** From `MeshQueries.refOf`. */
  readonly mesh: string;
  /** From `PolicyQueries.clientClass`. */
  readonly policies: string;
  /** Plain HTTP is answered with a redirect to HTTPS. */
  readonly requireTls: boolean;
  /** For gRPC without a proxy, of one service and for all of its names. */
  readonly proxyless: boolean;
}

/**
 * Its namespace is the client's where some choice depends on it, else '': then all namespaces share
 * it.
 */
export interface VirtualHostKey extends VirtualHostFields {
  /** Equal for equal fields. Made once, because a table asks for its hosts again and again. */
  readonly id: string;
}

export type VirtualHosts = Query<VirtualHostKey, Job>;

export function virtualHostKey(fields: VirtualHostFields): VirtualHostKey {
  const { service } = fields;
  const id = [
    fields.name,
    fields.domains.join(' '),
    fields.routes.join(' '),
    service === undefined ? '' : `${service.host} ${service.ref}`,
    fields.parents.join(' '),
    String(fields.port),
    fields.namespace,
    encodeLabels(fields.labels),
    fields.mesh,
    fields.policies,
    `${fields.tls ? 'tls' : ''} ${fields.requireTls ? 'redirect' : ''}`,
    fields.proxyless ? 'proxyless' : '',
  ].join('\n');
  return { ...fields, id };
}

/** A destination's hash policy depends on this, and on nothing else of the policies. */
interface HashClient {
  readonly host: string;
  readonly serviceNamespace: string;
  readonly port: number;
  readonly subset: string;
  readonly policies: string;
  readonly mesh: string;
}

interface Context {
  readonly core: Core;
  readonly retry: Query<string, Retry | undefined>;
  readonly hash: Query<HashClient, HashKey | undefined>;
}

export function createVirtualHosts(core: Core): VirtualHosts {
  const { graph } = core.inputs;
  const context: Context = {
    core,
    retry: core.mesh.facet('defaultHttpRetry', (mesh) => mesh.defaultHttpRetry),
    hash: graph.query<HashClient, HashKey | undefined>({
      name: 'destinationHash',
      id: (key) =>
        [key.host, key.serviceNamespace, key.port, key.subset, key.policies, key.mesh].join('\n'),
      compute: (read, key) => hashOf(core, read, key),
      equal: sameData,
    }),
  };
  return graph.query<VirtualHostKey, Job>({
    name: 'virtualHost',
    id: (key) => key.id,
    compute: (read, key) => jobOf(context, read, key),
    // An unchanged job stays the same object: the engine asks for nothing else.
    equal: sameJob,
  });
}

/** The client's policies decide: a cluster's balancer and its routes must hash alike. */
function hashOf({ policies }: Core, read: Reader, key: HashClient): HashKey | undefined {
  const { host, serviceNamespace, mesh } = key;
  const keys = read.query(policies.effective, {
    host,
    serviceNamespace,
    mesh,
    class: key.policies,
  });
  const policy = read.query(policies.policy, keys);
  const subset = policy?.subsets.find((one) => one.name === key.subset);
  return trafficFor(policy, key.port, subset).loadBalancer?.hash;
}

function jobOf(context: Context, read: Reader, key: VirtualHostKey): Job {
  if (key.proxyless) return proxylessJob(context, read, key);
  const argument: VirtualHostArgument = {
    name: key.name,
    domains: key.domains,
    rules:
      key.routes.length > 0
        ? routed(context, read, key, (rule) => rule)
        : unrouted(context, read, key),
    requireTls: key.requireTls,
  };
  return job(virtualHost, argument);
}

function proxylessJob(context: Context, read: Reader, key: VirtualHostKey): Job {
  const { name, service, port } = key;
  const rules: readonly RoutedRule[] =
    key.routes.length > 0
      ? routed(context, read, key, (rule, route) => ({ ...rule, object: route.key }))
      : unrouted(context, read, key).map((rule) => ({ ...rule, object: '' }));
  const own = clusterName('outbound', port, '', service?.host ?? '');
  const exists = (cluster: string): boolean => isThere(context, read, key, cluster);
  const { routes, problems } = proxylessRoutes(rules, own, exists);
  return job(proxylessVirtualHost, {
    name,
    routes,
    ...(problems.length === 0 ? {} : { problems }),
  });
}

/** Whether there is a cluster of that name: the service, its port and its subset. */
function isThere({ core }: Context, read: Reader, key: VirtualHostKey, cluster: string): boolean {
  const [, port, wanted = '', host = ''] = cluster.split('|');
  const choice = chosen(core, read, key, host);
  const service = choice && read.query(core.services.service, choice);
  if (service === undefined) return false;
  if (!service.ports.some(({ number }) => number === Number(port))) return false;
  if (wanted === '') return true;
  const named = { ...service, ref: choice?.ref ?? '' };
  const policy = read.query(core.policies.policy, policyOf(core, read, named, key));
  return policy?.subsets.some(({ name }) => name === wanted) ?? false;
}

function chosen(
  { services }: Core,
  read: Reader,
  { namespace }: VirtualHostKey,
  host: string,
): ServiceChoice | undefined {
  const all = read.query(services.candidates, host);
  const visible = all.filter((candidate) => isExportedTo(candidate.exportTo, namespace));
  return chooseService(host, visible, all, namespace);
}

/**
 * Istio's routes keep the user's order and come first; the Gateway API's are sorted over all of
 * them.
 */
function routed<R extends RuleArgument>(
  context: Context,
  read: Reader,
  key: VirtualHostKey,
  as: (rule: RuleArgument, route: Keyed<Route>) => R,
): readonly R[] {
  const routes = key.routes.flatMap((route) => read.get(context.core.inputs.routes, route) ?? []);
  const retry = read.query(context.retry, key.mesh);
  const rulesOf = (route: Keyed<Route>): readonly R[] => {
    const { value } = route;
    const resolve = (backend: Backend): Destination => destination(context, read, key, backend);
    const gatewayApi = value.bySpecificity;
    return value.rules.flatMap((rule) => {
      const made = ruleArgument(rule, { site: key, retry, gatewayApi, resolve });
      return made === undefined ? [] : [as(made, route)];
    });
  };
  const ordered = routes.filter(({ value }) => !value.bySpecificity);
  const sorted = routes.filter(({ value }) => value.bySpecificity);
  const all = [
    ...ordered.flatMap((route) => upToCatchAll(rulesOf(route))),
    ...bySpecificMatch(sorted.flatMap(rulesOf)),
  ];
  // One route's own order stands; several must not hide one another.
  return routes.length > 1 ? catchAllsLast(all) : all;
}

/** What a service does that nobody wrote a route for. */
function unrouted(context: Context, read: Reader, key: VirtualHostKey): readonly RuleArgument[] {
  if (key.service === undefined) return [];
  const to = through(context, read, key, { choice: key.service, port: key.port, subset: '' });
  const forward = {
    backends: [
      {
        cluster: to.cluster,
        weight: 0,
        authority: '',
        requestHeaders: undefined,
        responseHeaders: undefined,
      },
    ],
    rewrite: undefined,
    authority: '',
    timeoutMs: 0,
    retry: retryOf(undefined, read.query(context.retry, key.mesh)),
    mirrors: [],
    hash: to.hash === undefined ? [] : [to.hash],
    missing: 503,
  } as const;
  return [
    {
      name: 'default',
      matches: [],
      action: { kind: 'forward', forward },
      fault: undefined,
      cors: undefined,
      requestHeaders: undefined,
      responseHeaders: undefined,
    },
  ];
}

/** Without a port: the service's only one, else the one that the request came for (istiod). */
function destination(
  context: Context,
  read: Reader,
  key: VirtualHostKey,
  { host, port, subset }: Backend,
): Destination {
  const choice = chosen(context.core, read, key, host);
  if (choice === undefined) {
    return { cluster: clusterName('outbound', port || key.port, subset, host), hash: undefined };
  }
  const only = port === 0 ? onlyPort(context, read, choice) : port;
  return through(context, read, key, { choice, port: only ?? key.port, subset });
}

function onlyPort({ core }: Context, read: Reader, choice: ServiceChoice): number | undefined {
  const ports = read.query(core.services.service, choice)?.ports ?? [];
  return ports.length === 1 ? ports[0]?.number : undefined;
}

interface Target {
  readonly choice: ServiceChoice;
  readonly port: number;
  readonly subset: string;
}

function through(
  { hash }: Context,
  read: Reader,
  key: VirtualHostKey,
  { choice, port, subset }: Target,
): Destination {
  const { host, ref } = choice;
  const cluster = clusterName('outbound', port, subset, host);
  const serviceNamespace = namespaceOf(ref);
  const { policies, mesh } = key;
  const hashKey = { host, serviceNamespace, port, subset, policies, mesh };
  return { cluster, hash: read.query(hash, hashKey) };
}
