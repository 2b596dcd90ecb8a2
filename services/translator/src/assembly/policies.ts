/**
 * Which DestinationRules hold for a host, as a client of a namespace sees them (Istio's push
 * context):
 *
 * 1. rules of the client's namespace (for clients in the root namespace: only its private rules),
 * 2. else rules of the service's namespace that are exported to the client,
 * 3. else rules of the root namespace that are exported to the client.
 *
 * At each step the most specific host wins. Rules of one host that are exported alike are one rule:
 * subsets are appended, the oldest top-level traffic policy wins. A rule with a workload selector
 * holds only in its own namespace, for the workloads that it selects, and goes before one without.
 */
import type { Query, Reader } from '@watershed/derive/graph.ts';
import type { Policy, Subset, TrafficPolicy } from '@watershed/model/gen/model.ts';
import type { Inputs, Keyed } from '../inputs.ts';
import { sameData } from './equal.ts';
import { bySpecificity, isWildcard, mostSpecific } from './hosts.ts';
import type { MeshQueries } from './mesh.ts';
import { isExportedTo, type ServiceQueries } from './services.ts';
import { decodeList, encodeList } from './variant.ts';

type Labels = Readonly<Record<string, string>>;

/** One or several policies of a host that are taken as one. What they say is not in it. */
export interface Rule {
  readonly host: string;
  /** Config keys, in the order in which they are merged. */
  readonly keys: readonly string[];
  readonly namespace: string;
  readonly exportTo: readonly string[];
  readonly selector: Labels;
}

/** The rules of a namespace by host: what its own clients see, and what others may see. */
export interface RuleTable {
  readonly local: HostTable;
  readonly exported: HostTable;
  /** Seen by nobody but the namespace's own clients. */
  readonly privateOnly: HostTable;
}

export interface HostTable {
  readonly exact: ReadonlyMap<string, readonly Rule[]>;
  /** Most specific first. */
  readonly wildcards: readonly (readonly [string, readonly Rule[]])[];
}

/** Policies taken as one. */
export interface MergedPolicy {
  readonly keys: readonly string[];
  readonly traffic: TrafficPolicy | undefined;
  readonly subsets: readonly Subset[];
  /** It selects workloads: credentials may be read by sidecars only then. */
  readonly selective: boolean;
}

/** The client's side of the look-up; `class` is '' where only what is exported to all counts. */
export interface PolicyClient {
  /** From `policyClass`. */
  readonly class: string;
  readonly mesh: string;
}

export interface PolicyQueries {
  /** By namespace. */
  readonly rules: Query<string, RuleTable>;
  /**
   * What tells two clients' policies apart: '' for most; else the namespace, and the keys of the
   * policies with a workload selector that select the client.
   */
  readonly clientClass: Query<PolicyClientKey, string>;
  /** Keys of the policies of a host for a client; a list as in variants. '' for none. */
  readonly effective: Query<EffectiveKey, string>;
  /** By a list of keys, from `effective`. `undefined` for ''. */
  readonly policy: Query<string, MergedPolicy | undefined>;
}

export interface PolicyClientKey {
  readonly namespace: string;
  readonly labels: Labels;
  readonly mesh: string;
}

export interface EffectiveKey extends PolicyClient {
  readonly host: string;
  readonly serviceNamespace: string;
}

export function selects(selector: Labels, labels: Labels): boolean {
  return Object.entries(selector).every(([key, value]) => labels[key] === value);
}

export function createPolicyQueries(
  inputs: Inputs,
  mesh: MeshQueries,
  services: ServiceQueries,
): PolicyQueries {
  const { graph } = inputs;

  const rules = graph.query<string, RuleTable>({
    name: 'policyRules',
    id: (namespace) => namespace,
    compute: (read, namespace) => {
      const entries = read.lookup(inputs.indexes.policiesByNamespace, namespace);
      return tableOf(
        namespace,
        entries.map((entry) => entry.value),
      );
    },
    equal: sameData,
  });

  const clientClass = graph.query<PolicyClientKey, string>({
    name: 'policyClass',
    id: (key) => `${key.namespace}\n${key.mesh}\n${JSON.stringify(key.labels)}`,
    compute: (read, key) => classOf(inputs, read, { mesh, services, rules }, key),
  });

  const effective = graph.query<EffectiveKey, string>({
    name: 'effectivePolicy',
    id: (key) => `${key.host}\n${key.serviceNamespace}\n${key.class}\n${key.mesh}`,
    compute: (read, key) => {
      const root = read.query(mesh.rootNamespace, key.mesh);
      return encodeList(effectiveKeys(key, root, (namespace) => read.query(rules, namespace)));
    },
  });

  const policy = graph.query<string, MergedPolicy | undefined>({
    name: 'policy',
    id: (keys) => keys,
    compute: (read, keys) =>
      mergePolicies(decodeList(keys).flatMap((key) => read.get(inputs.policies, key) ?? [])),
    equal: sameData,
  });

  return { rules, clientClass, effective, policy };
}

// ---------------------------------------------------------------- rules of a namespace

function tableOf(namespace: string, policies: readonly Keyed<Policy>[]): RuleTable {
  const sorted = [...policies].sort(byAge);
  const scoped = sorted.map((policy) => ({ policy, exportTo: exportsOf(policy) }));
  const isPrivate = (exportTo: readonly string[]): boolean =>
    exportTo.every((entry) => entry === namespace || entry === '~');
  return {
    local: hostTable(scoped.filter(({ exportTo }) => isExportedTo(exportTo, namespace))),
    exported: hostTable(scoped.filter(({ exportTo }) => !isPrivate(exportTo))),
    privateOnly: hostTable(
      scoped.filter(({ exportTo }) => isPrivate(exportTo) && isExportedTo(exportTo, namespace)),
    ),
  };
}

/** Those that select workloads first, then by age. */
function byAge(a: Keyed<Policy>, b: Keyed<Policy>): number {
  const selective = Number(isSelective(b.value)) - Number(isSelective(a.value));
  if (selective !== 0) return selective;
  if (a.value.createdMs !== b.value.createdMs) return a.value.createdMs - b.value.createdMs;
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}

function isSelective(policy: Policy): boolean {
  return Object.keys(policy.workloadSelector).length > 0;
}

/** A policy that selects workloads is its namespace's own, whatever it says. */
function exportsOf(policy: Keyed<Policy>): readonly string[] {
  if (isSelective(policy.value)) return [policy.namespace];
  return [...policy.value.exportTo].sort();
}

interface ScopedPolicy {
  readonly policy: Keyed<Policy>;
  readonly exportTo: readonly string[];
}

function hostTable(scoped: readonly ScopedPolicy[]): HostTable {
  const exact = new Map<string, Rule[]>();
  const wildcards = new Map<string, Rule[]>();
  for (const one of scoped) {
    const { host } = one.policy.value;
    const table = isWildcard(host) ? wildcards : exact;
    table.set(host, addRule(table.get(host) ?? [], one));
  }
  return {
    exact: new Map([...exact].sort(([a], [b]) => (a < b ? -1 : 1))),
    wildcards: [...wildcards].sort(([a], [b]) => bySpecificity(a, b)),
  };
}

/**
 * Merges into each rule of the same selector whose exports are the same or fewer; stands alone as
 * well unless some rule is exported just alike.
 */
function addRule(rules: readonly Rule[], { policy, exportTo }: ScopedPolicy): Rule[] {
  const { key, namespace, value } = policy;
  const selector = value.workloadSelector;
  let merged = false;
  const next = rules.map((rule) => {
    if (!sameData(rule.selector, selector)) return rule;
    if (!rule.exportTo.every((entry) => exportTo.includes(entry))) return rule;
    if (rule.exportTo.length === exportTo.length) merged = true;
    return { ...rule, keys: [...rule.keys, key] };
  });
  if (!merged) next.push({ host: value.host, keys: [key], namespace, exportTo, selector });
  return next;
}

// ---------------------------------------------------------------- the look-up

function lookUp(table: HostTable, host: string): readonly Rule[] {
  return mostSpecific(host, table.exact, table.wildcards) ?? [];
}

function effectiveKeys(
  key: EffectiveKey,
  root: string,
  rulesOf: (namespace: string) => RuleTable,
): readonly string[] {
  const [namespace, ...selected] = decodeList(key.class);
  if (namespace !== undefined) {
    const own = rulesOf(namespace);
    const local = lookUp(namespace === root ? own.privateOnly : own.local, key.host);
    if (local.length > 0) return pick(local, selected);
  }
  for (const owner of new Set([key.serviceNamespace, root])) {
    const exported = lookUp(rulesOf(owner).exported, key.host).filter((rule) =>
      isExportedTo(rule.exportTo, namespace ?? '*'),
    );
    if (exported.length > 0) return pick(exported, selected);
  }
  return [];
}

/** The first that selects the client's workload, else the last of those for all. */
function pick(rules: readonly Rule[], selected: readonly string[]): readonly string[] {
  const own = rules.find((rule) => selected.includes(rule.keys[0] ?? ''));
  const forAll = rules.findLast((rule) => Object.keys(rule.selector).length === 0);
  return (own ?? forAll)?.keys ?? [];
}

interface ClassContext {
  readonly mesh: MeshQueries;
  readonly services: ServiceQueries;
  readonly rules: Query<string, RuleTable>;
}

function classOf(
  inputs: Inputs,
  read: Reader,
  { mesh, services, rules }: ClassContext,
  { namespace, labels, mesh: ref }: PolicyClientKey,
): string {
  const table = read.query(rules, namespace);
  const own = [...table.local.exact.values(), ...table.local.wildcards.map(([, list]) => list)];
  const selected = own
    .flat()
    .filter((rule) => Object.keys(rule.selector).length > 0 && selects(rule.selector, labels))
    .map((rule) => rule.keys[0] ?? '');
  if (selected.length > 0) return encodeList([namespace, ...selected.sort()]);

  const forAll = own.flat().filter((rule) => Object.keys(rule.selector).length === 0);
  const isRoot = namespace === read.query(mesh.rootNamespace, ref);
  const special =
    (isRoot
      ? table.privateOnly.exact.size + table.privateOnly.wildcards.length > 0
      : forAll.some((rule) => !isPlain(read, services, rule))) ||
    read
      .lookup(inputs.indexes.policiesByExport, namespace)
      .some((entry) => entry.value.namespace !== namespace);
  return special ? namespace : '';
}

/** Whether clients of its namespace find it just as all others do. */
function isPlain(read: Reader, services: ServiceQueries, rule: Rule): boolean {
  return (
    rule.exportTo.includes('*') &&
    !isWildcard(rule.host) &&
    read
      .query(services.candidates, rule.host)
      .every((candidate) => candidate.namespace === rule.namespace)
  );
}

// ---------------------------------------------------------------- what they say

function mergePolicies(policies: readonly Keyed<Policy>[]): MergedPolicy | undefined {
  if (policies.length === 0) return undefined;
  const subsets = new Map<string, Subset>();
  for (const { value } of policies) {
    for (const subset of value.subsets) {
      if (!subsets.has(subset.name)) subsets.set(subset.name, subset);
    }
  }
  return {
    keys: policies.map((policy) => policy.key),
    traffic: policies.find((policy) => policy.value.traffic !== undefined)?.value.traffic,
    subsets: [...subsets.values()],
    selective: policies.some((policy) => isSelective(policy.value)),
  };
}
