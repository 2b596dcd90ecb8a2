/**
 * Hosts of a ServiceEntry that something else of its namespace has. Within a namespace a host is a
 * Service's, else that of the first ServiceEntry, into which those alike are merged
 * (`assembly/services.ts` in the translator). Of what other namespaces have nothing is told: each
 * client takes that of its own.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Index } from '@watershed/derive/collection.ts';
import type { Reader } from '@watershed/derive/graph.ts';
import { entryName } from '@watershed/model/objects.ts';
import type { ServiceEntry } from '@watershed/proto/istio/networking/v1alpha3/service_entry.ts';
import { show } from '../../decode.ts';
import type { Problem, SourceObject, World } from '../../kind.ts';
import { exportedTo } from '../common/export-to.ts';
import { canonicalHost, serviceAt } from '../common/hosts.ts';
import { firstBefore, whyFirst } from '../common/precedence.ts';
import { maxTold } from '../common/told.ts';
import { serviceKind } from '../core/service.ts';

type Entry = SourceObject<ServiceEntry>;

export function lostEntryHosts(
  read: Reader,
  world: World,
  object: Entry,
  entries: Index<Entry>,
): readonly Problem[] {
  const problems: Problem[] = [];
  for (const [index, given] of object.spec.hosts.entries()) {
    const reason = whyLost(read, world, { object, host: canonicalHost(given) }, entries);
    if (reason === undefined) continue;
    const field = `spec.hosts[${index}]`;
    problems.push({ severity: 'warning', field, value: show(given), reason });
    if (problems.length === maxTold) break;
  }
  return problems;
}

function whyLost(
  read: Reader,
  world: World,
  { object, host }: { readonly object: Entry; readonly host: string },
  entries: Index<Entry>,
): string | undefined {
  const { namespace } = object.ref;
  const exportsOf = (given: readonly string[]): readonly string[] =>
    exportedTo(read, world, { given, of: 'service', namespace });
  const own = exportsOf(object.spec.exportTo);
  const isSeen = (given: readonly string[]): boolean => {
    const others = exportsOf(given);
    return others.includes('*') || own.every((entry) => others.includes(entry));
  };
  const at = serviceAt(host, world.settings.domain);
  const isOwn = at !== undefined && at.namespace === namespace;
  const service = isOwn && read.get(world.objects(serviceKind), `${namespace}/${at.name}`);
  if (service && isSeen(service.spec.exportTo)) {
    return `its ports and settings do not count: it is that of Service ${namespace}/${at.name}`;
  }
  const rivals = read
    .lookup(entries, host)
    .filter(({ value }) => value.ref.namespace === namespace)
    .map(({ value }) => ({ value: recordOf(value, host) }));
  const first = firstBefore(recordOf(object, host), rivals, ({ entry }) =>
    isSeen(entry.spec.exportTo),
  );
  if (first === undefined) return undefined;
  const { spec, ref } = first.entry;
  const isMerged =
    spec.resolution === object.spec.resolution &&
    isDeepStrictEqual(exportsOf(spec.exportTo), own) &&
    isDeepStrictEqual(labelsOf(spec), labelsOf(object.spec));
  if (isMerged) return undefined;
  return (
    `its ports and settings do not count: ServiceEntry ${namespace}/${ref.name} has it with another resolution, ` +
    `exportTo or workloadSelector, and goes first (${whyFirst(first, object)})`
  );
}

/** Of one host, as the log has it and the translator orders it. */
function recordOf(entry: Entry, host: string) {
  const { createdMs, ref } = entry;
  return { createdMs, ref: { ...ref, name: entryName(ref.name, host) }, entry };
}

function labelsOf({ workloadSelector }: ServiceEntry): Readonly<Record<string, string>> {
  return workloadSelector?.labels ?? {};
}
