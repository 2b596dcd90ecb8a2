import type { Reader } from '@watershed/derive/graph.ts';
import { Policy, Subset } from '@watershed/model/gen/model.ts';
import { configKey } from '@watershed/model/keys.ts';
import { DestinationRule } from '@watershed/proto/istio/networking/v1alpha3/destination_rule.ts';
import { show, type At } from '../../decode.ts';
import type { Emission, Kind, Problem, SourceObject, World } from '../../kind.ts';
import { textsOf } from '../common/absent.ts';
import {
  checkDnsLabel,
  checkExportTo,
  checkLabels,
  checkWildcardHost,
  checkWorkloadLabels,
} from '../common/checks.ts';
import { canonicalHost, fullHost, isAddress, isWildcard } from '../common/hosts.ts';
import { maxTold } from '../common/told.ts';
import { absentCredentials, credentialsOfRule } from './absent-credentials.ts';
import type { CheckContext } from './decode.ts';
import { apiVersions, istioDecoder } from './decode.ts';
import { absentHost, absentPort } from './known-hosts.ts';
import { exportsOfRule, lostParts, siblingIndex, siblingKeys } from './rule-conflicts.ts';
import { checkTrafficPolicy } from './traffic-policy-check.ts';
import { trafficPolicy } from './traffic-policy.ts';

const blankPolicy = Policy.create();
const blankSubset = Subset.create();

/** By host as it was written; a short name is `name.namespace`, for the domain is not known. */
export const ruleHostIndex = 'host';

function ruleHost(host: string, namespace: string): string {
  const isShort = !host.includes('.') && host !== '*' && !isAddress(host);
  return canonicalHost(isShort ? `${host}.${namespace}` : host);
}

export const destinationRuleKind: Kind<DestinationRule> = {
  apiVersions,
  kind: 'DestinationRule',
  namespaced: true,
  indexes: {
    [ruleHostIndex]: ({ spec: { host }, ref }) => [ruleHost(host, ref.namespace)],
    [siblingIndex]: siblingKeys,
  },
  alsoNamed: (raw, { namespace }) => textsOf(raw, 'host').map((host) => ruleHost(host, namespace)),
  decode: istioDecoder({
    typeName: 'istio.networking.v1alpha3.DestinationRule',
    codec: DestinationRule,
    check,
  }),
  emit,
};

function check(spec: DestinationRule, at: At, { namespace }: CheckContext): void {
  if (!isAddress(spec.host)) checkWildcardHost(at.field('host'), spec.host);
  checkTrafficPolicy(spec.trafficPolicy, at.field('trafficPolicy'));
  const names = new Set<string>();
  for (const [index, subset] of spec.subsets.entries()) {
    const item = at.field('subsets').item(index);
    checkDnsLabel(item.field('name'), subset.name);
    if (names.has(subset.name)) item.field('name').error(subset.name, 'is the name of two subsets');
    names.add(subset.name);
    checkLabels(item.field('labels'), subset.labels);
    checkTrafficPolicy(subset.trafficPolicy, item.field('trafficPolicy'));
  }
  checkExportTo(at.field('exportTo'), spec.exportTo, { namespace, nobody: false });
  checkSelector(spec, at, namespace);
}

/** A rule for some workloads is for those of its own namespace. */
function checkSelector(spec: DestinationRule, at: At, namespace: string): void {
  if (spec.workloadSelector === undefined) return;
  const labels = at.field('workloadSelector').field('matchLabels');
  checkWorkloadLabels(labels, spec.workloadSelector.matchLabels, 'every workload of the namespace');
  if (spec.exportTo.some((entry) => entry !== '.' && entry !== namespace)) {
    at.field('exportTo').error(
      spec.exportTo,
      'must be the own namespace alone where a workloadSelector is set',
    );
  }
}

function emit(read: Reader, world: World, object: SourceObject<DestinationRule>): Emission {
  const { spec, ref } = object;
  const { namespace, name } = ref;
  const { cluster, domain } = world.settings;
  const selector = spec.workloadSelector?.matchLabels;
  const policy: Policy = {
    ...blankPolicy,
    host: fullHost(spec.host, namespace, domain),
    exportTo: exportsOfRule(read, world, object),
    workloadSelector: selector ?? {},
    traffic: trafficPolicy(spec.trafficPolicy),
    subsets: spec.subsets.map((subset) => ({
      ...blankSubset,
      name: subset.name,
      labels: subset.labels,
      traffic: trafficPolicy(subset.trafficPolicy),
    })),
    createdMs: object.createdMs,
  };
  const key = configKey({ cluster, kind: 'policy', namespace, name });
  const event = { object: { $case: 'policy' as const, value: policy } };
  // A rule for some workloads is for those of its namespace.
  const within = selector === undefined ? undefined : namespace;
  const problems = [
    ...hostProblems(read, world, object),
    ...lostParts(read, world, object, world.index(destinationRuleKind, siblingIndex)),
    ...absentCredentials(read, world, credentialsOfRule(spec), within),
  ];
  return { events: [{ topic: 'config', key, event }], problems };
}

/** A wildcard is for what there will be; of one host, it is a typing error or comes too early. */
function hostProblems(
  read: Reader,
  world: World,
  { spec, ref }: SourceObject<DestinationRule>,
): readonly Problem[] {
  const full = fullHost(spec.host, ref.namespace, world.settings.domain);
  if (isWildcard(full) || isAddress(full)) return [];
  const absent = absentHost(read, world, full);
  if (absent !== undefined) {
    return [{ severity: 'warning', field: 'spec.host', value: show(spec.host), reason: absent }];
  }
  const policies = [
    [spec.trafficPolicy, 'spec.trafficPolicy'] as const,
    ...spec.subsets.map(
      (subset, index) => [subset.trafficPolicy, `spec.subsets[${index}].trafficPolicy`] as const,
    ),
  ];
  const ports = policies.flatMap(([policy, field]) =>
    (policy?.portLevelSettings ?? []).flatMap(({ port }, index): readonly Problem[] => {
      const reason = port && absentPort(read, world, full, port.number);
      if (reason === undefined) return [];
      const at = `${field}.portLevelSettings[${index}].port.number`;
      return [{ severity: 'warning', field: at, value: show(port?.number), reason }];
    }),
  );
  return ports.slice(0, maxTold);
}
