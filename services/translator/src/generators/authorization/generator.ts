/** `istio.security.Authorization`: who may connect, as a ztunnel enforces it. */
import { AuthorizationAction } from '@watershed/model/gen/model.ts';
import type {
  Authorization as Policy,
  AuthorizationMatch,
  AuthorizationRule,
} from '@watershed/model/gen/model.ts';
import {
  Action,
  Authorization,
  Match,
  Scope,
} from '@watershed/proto/gen/istio/workloadapi/security/authorization.ts';
import type {
  Address,
  Group,
  ServiceAccountMatch,
  StringMatch,
} from '@watershed/proto/gen/istio/workloadapi/security/authorization.ts';
import type { Generator } from '../../plan.ts';
import { ipBytes, prefixLength } from '../ip.ts';

export interface AuthorizationArgument {
  readonly name: string;
  readonly namespace: string;
  readonly reach: 'mesh' | 'namespace' | 'workloads';
  readonly action: AuthorizationAction;
  readonly rules: Policy['rules'];
}

const scopes = {
  mesh: Scope.GLOBAL,
  namespace: Scope.NAMESPACE,
  workloads: Scope.WORKLOAD_SELECTOR,
} as const;

export const authorization: Generator<AuthorizationArgument> = {
  name: 'authorization',
  version: 1,
  generate({ name, namespace, reach, action, rules }) {
    const message = Authorization.fromPartial({
      name,
      namespace,
      scope: scopes[reach],
      action: action === AuthorizationAction.AUTHORIZATION_ACTION_DENY ? Action.DENY : Action.ALLOW,
      groups: rules.map(groupOf),
    });
    return { bytes: Authorization.encode(message).finish() };
  },
};

function groupOf(rule: AuthorizationRule): Group {
  return { rules: rule.clauses.map((clause) => ({ matches: clause.matches.map(matchOf) })) };
}

function matchOf(match: AuthorizationMatch): Match {
  return Match.fromPartial({
    namespaces: match.namespaces.map(textMatch),
    notNamespaces: match.notNamespaces.map(textMatch),
    principals: match.principals.map(textMatch),
    notPrincipals: match.notPrincipals.map(textMatch),
    serviceAccounts: match.serviceAccounts.map(accountMatch),
    notServiceAccounts: match.notServiceAccounts.map(accountMatch),
    sourceIps: match.sourceIps.map(block),
    notSourceIps: match.notSourceIps.map(block),
    destinationIps: match.destinationIps.map(block),
    notDestinationIps: match.notDestinationIps.map(block),
    destinationPorts: match.destinationPorts,
    notDestinationPorts: match.notDestinationPorts,
  });
}

/** `*` is anything but nothing; at the front, a suffix is meant; at the end, a prefix. */
function textMatch(text: string): StringMatch {
  if (text === '*') return { matchType: { $case: 'presence', value: {} } };
  if (text.startsWith('*')) return { matchType: { $case: 'suffix', value: text.slice(1) } };
  if (text.endsWith('*')) return { matchType: { $case: 'prefix', value: text.slice(0, -1) } };
  return { matchType: { $case: 'exact', value: text } };
}

function accountMatch(text: string): ServiceAccountMatch {
  const [namespace = '', serviceAccount = ''] = text.split('/');
  return { namespace, serviceAccount };
}

function block(text: string): Address {
  const address = ipBytes(text);
  return { address, length: prefixLength(text) ?? 8 * address.length };
}
