/** What of a Sidecar has no effect, because of what else there is, or is not. */
import type { Index } from '@watershed/derive/collection.ts';
import type { Reader } from '@watershed/derive/graph.ts';
import type { Sidecar } from '@watershed/proto/istio/networking/v1alpha3/sidecar.ts';
import { show } from '../../decode.ts';
import type { Problem, SourceObject, World } from '../../kind.ts';
import { canonicalHost, isAddress, isWildcard, serviceAt } from '../common/hosts.ts';
import { firstBefore, whyFirst } from '../common/precedence.ts';
import { maxTold } from '../common/told.ts';
import { namespaceKind } from '../core/namespace.ts';
import { serviceKind } from '../core/service.ts';
import { covering, entriesOf, serviceOf } from './known-hosts.ts';
import { serviceEntryKind } from './service-entry.ts';
import { routeHostIndex, virtualServiceKind } from './virtual-service.ts';

/** By namespace, of those for all of its workloads. */
export const defaultIndex = 'default';

export function defaultNamespaces({ spec, ref }: SourceObject<Sidecar>): readonly string[] {
  return Object.keys(spec.workloadSelector?.labels ?? {}).length === 0 ? [ref.namespace] : [];
}

/** One Sidecar is a namespace's default: the oldest, as the translator chooses. */
export function lostDefault(
  read: Reader,
  object: SourceObject<Sidecar>,
  defaults: Index<SourceObject<Sidecar>>,
): readonly Problem[] {
  const [namespace] = defaultNamespaces(object);
  if (namespace === undefined) return [];
  const first = firstBefore(object, read.lookup(defaults, namespace), () => true);
  if (first === undefined) return [];
  const { name } = first.ref;
  return [
    {
      severity: 'warning',
      field: 'spec.workloadSelector',
      value: '',
      reason: `selects every workload of namespace ${namespace}, as that of Sidecar ${namespace}/${name} does, which goes first (${whyFirst(first, object)}): this one has no effect`,
    },
  ];
}

/** Egress hosts that let nothing through: of a namespace that is not there, or of no service. */
export function absentEgress(
  read: Reader,
  world: World,
  object: SourceObject<Sidecar>,
): readonly Problem[] {
  const { spec } = object;
  const own = ownNamespace(world, object);
  const problems: Problem[] = [];
  for (const [at, { hosts }] of spec.egress.entries()) {
    for (const [index, text] of hosts.entries()) {
      const reason = whyAbsent(read, world, text, own);
      if (reason === undefined) continue;
      const field = `spec.egress[${at}].hosts[${index}]`;
      problems.push({ severity: 'warning', field, value: show(text), reason });
      if (problems.length === maxTold) return problems;
    }
  }
  return problems;
}

/** What `.` stands for. The root namespace's default is for clients of any: each one's own. */
function ownNamespace(world: World, object: SourceObject<Sidecar>): string {
  const [namespace] = defaultNamespaces(object);
  return namespace === world.settings.rootNamespace ? '*' : object.ref.namespace;
}

function whyAbsent(read: Reader, world: World, text: string, own: string): string | undefined {
  const slash = text.indexOf('/');
  const given = text.slice(0, slash);
  if (given === '~') return undefined;
  const namespace = given === '.' ? own : given;
  if (namespace !== '*' && namespace !== own && !isThere(read, world, namespace)) {
    return `namespace ${namespace} is not found`;
  }
  const host = canonicalHost(text.slice(slash + 1));
  if (isWildcard(host) || isAddress(host)) return undefined;
  const from = namespace === '*' ? undefined : namespace;
  if (isHost(read, world, host, from)) return undefined;
  const of = from === undefined ? '' : ` of namespace ${from}`;
  return `no Service, ServiceEntry or VirtualService${of} has host ${host}`;
}

/** Files need not have a Namespace for what is in it; the root namespace may be without any object. */
function isThere(read: Reader, world: World, namespace: string): boolean {
  if (namespace === world.settings.rootNamespace) return true;
  if (read.get(world.objects(namespaceKind), `/${namespace}`) !== undefined) return true;
  return (
    world.hasAny(read, serviceKind, namespace) ||
    world.hasAny(read, serviceEntryKind, namespace) ||
    world.hasAny(read, virtualServiceKind, namespace)
  );
}

/** @param from where it must be of one namespace */
function isHost(read: Reader, world: World, host: string, from: string | undefined): boolean {
  const at = serviceAt(host, world.settings.domain);
  const isOf = (namespace: string | undefined): boolean => from === undefined || from === namespace;
  if (isOf(at?.namespace) && serviceOf(read, world, host) !== undefined) return true;
  if (entriesOf(read, world, host).some(({ ref }) => isOf(ref.namespace))) return true;
  const index = world.index(virtualServiceKind, routeHostIndex);
  return covering(host).some((of) =>
    read.lookup(index, of).some(({ value }) => isOf(value.ref.namespace)),
  );
}
