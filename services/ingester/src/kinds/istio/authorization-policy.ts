/**
 * AuthorizationPolicies, as far as connections tell who calls (what ztunnel enforces). As istiod
 * does for ztunnel: of an ALLOW, a rule that asks for attributes of HTTP allows nothing; of a DENY,
 * it denies without them. Both are stricter than what was asked for, never laxer.
 */
import type { Reader } from '@watershed/derive/graph.ts';
import {
  Authorization,
  AuthorizationAction,
  AuthorizationMatch,
  type AuthorizationClause,
  type AuthorizationRule,
} from '@watershed/model/gen/model.ts';
import { configKey } from '@watershed/model/keys.ts';
import {
  AuthorizationPolicy,
  AuthorizationPolicy_Action as Action,
  type Condition,
  type Operation,
  type Rule,
  type Source,
} from '@watershed/proto/istio/security/v1beta1/authorization_policy.ts';
import type { Emission, Kind, Problem, SourceObject, World } from '../../kind.ts';
import { sortedSet } from '../common/hosts.ts';
import { checkAuthorizationPolicy, httpAttributesOf } from './authorization-policy-check.ts';
import { istioDecoder, securityVersions } from './decode.ts';

const blankMatch = AuthorizationMatch.create();
const blank = Authorization.create();

const dryRunAnnotation = 'istio.io/dry-run';

export const authorizationPolicyKind: Kind<AuthorizationPolicy> = {
  apiVersions: securityVersions,
  kind: 'AuthorizationPolicy',
  namespaced: true,
  decode: istioDecoder({
    typeName: 'istio.security.v1beta1.AuthorizationPolicy',
    codec: AuthorizationPolicy,
    check: checkAuthorizationPolicy,
  }),
  emit,
};

function emit(_read: Reader, world: World, object: SourceObject<AuthorizationPolicy>): Emission {
  const { spec, ref } = object;
  const { namespace, name } = ref;
  const unserved = unservedBecause(object);
  if (unserved !== undefined) return { events: [], problems: [unserved] };
  const isDeny = spec.action === Action.DENY;
  const rules = spec.rules.filter((rule) => isDeny || httpAttributesOf(rule).length === 0);
  const value: Authorization = {
    ...blank,
    selector: spec.selector?.matchLabels ?? {},
    action: isDeny
      ? AuthorizationAction.AUTHORIZATION_ACTION_DENY
      : AuthorizationAction.AUTHORIZATION_ACTION_ALLOW,
    rules: rules.map((rule) => ruleOf(rule, namespace)),
  };
  const { cluster } = world.settings;
  const key = configKey({ cluster, kind: 'authorization', namespace, name });
  const event = { object: { $case: 'authorization', value } } as const;
  return { events: [{ topic: 'config', key, event }], problems: [onlyZtunnel] };
}

function warning(field: string, value: string, reason: string): Problem {
  return { severity: 'warning', field, value, reason };
}

const onlyZtunnel = warning(
  'spec',
  '',
  'is enforced by ztunnel alone, not by sidecars or gateways',
);

/** Why nobody enforces it. */
function unservedBecause(object: SourceObject<AuthorizationPolicy>): Problem | undefined {
  const { spec, annotations } = object;
  if (spec.action !== Action.ALLOW && spec.action !== Action.DENY) {
    const action = spec.action === Action.AUDIT ? 'AUDIT' : 'CUSTOM';
    return warning('spec.action', action, 'is not enforced: only ALLOW and DENY are');
  }
  if (spec.targetRef !== undefined || spec.targetRefs.length > 0) {
    return warning('spec.targetRefs', '', 'is not enforced: there are no waypoints');
  }
  const dryRun = annotations[dryRunAnnotation] ?? '';
  if (/^(?:1|t|T|true|TRUE|True)$/u.test(dryRun)) {
    const field = `metadata.annotations[${JSON.stringify(dryRunAnnotation)}]`;
    return warning(field, dryRun, 'is not tried: a dry run is not supported');
  }
  return undefined;
}

function ruleOf(rule: Rule, namespace: string): AuthorizationRule {
  const clause = (matches: AuthorizationMatch[]): AuthorizationClause[] =>
    matches.length === 0 ? [] : [{ matches }];
  return {
    clauses: [
      ...clause(rule.to.map(({ operation }) => operationOf(operation))),
      ...clause(rule.from.map(({ source }) => sourceOf(source, namespace))),
      ...rule.when.map((condition) => ({ matches: [conditionOf(condition)] })),
    ],
  };
}

function operationOf(operation: Operation | undefined): AuthorizationMatch {
  if (operation === undefined) return blankMatch;
  const { ports, notPorts } = operation;
  return {
    ...blankMatch,
    destinationPorts: portsOf(ports),
    notDestinationPorts: portsOf(notPorts),
  };
}

/** Any value of a list will do, so its order says nothing. */
function portsOf(values: readonly string[]): number[] {
  return [...new Set(values.map(Number))].sort((a, b) => a - b);
}

function sourceOf(source: Source | undefined, namespace: string): AuthorizationMatch {
  if (source === undefined) return blankMatch;
  const accounts = (all: readonly string[]): string[] =>
    sortedSet(all.map((account) => (account.includes('/') ? account : `${namespace}/${account}`)));
  return {
    ...blankMatch,
    sourceIps: sortedSet(source.ipBlocks),
    notSourceIps: sortedSet(source.notIpBlocks),
    namespaces: sortedSet(source.namespaces),
    notNamespaces: sortedSet(source.notNamespaces),
    principals: sortedSet(source.principals),
    notPrincipals: sortedSet(source.notPrincipals),
    serviceAccounts: accounts(source.serviceAccounts),
    notServiceAccounts: accounts(source.notServiceAccounts),
  };
}

function conditionOf({ key, ...given }: Condition): AuthorizationMatch {
  const values = sortedSet(given.values);
  const notValues = sortedSet(given.notValues);
  switch (key) {
    case 'source.namespace':
      return { ...blankMatch, namespaces: values, notNamespaces: notValues };
    case 'source.principal':
      return { ...blankMatch, principals: values, notPrincipals: notValues };
    case 'source.ip':
      return { ...blankMatch, sourceIps: values, notSourceIps: notValues };
    case 'destination.ip':
      return { ...blankMatch, destinationIps: values, notDestinationIps: notValues };
    case 'destination.port':
      return {
        ...blankMatch,
        destinationPorts: portsOf(values),
        notDestinationPorts: portsOf(notValues),
      };
    default:
      return blankMatch;
  }
}
