/**
 * A small translator of the tests' own: clusters and assignments of services, a listener and a
 * route table of each scope. Its generators are pure, and its bytes are JSON, so that a test can
 * read them.
 */
import type { Query } from '@watershed/derive/graph.ts';
import { scopeId } from '@watershed/blob/scope-id.ts';
import type { ScopeClass, Selectors } from '@watershed/model/gen/record.ts';
import type { Inputs } from '../../../src/inputs.ts';
import { job, resourceId } from '../../../src/plan.ts';
import type {
  Generated,
  Generator,
  Job,
  ManifestPlan,
  Plans,
  ResourceKey,
  ResourcePlan,
} from '../../../src/plan.ts';

export const clusterType = 'type.googleapis.com/envoy.config.cluster.v3.Cluster';
export const endpointsType = 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment';
export const listenerType = 'type.googleapis.com/envoy.config.listener.v3.Listener';
export const routeType = 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration';

/** A port that no generator can do anything with. */
export const badPort = 13;
/** A host that assembly cannot plan. */
export const badHost = 'unplannable.test';

interface ClusterArgument {
  readonly host: string;
  readonly ports: readonly { readonly number: number; readonly name: string }[];
  readonly timeoutMs: number | undefined;
}

interface EndpointsArgument {
  readonly host: string;
  readonly addresses: readonly string[];
}

interface ListenerArgument {
  readonly namespace: string;
  readonly hosts: readonly string[];
}

interface RouteArgument {
  readonly hosts: readonly string[];
  readonly targets: readonly string[];
}

function bytes(value: unknown): Generated {
  return { bytes: new TextEncoder().encode(JSON.stringify(value)) };
}

/** Counts its runs and can be made impure, which a real generator must not. */
export class TestGenerators {
  /** Put into the bytes of clusters without being in the argument. */
  smuggled = '';

  readonly cluster: Generator<ClusterArgument> = {
    name: 'cluster',
    version: 1,
    generate: ({ host, ports, timeoutMs }) => {
      if (ports.some((port) => port.number === badPort)) throw new RangeError('port 13 is unlucky');
      const generated = bytes({ host, ports, timeoutMs, smuggled: this.smuggled });
      if (timeoutMs !== 0) return generated;
      const diagnostic = { object: host, field: 'timeout', value: '0', reason: 'is ignored' };
      return { ...generated, diagnostics: [diagnostic] };
    },
  };

  readonly endpoints: Generator<EndpointsArgument> = {
    name: 'endpoints',
    version: 1,
    inline: true,
    generate: ({ host, addresses }) => bytes({ host, addresses }),
  };

  readonly listener: Generator<ListenerArgument> = {
    name: 'listener',
    version: 1,
    generate: (argument) => {
      if (argument.hosts.includes('*.bad')) throw new RangeError('no listener for *.bad');
      return bytes({ namespace: argument.namespace, hosts: argument.hosts });
    },
  };

  readonly route: Generator<RouteArgument> = {
    name: 'route',
    version: 1,
    generate: ({ hosts, targets }) => bytes({ hosts, targets }),
  };
}

const anyArray = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((value, at) => value === b[at]);

export function testPlans(inputs: Inputs, generators = new TestGenerators()): Plans {
  const { graph, indexes } = inputs;
  const id = (key: string): string => key;

  const cluster: Query<string, Job | undefined> = graph.query({
    name: 'cluster',
    id,
    compute: (read, host) => {
      if (host === badHost) throw new RangeError(`${host} cannot be planned`);
      const [service] = read.lookup(indexes.servicesByHost, host);
      if (service === undefined) return undefined;
      const [policy] = read.lookup(indexes.policiesByHost, host);
      return job(generators.cluster, {
        host,
        ports: service.value.value.ports.map(({ number, name }) => ({ number, name })),
        timeoutMs: policy?.value.value.traffic?.connectionPool?.connectTimeoutMs,
      });
    },
  });

  const shared: Query<ResourceKey, ResourcePlan | undefined> = graph.query({
    name: 'shared',
    id: resourceId,
    compute: (read, key): ResourcePlan | undefined => {
      if (key.typeUrl === clusterType) {
        const part = read.query(cluster, key.name);
        const plan = { key, parts: part === undefined ? [] : [part], refs: [key.name] };
        return part && { ...plan, bypassesEpochs: false };
      }
      const addresses = read
        .lookup(indexes.endpointsByHost, key.name)
        .flatMap((slice) => slice.value.value.endpoints.map((endpoint) => endpoint.address));
      const part = job(generators.endpoints, { host: key.name, addresses });
      return { key, parts: [part], refs: [], bypassesEpochs: true };
    },
  });

  const visible: Query<string, readonly string[]> = graph.query({
    name: 'visible',
    id,
    equal: anyArray,
    compute: (read, namespace) => {
      const all = [
        ...read.lookup(indexes.servicesByExport, '*'),
        ...read.lookup(indexes.servicesByExport, namespace),
      ];
      return [...new Set(all.map((entry) => entry.value.value.host))].sort();
    },
  });

  const listener: Query<string, Job> = graph.query({
    name: 'listener',
    id,
    compute: (read, namespace) =>
      job(generators.listener, { namespace, hosts: read.query(visible, namespace) }),
  });

  const virtualHost: Query<string, Job> = graph.query({
    name: 'virtualHost',
    id,
    compute: (read, key) => {
      const route = read.get(inputs.routes, key);
      return job(generators.route, {
        hosts: route?.value.hosts ?? [],
        targets:
          route?.value.rules.flatMap(({ action }) =>
            action?.$case === 'forward' ? action.value.backends.map((b) => b.host) : [],
          ) ?? [],
      });
    },
  });

  const manifest: Query<ScopeClass, ManifestPlan> = graph.query({
    name: 'manifest',
    id: scopeId,
    compute: (read, { namespace }): ManifestPlan => {
      const hosts = read.query(visible, namespace);
      const routes = read.lookup(indexes.routesByNamespace, namespace);
      const own = (typeUrl: string, name: string, parts: readonly Job[]): ResourcePlan => ({
        key: { typeUrl, name, variant: '' },
        parts,
        refs: [],
        bypassesEpochs: false,
      });
      return {
        types: [
          { typeUrl: clusterType, shared: hosts.map(clusterKey), own: [] },
          { typeUrl: endpointsType, shared: hosts.map(endpointsKeyOf), own: [] },
          {
            typeUrl: listenerType,
            shared: [],
            own: [own(listenerType, 'outbound', [read.query(listener, namespace)])],
          },
          {
            typeUrl: routeType,
            shared: [],
            own: [
              own(
                routeType,
                'outbound',
                routes.map((route) => read.query(virtualHost, route.key)),
              ),
            ],
          },
        ],
      };
    },
  });

  const selectors: Query<string, Selectors> = graph.query({
    name: 'selectors',
    id,
    compute: (read, namespace): Selectors => {
      const keys = read
        .lookup(indexes.scopesByNamespace, namespace)
        .flatMap((scope) => Object.keys(scope.value.value.workloadSelector));
      return { labelKeys: [...new Set(keys)].sort(), locality: false };
    },
  });

  return { shared, manifest, selectors };
}

function clusterKey(host: string): ResourceKey {
  return { typeUrl: clusterType, name: host, variant: '', host };
}

function endpointsKeyOf(host: string): ResourceKey {
  return { typeUrl: endpointsType, name: host, variant: '', host };
}
