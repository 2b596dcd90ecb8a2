import { Route } from '@watershed/model/gen/model.ts';
import { configKey } from '@watershed/model/keys.ts';
import type { Reader } from '@watershed/derive/graph.ts';
import { VirtualService } from '@watershed/proto/istio/networking/v1alpha3/virtual_service.ts';
import type {
  Destination,
  HTTPRoute,
} from '@watershed/proto/istio/networking/v1alpha3/virtual_service.ts';
import { show } from '../../decode.ts';
import type { Emission, Kind, Problem, SourceObject, World } from '../../kind.ts';
import { butRefused, textsOf, whyAbsent } from '../common/absent.ts';
import { exportedTo } from '../common/export-to.ts';
import { fullHost, sortedSet } from '../common/hosts.ts';
import { apiVersions, istioDecoder } from './decode.ts';
import { mergeRules } from './delegate.ts';
import { gatewayName, meshGateway, parentOf, sortedParents } from './gateway-names.ts';
import { normaliseRule } from './http-rule.ts';
import { lostMatches, matchIndex, matchKeys } from './match-conflicts.ts';
import { absentReferences } from './references.ts';
import { claimIndex, claimsOf, lostHosts } from './route-conflicts.ts';
import { checkVirtualService } from './virtual-service-check.ts';

const blankRoute = Route.create();

/** By host, in full form. */
export const routeHostIndex = 'host';

/** By what it delegates to, `namespace/name`. */
const delegateIndex = 'delegate';

export const virtualServiceKind: Kind<VirtualService> = {
  apiVersions,
  kind: 'VirtualService',
  namespaced: true,
  indexes: {
    [claimIndex]: claimsOf,
    [delegateIndex]: ({ spec, ref }) =>
      spec.http.flatMap(({ delegate }) =>
        delegate === undefined ? [] : [`${delegate.namespace || ref.namespace}/${delegate.name}`],
      ),
    [matchIndex]: matchKeys,
    [routeHostIndex]: ({ spec, ref }, { domain }) => routeHosts(spec, ref.namespace, domain),
  },
  alsoNamed: (raw, { namespace }, { domain }) =>
    textsOf(raw, 'hosts').map((host) => fullHost(host, namespace, domain)),
  decode: istioDecoder({
    typeName: 'istio.networking.v1alpha3.VirtualService',
    codec: VirtualService,
    check: checkVirtualService,
  }),
  emit: emitRoute,
};

function emitRoute(read: Reader, world: World, object: SourceObject<VirtualService>): Emission {
  const { spec, ref } = object;
  const { namespace, name } = ref;
  const { cluster, domain } = world.settings;
  const absent = absentReferences(read, world, object);
  // A delegate is nothing by itself.
  if (spec.hosts.length === 0) {
    const roots = read.lookup(
      world.index(virtualServiceKind, delegateIndex),
      `${namespace}/${name}`,
    );
    if (roots.length > 0) return { events: [], problems: absent };
    const refused = butRefused(world.refused(read, virtualServiceKind, `${namespace}/`));
    const none = 'is empty, and no VirtualService delegates to this one: it has no effect';
    const reason = `${none}${refused}`;
    const lost: Problem = { severity: 'warning', field: 'spec.hosts', value: '', reason };
    return { events: [], problems: [lost, ...absent] };
  }
  const { rules, problems: ofRules } = wholeRules(read, world, object);
  const lost = lostHosts(read, world, object, world.index(virtualServiceKind, claimIndex));
  const own = { object, told: new Set(lost.map(({ field }) => field)) };
  const matches = lostMatches(read, world, own, world.index(virtualServiceKind, matchIndex));
  const problems = [...absent, ...ofRules, ...lost, ...matches];
  if (rules.length === 0) return { events: [], problems };
  const gateways = spec.gateways.length === 0 ? [meshGateway] : spec.gateways;
  const route: Route = {
    ...blankRoute,
    hosts: routeHosts(spec, namespace, domain),
    parents: sortedParents(gateways.map((gateway) => parentOf(gateway, namespace))),
    rules: rules.map(normaliseRule),
    exportTo: exportedTo(read, world, { given: spec.exportTo, of: 'route', namespace }),
    createdMs: object.createdMs,
  };
  const key = configKey({ cluster, kind: 'route', namespace, name });
  const event = { object: { $case: 'route' as const, value: route } };
  return { events: [{ topic: 'config', key, event }], problems };
}

function routeHosts({ hosts }: VirtualService, namespace: string, domain: string): string[] {
  return sortedSet(hosts.map((host) => fullHost(host, namespace, domain)));
}

interface Whole {
  readonly rules: readonly HTTPRoute[];
  readonly problems: readonly Problem[];
}

/** The rules with their delegates' in place. A rule whose delegate cannot be used is left out. */
function wholeRules(read: Reader, world: World, object: SourceObject<VirtualService>): Whole {
  const rules: HTTPRoute[] = [];
  const problems: Problem[] = [];
  const { domain } = world.settings;
  const { namespace } = object.ref;
  for (const [index, rule] of object.spec.http.entries()) {
    const own = resolved(rule, namespace, domain);
    if (rule.delegate === undefined) {
      rules.push(own);
      continue;
    }
    const at = { namespace: rule.delegate.namespace || namespace, name: rule.delegate.name };
    const found = delegateOf(read, world, at, namespace);
    if (typeof found === 'string') {
      const field = `spec.http[${index}].delegate`;
      const value = show(`${at.namespace}/${at.name}`);
      problems.push({
        severity: 'warning',
        field,
        value,
        reason: `${found}: the rule is left out`,
      });
      continue;
    }
    const leaves = found.spec.http.map((leaf) => resolved(leaf, at.namespace, domain));
    const merged = mergeRules(own, leaves);
    if (merged.length < leaves.length) {
      problems.push({
        severity: 'warning',
        field: `spec.http[${index}].delegate`,
        value: show(`${at.namespace}/${at.name}`),
        reason: `${leaves.length - merged.length} of its rules match what this rule does not, and are left out`,
      });
    }
    rules.push(...merged);
  }
  return { rules, problems };
}

/** The delegate, or why there is none. */
function delegateOf(
  read: Reader,
  world: World,
  at: { readonly namespace: string; readonly name: string },
  from: string,
): SourceObject<VirtualService> | string {
  const key = `${at.namespace}/${at.name}`;
  const object = read.get(world.objects(virtualServiceKind), key);
  if (object === undefined) return whyAbsent(read, world, virtualServiceKind, key);
  if (object.spec.hosts.length > 0) return 'has hosts of its own, so it is no delegate';
  const given = object.spec.exportTo;
  const exported = exportedTo(read, world, { given, of: 'route', namespace: at.namespace });
  if (!exported.includes('*') && !exported.includes(from)) return `is not exported to ${from}`;
  return object;
}

/** Names in full form: what a delegate says is meant in its own namespace. */
function resolved(rule: HTTPRoute, namespace: string, domain: string): HTTPRoute {
  const full = (to: Destination): Destination => ({
    ...to,
    host: fullHost(to.host, namespace, domain),
  });
  return {
    ...rule,
    match: rule.match.map((match) => ({
      ...match,
      gateways: match.gateways.map((gateway) => gatewayName(gateway, namespace)),
    })),
    route: rule.route.map((entry) => ({
      ...entry,
      destination: entry.destination && full(entry.destination),
    })),
    mirror: rule.mirror && full(rule.mirror),
    mirrors: rule.mirrors.map((mirror) => ({
      ...mirror,
      destination: mirror.destination && full(mirror.destination),
    })),
  };
}
