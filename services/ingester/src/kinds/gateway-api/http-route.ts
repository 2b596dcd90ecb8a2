import type { Reader } from '@watershed/derive/graph.ts';
import { Match, Route } from '@watershed/model/gen/model.ts';
import type { Parent, Rule } from '@watershed/model/gen/model.ts';
import { configKey } from '@watershed/model/keys.ts';
import { decode, isServed } from '../../decode.ts';
import type { Emission, Emitted, Kind, Problem, SourceObject, World } from '../../kind.ts';
import { attach, routeHosts } from './attach.ts';
import type { Attachment, ServiceParent } from './attach.ts';
import { group } from './fields.ts';
import { httpRouteName } from '@watershed/model/objects.ts';
import { lostMatches, matchIndex, matchKeys } from './route-conflicts.ts';
import { normaliseRule } from './route-rule.ts';
import { routeSpec } from './route-spec.ts';
import type { RouteSpec } from './route-spec.ts';

const blankMatch = Match.create();
const blankRoute = Route.create();

export const httpRouteKind: Kind<RouteSpec> = {
  apiVersions: [`${group}/v1`, `${group}/v1beta1`],
  kind: 'HTTPRoute',
  namespaced: true,
  indexes: { [matchIndex]: matchKeys },
  decode: (raw) =>
    decode<RouteSpec>(routeSpec, raw['spec'] ?? {}, {
      path: 'spec',
      unknownFields: isServed(raw) ? 'warning' : 'error',
    }),
  emit,
};

function emit(read: Reader, world: World, object: SourceObject<RouteSpec>): Emission {
  const attachment = attach(read, world, object);
  const { gateways, services } = attachment;
  if (gateways.length + services.length === 0) return { events: [], problems: attachment.problems };
  const { rules, problems } = wholeRules(read, world, object);
  const own = { route: object, attachment };
  const lost = lostMatches(read, world, own, world.index(httpRouteKind, matchIndex));
  const events: Emitted[] = [];
  // What speaks for a service is for all who call it; a caller's namespace speaks for itself alone.
  const producers = services.filter(({ isProducer }) => isProducer);
  const consumers = services.filter(({ isProducer }) => !isProducer);
  const { name, namespace } = object.ref;
  if (gateways.length + producers.length > 0) {
    const parents = { ...attachment, services: producers };
    events.push(routeEvent(world, object, rules, parents, { name, exportTo: ['*'] }));
  }
  if (consumers.length > 0) {
    const parents = { ...attachment, gateways: [], services: consumers };
    const rest = { name: `${name}:consumer`, exportTo: [namespace] };
    events.push(routeEvent(world, object, rules, parents, rest));
  }
  return { events, problems: [...attachment.problems, ...problems, ...lost] };
}

interface Whole {
  readonly rules: readonly Rule[];
  readonly problems: readonly Problem[];
}

function wholeRules(read: Reader, world: World, object: SourceObject<RouteSpec>): Whole {
  const { namespace } = object.ref;
  const results = object.spec.rules.map((rule, index) =>
    normaliseRule(read, world, rule, { namespace, field: `spec.rules[${index}]` }),
  );
  return {
    rules: results.map(({ rule }) => rule),
    problems: results.flatMap(({ problems }) => problems),
  };
}

function routeEvent(
  world: World,
  object: SourceObject<RouteSpec>,
  rules: readonly Rule[],
  attachment: Attachment,
  rest: { readonly name: string; readonly exportTo: string[] },
): Emitted {
  const { gateways, services } = attachment;
  const hosts = new Set(services.map(({ host }) => host));
  const value: Route = {
    ...blankRoute,
    hosts: gateways.length === 0 ? [] : routeHosts(object.spec),
    parents: [...gateways, ...[...hosts].map(serviceParent)],
    rules: rules.map((rule) => ({ ...rule, matches: onPorts(rule.matches, attachment) })),
    exportTo: rest.exportTo,
    createdMs: object.createdMs,
    bySpecificity: true,
  };
  const key = configKey({
    cluster: world.settings.cluster,
    kind: 'route',
    namespace: object.ref.namespace,
    name: httpRouteName(rest.name),
  });
  return { topic: 'config', key, event: { object: { $case: 'route', value } } };
}

function serviceParent(host: string): Parent {
  return { to: { $case: 'serviceHost', value: host } };
}

/** A parent that is one port of a service: the matches are narrowed to it, each parent for itself. */
function onPorts(
  matches: readonly Match[],
  { gateways, services }: Pick<Attachment, 'gateways' | 'services'>,
): Match[] {
  const ofPort = services.filter(({ port }) => port !== 0);
  if (ofPort.length === 0) return [...matches];
  const whole = services.filter(({ port }) => port === 0);
  const anywhere = [...gateways, ...whole.map(({ host }) => serviceParent(host))];
  const places: { readonly port: number; readonly parents: Parent[] }[] = [
    ...(anywhere.length === 0 ? [] : [{ port: 0, parents: anywhere }]),
    ...ofPort.map(({ host, port }: ServiceParent) => ({ port, parents: [serviceParent(host)] })),
  ];
  const all = matches.length === 0 ? [blankMatch] : matches;
  const [first] = places;
  // One place alone: the route's own parents say it.
  if (places.length === 1 && first !== undefined) {
    return all.map((match) => ({ ...match, port: first.port }));
  }
  return all.flatMap((match) =>
    places.map(({ port, parents }) => ({ ...match, port, gateways: parents })),
  );
}
