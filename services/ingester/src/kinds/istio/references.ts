/**
 * What a VirtualService names and is not there: it is served all the same, for it may come, and
 * answers with 503 until then. Istio leaves this to `istioctl analyze` (IST0101).
 */
import type { Reader } from '@watershed/derive/graph.ts';
import type {
  Destination,
  VirtualService,
} from '@watershed/proto/istio/networking/v1alpha3/virtual_service.ts';
import { show } from '../../decode.ts';
import type { Problem, SourceObject, World } from '../../kind.ts';
import { fullHost, isWildcard } from '../common/hosts.ts';
import { serviceKind } from '../core/service.ts';
import { gatewayName, meshGateway } from './gateway-names.ts';
import { gatewayKind } from './gateway.ts';
import { hostIndex, serviceEntryKind } from './service-entry.ts';

/** Of one object; who names more that is absent has enough to read. */
const maxTold = 20;

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
  for (const [index, given] of spec.gateways.entries()) {
    const name = gatewayName(given, ref.namespace);
    if (name === meshGateway) continue;
    if (read.get(world.objects(gatewayKind), name) !== undefined) continue;
    tell(`spec.gateways[${index}]`, given, `Gateway ${name} is not found`);
  }
  for (const [field, { host }] of destinations(spec)) {
    const full = fullHost(host, ref.namespace, world.settings.domain);
    if (isKnown(read, world, full)) continue;
    tell(`${field}.host`, host, `no Service or ServiceEntry has host ${full}`);
  }
  return problems;
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

function isKnown(read: Reader, world: World, host: string): boolean {
  if (isWildcard(host)) return true;
  const [name = '', namespace = '', ...rest] = host.split('.');
  if (rest.join('.') === `svc.${world.settings.domain}`) {
    if (read.get(world.objects(serviceKind), `${namespace}/${name}`) !== undefined) return true;
  }
  return covering(host).some(
    (entryHost) => read.lookup(world.index(serviceEntryKind, hostIndex), entryHost).length > 0,
  );
}

/** The host, and the wildcards that match it. */
function covering(host: string): readonly string[] {
  const labels = host.split('.');
  return [host, ...labels.slice(1).map((_, at) => `*.${labels.slice(at + 1).join('.')}`)];
}
