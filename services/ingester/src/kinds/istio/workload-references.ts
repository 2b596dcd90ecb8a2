/** What of a WorkloadEntry nobody uses, because of what selects it, or does not. */
import type { Reader } from '@watershed/derive/graph.ts';
import type { WorkloadEntry } from '@watershed/proto/istio/networking/v1alpha3/workload_entry.ts';
import { show } from '../../decode.ts';
import type { ObjectRef, Problem, World } from '../../kind.ts';
import { butRefused } from '../common/absent.ts';
import { isAddress } from '../common/hosts.ts';
import { selects } from '../common/labels.ts';
import { maxTold } from '../common/told.ts';
import { serviceKind } from '../core/service.ts';
import { isDns } from './service-entry-check.ts';
import { selectingIndex, serviceEntryKind } from './service-entry.ts';

interface Labelled {
  readonly ref: ObjectRef;
  readonly entry: WorkloadEntry;
  readonly labels: Readonly<Record<string, string>>;
}

interface Selecting {
  /** `ServiceEntry shop/api` */
  readonly name: string;
  readonly takesNames: boolean;
  /** What the workload may call its ports. */
  readonly ports: readonly string[];
}

export function uselessParts(read: Reader, world: World, of: Labelled): readonly Problem[] {
  const { ref, entry, labels } = of;
  const problems: Problem[] = [];
  const tell = (field: string, value: unknown, reason: string): void => {
    problems.push({ severity: 'warning', field, value: show(value), reason });
  };
  const selecting = [...selectingIt(read, world, of)];
  if (selecting.length === 0) {
    const refused = [
      ...world.refused(read, serviceEntryKind, `${ref.namespace}/`),
      ...world.refused(read, serviceKind, `${ref.namespace}/`),
    ];
    const reason = `no ServiceEntry or Service of namespace ${ref.namespace} selects it`;
    const text = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
    tell('spec.labels', text.join(', '), `${reason}${butRefused(refused)}`);
    return problems;
  }
  for (const { name, takesNames } of isAddress(entry.address) ? [] : selecting) {
    if (!takesNames) tell('spec.address', entry.address, `is no IP address: ${name} leaves it out`);
  }
  const known = new Set(selecting.flatMap(({ ports }) => ports));
  for (const [port, number] of Object.entries(entry.ports)) {
    if (known.has(port)) continue;
    tell(`spec.ports[${JSON.stringify(port)}]`, number, 'is no port of what selects it');
  }
  return problems.slice(0, maxTold);
}

function* selectingIt(read: Reader, world: World, of: Labelled): Iterable<Selecting> {
  const { ref, labels } = of;
  const { namespace } = ref;
  for (const { value } of read.lookup(world.index(serviceEntryKind, selectingIndex), namespace)) {
    const { workloadSelector, resolution, ports } = value.spec;
    if (!selects(workloadSelector?.labels ?? {}, labels)) continue;
    yield {
      name: `ServiceEntry ${namespace}/${value.ref.name}`,
      takesNames: isDns(resolution),
      ports: ports.map((port) => port.name),
    };
  }
  for (const { value } of read.lookup(world.index(serviceKind, 'namespace'), namespace)) {
    const { selector, externalName, ports } = value.spec;
    if (Object.keys(selector).length === 0 || externalName !== '') continue;
    if (!selects(selector, labels)) continue;
    yield {
      name: `Service ${namespace}/${value.ref.name}`,
      takesNames: false,
      ports: ports.flatMap(({ name, targetPort }) =>
        typeof targetPort === 'string' ? [targetPort] : [name],
      ),
    };
  }
}
