/**
 * What a VirtualService names and is not there: it is served all the same, for it may come, and
 * answers with 503 until then. Istio leaves this to `istioctl analyze` (IST0101).
 */
import type { Reader } from '@watershed/derive/graph.ts';
import type { Gateway } from '@watershed/proto/istio/networking/v1alpha3/gateway.ts';
import type {
  Destination,
  VirtualService,
} from '@watershed/proto/istio/networking/v1alpha3/virtual_service.ts';
import { show } from '../../decode.ts';
import type { Problem, SourceObject, World } from '../../kind.ts';
import { butRefused, whyAbsent } from '../common/absent.ts';
import { fullHost, hostsOverlap, isWildcard, serviceAt, wildcardsOver } from '../common/hosts.ts';
import { maxTold } from '../common/told.ts';
import { destinationRuleKind, ruleHostIndex } from './destination-rule.ts';
import { gatewayName, meshGateway } from './gateway-names.ts';
import { gatewayHost, gatewayKind } from './gateway.ts';
import { absentHost, absentPort } from './known-hosts.ts';

export function absentReferences(
  read: Reader,
  world: World,
  { spec, ref }: SourceObject<VirtualService>,
): readonly Problem[] {
  const problems: Problem[] = [];
  const tell = (field: string, value: string, reason: string): void => {
    if (problems.length === maxTold) return;
    problems.push({ severity: 'warning', field, value: show(value), reason });
  };
  const gateways: SourceObject<Gateway>[] = [];
  for (const [index, given] of spec.gateways.entries()) {
    const name = gatewayName(given, ref.namespace);
    if (name === meshGateway) continue;
    const gateway = read.get(world.objects(gatewayKind), name);
    if (gateway !== undefined) gateways.push(gateway);
    else tell(`spec.gateways[${index}]`, given, whyAbsent(read, world, gatewayKind, name));
  }
  const isOfMesh = spec.gateways.length === 0 || spec.gateways.includes(meshGateway);
  // A gateway that is not found may serve them.
  const isKnown = isOfMesh || gateways.length === spec.gateways.length;
  for (const [index, given] of isKnown ? spec.hosts.entries() : []) {
    const host = fullHost(given, ref.namespace, world.settings.domain);
    const reason = isOfMesh
      ? absentService(read, world, host)
      : unserved(gateways, host, ref.namespace);
    if (reason !== undefined) tell(`spec.hosts[${index}]`, given, reason);
  }
  if (spec.gateways.every((name) => name === meshGateway)) {
    const hosts = spec.hosts.map((host) => fullHost(host, ref.namespace, world.settings.domain));
    for (const [field, port] of askedPorts(spec)) {
      const reasons = hosts.map((host) => whyNoPort(read, world, host, port));
      const [reason] = reasons;
      if (reason !== undefined && !reasons.includes(undefined)) tell(field, String(port), reason);
    }
  }
  for (const [field, { host, port, subset }] of destinations(spec)) {
    const full = fullHost(host, ref.namespace, world.settings.domain);
    const absent = absentHost(read, world, full);
    const ofPort = port && whyNoPort(read, world, full, port.number);
    if (absent !== undefined) tell(`${field}.host`, host, absent);
    if (ofPort !== undefined) tell(`${field}.port.number`, String(port?.number), ofPort);
    const ofSubset = subset === '' ? undefined : whyNoSubset(read, world, full, subset);
    if (ofSubset !== undefined) tell(`${field}.subset`, subset, ofSubset);
  }
  return problems;
}

function* askedPorts({ http }: VirtualService): Iterable<readonly [string, number]> {
  for (const [index, { match: matches }] of http.entries()) {
    for (const [at, { port }] of matches.entries()) {
      if (port !== 0) yield [`spec.http[${index}].match[${at}].port`, port];
    }
  }
}

/** Of a host that is there: of others nothing is known. */
function whyNoPort(read: Reader, world: World, host: string, port: number): string | undefined {
  const isKnown = absentHost(read, world, host) === undefined;
  return isKnown ? absentPort(read, world, host, port) : undefined;
}

function* destinations(spec: VirtualService): Iterable<readonly [string, Destination]> {
  for (const [index, rule] of spec.http.entries()) {
    const field = `spec.http[${index}]`;
    for (const [at, { destination }] of rule.route.entries()) {
      if (destination !== undefined) yield [`${field}.route[${at}].destination`, destination];
    }
    if (rule.mirror !== undefined) yield [`${field}.mirror`, rule.mirror];
    for (const [at, { destination }] of rule.mirrors.entries()) {
      if (destination !== undefined) yield [`${field}.mirrors[${at}].destination`, destination];
    }
  }
}

/** Of a host of the mesh: others than those of Services may be of routes alone. */
function absentService(read: Reader, world: World, host: string): string | undefined {
  const isService = serviceAt(host, world.settings.domain) !== undefined && !isWildcard(host);
  return isService ? absentHost(read, world, host) : undefined;
}

function unserved(
  gateways: readonly SourceObject<Gateway>[],
  host: string,
  namespace: string,
): string | undefined {
  return gateways.some((one) => serves(one, host, namespace))
    ? undefined
    : 'is served nowhere: no server of its gateways has such a host';
}

/** Whether a gateway has a server for some of the host, of routes of that namespace. */
function serves({ spec, ref }: SourceObject<Gateway>, host: string, namespace: string): boolean {
  return spec.servers.some(({ hosts }) =>
    hosts.some((text) => {
      const [, allowed] = gatewayHost(text, ref.namespace);
      const isFor = allowed.namespace === '*' || allowed.namespace === namespace;
      return isFor && hostsOverlap(host, allowed.host);
    }),
  );
}

/** Whose rule counts for whom is not asked: that none has it is what a typing error looks like. */
function whyNoSubset(read: Reader, world: World, host: string, subset: string): string | undefined {
  const index = world.index(destinationRuleKind, ruleHostIndex);
  const at = serviceAt(host, world.settings.domain);
  const hosts = [
    host,
    ...wildcardsOver(host),
    '*',
    ...(at === undefined ? [] : [`${at.name}.${at.namespace}`]),
  ];
  const isThere = hosts.some((of) =>
    read
      .lookup(index, of)
      .some(({ value }) => value.spec.subsets.some(({ name }) => name === subset)),
  );
  if (isThere) return undefined;
  const refused = hosts.flatMap((of) => world.refused(read, destinationRuleKind, of));
  return `no DestinationRule of ${host} in this cluster has such a subset${butRefused(refused)}`;
}
