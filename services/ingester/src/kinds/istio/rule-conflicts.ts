/**
 * What a DestinationRule says that another one of its namespace and host has said. Rules of one
 * host that are exported alike are one (`assembly/policies.ts` in the translator): the first one's
 * top-level traffic policy holds, and of subsets of one name the first. Nothing is told of what
 * counts for some clients.
 */
import type { Index } from '@watershed/derive/collection.ts';
import type { Reader } from '@watershed/derive/graph.ts';
import type { DestinationRule } from '@watershed/proto/istio/networking/v1alpha3/destination_rule.ts';
import { show } from '../../decode.ts';
import type { Problem, SourceObject, SourceSettings, World } from '../../kind.ts';
import { exportedTo } from '../common/export-to.ts';
import { fullHost } from '../common/hosts.ts';
import { firstBefore, whyFirst } from '../common/precedence.ts';
import { maxTold } from '../common/told.ts';

type Rule = SourceObject<DestinationRule>;

interface Entry {
  readonly value: Rule;
}

/** By namespace and full host: rules of two namespaces are never one. */
export const siblingIndex = 'sibling';

export function siblingKeys({ spec, ref }: Rule, { domain }: SourceSettings): readonly string[] {
  return [`${ref.namespace} ${fullHost(spec.host, ref.namespace, domain)}`];
}

/** A rule for some workloads is for those of its namespace. */
export function exportsOfRule(read: Reader, world: World, { spec, ref }: Rule): string[] {
  const { namespace } = ref;
  if (spec.workloadSelector !== undefined) return [namespace];
  return exportedTo(read, world, { given: spec.exportTo, of: 'policy', namespace });
}

export function lostParts(
  read: Reader,
  world: World,
  object: Rule,
  siblings: Index<Rule>,
): readonly Problem[] {
  const { trafficPolicy, subsets, host } = object.spec;
  const full = fullHost(host, object.ref.namespace, world.settings.domain);
  const rivals = rivalsOf(read, world, object, siblings);
  if (rivals.length === 0) return [];
  const problems: Problem[] = [];
  const tell = (field: string, value: string, what: string, first: Rule | undefined): void => {
    if (first === undefined || problems.length === maxTold) return;
    const { namespace, name } = first.ref;
    const reason =
      `has no effect: DestinationRule ${namespace}/${name} has ${what} for host ${full} too, ` +
      `and goes first (${whyFirst(first, object)})`;
    problems.push({ severity: 'warning', field, value: show(value), reason });
  };
  if (trafficPolicy !== undefined) {
    const first = firstBefore(object, rivals, ({ spec }) => spec.trafficPolicy !== undefined);
    tell('spec.trafficPolicy', host, 'a traffic policy', first);
  }
  const holders = bySubset(rivals);
  for (const [index, { name }] of subsets.entries()) {
    const first = firstBefore(object, holders.get(name) ?? [], () => true);
    tell(`spec.subsets[${index}]`, name, 'this subset', first);
  }
  return problems;
}

/** Those that are one with the object for every client. */
function rivalsOf(
  read: Reader,
  world: World,
  object: Rule,
  siblings: Index<Rule>,
): readonly Entry[] {
  if (isSelective(object)) return [];
  const all = siblingKeys(object, world.settings).flatMap((key) => read.lookup(siblings, key));
  const others = all.filter(({ value }) => value.ref.name !== object.ref.name);
  const forAll = others.filter(({ value }) => !isSelective(value));
  if (forAll.length === 0) return [];
  const own = new Set(exportsOfRule(read, world, object));
  const within = forAll
    .map(({ value }) => ({ value, exports: exportsOfRule(read, world, value) }))
    .filter(({ exports }) => exports.every((entry) => own.has(entry)));
  // It is merged into an earlier rule for fewer namespaces, too, and may be the first to say it
  // there.
  const narrower = within.filter(({ exports }) => exports.length < own.size);
  return firstBefore(object, narrower, () => true) === undefined ? within : [];
}

function isSelective({ spec }: Rule): boolean {
  return Object.keys(spec.workloadSelector?.matchLabels ?? {}).length > 0;
}

function bySubset(rules: readonly Entry[]): ReadonlyMap<string, readonly Entry[]> {
  const holders = new Map<string, Entry[]>();
  for (const rule of rules) {
    for (const { name } of rule.value.spec.subsets) {
      const known = holders.get(name);
      if (known === undefined) holders.set(name, [rule]);
      else known.push(rule);
    }
  }
  return holders;
}
