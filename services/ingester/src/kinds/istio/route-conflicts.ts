/**
 * Hosts of which another VirtualService leaves nothing. In the mesh one of them has a host whole:
 * what is exported to fewer first, then the older one, then by namespace and name, as the
 * translator chooses. Istio leaves this to `istioctl analyze` (IST0109).
 */
import type { Index } from '@watershed/derive/collection.ts';
import type { Reader } from '@watershed/derive/graph.ts';
import { configKey } from '@watershed/model/keys.ts';
import type {
  HTTPMatchRequest,
  HTTPRoute,
  VirtualService,
} from '@watershed/proto/istio/networking/v1alpha3/virtual_service.ts';
import { show } from '../../decode.ts';
import type { Problem, SourceObject, SourceSettings, World } from '../../kind.ts';
import { exportedTo } from '../common/export-to.ts';
import { fullHost, sortedSet } from '../common/hosts.ts';
import { meshGateway } from './gateway-names.ts';

type Service = SourceObject<VirtualService>;

/**
 * Of those that leave nothing of a host to who comes after them. Only these are looked up, so a
 * host of many that leave something costs nothing.
 */
export const claimIndex = 'claim';

/** Of one object; who has more has enough to read. */
const maxTold = 20;

export function claimsOf({ spec, ref }: Service, { domain }: SourceSettings): readonly string[] {
  if (!isForMesh(spec) || !spec.http.some(holdsAnywhere)) return [];
  return sortedSet(spec.hosts.map((host) => fullHost(host, ref.namespace, domain)));
}

export function lostHosts(
  read: Reader,
  world: World,
  object: Service,
  claims: Index<Service>,
): readonly Problem[] {
  const { spec, ref } = object;
  const problems: Problem[] = [];
  if (!isForMesh(spec) || spec.http.length === 0) return problems;
  for (const [index, given] of spec.hosts.entries()) {
    const host = fullHost(given, ref.namespace, world.settings.domain);
    const winner = winnerOf(read, world, object, read.lookup(claims, host));
    if (winner === undefined) continue;
    const { namespace, name } = winner.ref;
    const why = winner.createdMs < object.createdMs ? 'it is older' : 'by namespace and name';
    problems.push({
      severity: 'warning',
      field: `spec.hosts[${index}]`,
      value: show(given),
      reason: `has no effect on proxies that see VirtualService ${namespace}/${name}: it has host ${host} in the mesh too, and goes first (${why})`,
    });
    if (problems.length === maxTold) break;
  }
  return problems;
}

/** The first of those that go before the object wherever it is seen. */
function winnerOf(
  read: Reader,
  world: World,
  object: Service,
  claims: readonly { readonly value: Service }[],
): Service | undefined {
  const before = claims
    .map(({ value }) => value)
    .filter((other) => goesFirst(world, other, object));
  if (before.length === 0) return undefined;
  const own = exportOf(read, world, object);
  return before
    .filter((other) => {
      const seen = new Set(exportOf(read, world, other));
      return own.every((entry) => seen.has(entry));
    })
    .reduce<Service | undefined>(
      (first, other) => (first === undefined || goesFirst(world, other, first) ? other : first),
      undefined,
    );
}

function exportOf(read: Reader, world: World, { spec, ref }: Service): readonly string[] {
  return exportedTo(read, world, { given: spec.exportTo, of: 'route', namespace: ref.namespace });
}

/** Of two that are exported alike. */
function goesFirst({ settings: { cluster } }: World, a: Service, b: Service): boolean {
  if (a.createdMs !== b.createdMs) return a.createdMs < b.createdMs;
  const keyOf = ({ ref }: Service): string => configKey({ ...ref, cluster, kind: 'route' });
  return keyOf(a) < keyOf(b);
}

function isForMesh({ gateways }: VirtualService): boolean {
  return gateways.length === 0 || gateways.includes(meshGateway);
}

/** Whether it is a rule for every client and port, whatever it asks of a request. */
function holdsAnywhere({ match, delegate }: HTTPRoute): boolean {
  // What a delegate leaves of it is not known here.
  if (delegate !== undefined) return false;
  return match.length === 0 || match.some(isUnguarded);
}

function isUnguarded({ gateways, port, sourceNamespace, sourceLabels }: HTTPMatchRequest): boolean {
  if (port !== 0) return false;
  if (gateways.length > 0) return gateways.includes(meshGateway);
  return sourceNamespace === '' && Object.keys(sourceLabels).length === 0;
}
