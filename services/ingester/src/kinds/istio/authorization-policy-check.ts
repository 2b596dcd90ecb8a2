/** What is wrong with an AuthorizationPolicy (istiod's ValidateAuthorizationPolicy). */
import {
  AuthorizationPolicy_Action as Action,
  type AuthorizationPolicy,
  type Condition,
  type Operation,
  type Rule,
  type Source,
} from '@watershed/proto/istio/security/v1beta1/authorization_policy.ts';
import type { At } from '../../decode.ts';
import { checkSubnet, checkWorkloadLabels } from '../common/checks.ts';

/** Attributes that a connection tells; all others are a request's. */
const connectionAttributes: ReadonlySet<string> = new Set([
  'source.ip',
  'source.namespace',
  'source.principal',
  'destination.ip',
  'destination.port',
]);

const requestAttributes: ReadonlySet<string> = new Set([
  'connection.sni',
  'remote.ip',
  'request.auth.audiences',
  'request.auth.presenter',
  'request.auth.principal',
  'source.serviceAccount',
]);
/** With a name in brackets. */
const requestPrefixes = ['experimental.', 'request.auth.claims[', 'request.headers['];

const httpSource = [
  'remoteIpBlocks',
  'notRemoteIpBlocks',
  'requestPrincipals',
  'notRequestPrincipals',
] as const;
const httpOperation = ['hosts', 'notHosts', 'methods', 'notMethods', 'paths', 'notPaths'] as const;

/** Of a rule, the attributes that only a proxy of HTTP can check. */
export function httpAttributesOf(rule: Rule): readonly string[] {
  const found = new Set<string>();
  for (const { source } of rule.from) {
    for (const name of httpSource) if ((source?.[name].length ?? 0) > 0) found.add(name);
  }
  for (const { operation } of rule.to) {
    for (const name of httpOperation) if ((operation?.[name].length ?? 0) > 0) found.add(name);
  }
  for (const { key } of rule.when) if (!connectionAttributes.has(key)) found.add(key);
  return [...found].sort();
}

export function checkAuthorizationPolicy(spec: AuthorizationPolicy, at: At): void {
  checkTargets(spec, at);
  const { action, rules } = spec;
  if (spec.actionDetail !== undefined && action !== Action.CUSTOM) {
    at.field('provider').error(spec.actionDetail.value.name, 'must not be set without CUSTOM');
  }
  if (action === Action.CUSTOM && (spec.actionDetail?.value.name ?? '') === '') {
    at.field('provider').field('name').error(undefined, 'is required with CUSTOM');
  }
  if (rules.length === 0 && action !== Action.ALLOW && action !== Action.AUDIT) {
    at.field('rules').error(undefined, 'is required: without rules it never applies; {} is all');
  }
  for (const [index, rule] of rules.entries()) {
    const item = at.field('rules').item(index);
    checkRule(rule, item);
    checkHttp(action, rule, item);
  }
}

function checkTargets(spec: AuthorizationPolicy, at: At): void {
  const labels = spec.selector?.matchLabels;
  if (labels !== undefined) {
    const here = at.field('selector').field('matchLabels');
    checkWorkloadLabels(here, labels, 'every workload of the namespace');
  }
  const ways = [spec.selector, spec.targetRef, spec.targetRefs[0]].filter(
    (way) => way !== undefined,
  );
  if (ways.length > 1) at.error(spec, 'only one of selector, targetRef and targetRefs may be set');
  const targets = [...(spec.targetRef === undefined ? [] : [spec.targetRef]), ...spec.targetRefs];
  for (const [index, target] of targets.entries()) {
    const item =
      spec.targetRef === undefined ? at.field('targetRefs').item(index) : at.field('targetRef');
    if (target.name === '') item.field('name').error(undefined, 'is required');
    if (target.kind === '') item.field('kind').error(undefined, 'is required');
  }
}

function checkRule(rule: Rule, at: At): void {
  for (const [index, { source }] of rule.from.entries()) {
    const item = at.field('from').item(index).field('source');
    if (source === undefined) item.error(undefined, 'is required');
    else checkSource(source, item);
  }
  for (const [index, { operation }] of rule.to.entries()) {
    const item = at.field('to').item(index).field('operation');
    if (operation === undefined) item.error(undefined, 'is required');
    else checkOperation(operation, item);
  }
  for (const [index, condition] of rule.when.entries()) {
    checkCondition(condition, at.field('when').item(index));
  }
}

/** What will be stricter than it was meant, said at the rule. */
function checkHttp(action: Action, rule: Rule, at: At): void {
  const attributes = httpAttributesOf(rule).join(', ');
  if (attributes === '') return;
  if (action === Action.ALLOW) {
    at.warn(rule, `allows nothing: ztunnel cannot check attributes of HTTP (${attributes})`);
  } else if (action === Action.DENY) {
    at.warn(rule, `denies whatever these are: ztunnel cannot check them (${attributes})`);
  }
}

function checkLists(
  lists: Readonly<Record<string, readonly string[]>>,
  at: At,
  checkValue: (name: string, value: string, here: At) => void,
): void {
  if (Object.values(lists).every((values) => values.length === 0)) {
    at.error(lists, 'must not be empty');
  }
  for (const [name, values] of Object.entries(lists)) {
    for (const [index, value] of values.entries()) {
      const here = at.field(name).item(index);
      if (value === '') here.error(value, 'must not be empty');
      else checkValue(name, value, here);
    }
  }
}

function checkSource(source: Source, at: At): void {
  checkLists({ ...source }, at, (name, value, here) => {
    if (/ipBlocks$/iu.test(name)) checkSubnet(here, value);
    if (/serviceAccounts$/iu.test(name)) checkAccount(value, here);
  });
  const accounts = source.serviceAccounts.length + source.notServiceAccounts.length;
  const { principals, notPrincipals, namespaces, notNamespaces } = source;
  const others = [principals, notPrincipals, namespaces, notNamespaces];
  if (accounts > 0 && others.some((list) => list.length > 0)) {
    at.field('serviceAccounts').error(undefined, 'must not be set beside principals or namespaces');
  }
}

/** `name`, or `namespace/name`; no wildcards. */
function checkAccount(value: string, at: At): void {
  const parts = value.split('/');
  if (parts.length > 2 || parts.includes('') || value.includes('*') || value.length > 320) {
    at.error(value, 'must be the name of a service account, or "namespace/name"');
  }
}

function checkOperation(operation: Operation, at: At): void {
  checkLists({ ...operation }, at, (name, value, here) => {
    if (/ports$/iu.test(name)) checkPortText(value, here);
  });
}

function checkPortText(value: string, at: At): void {
  if (!/^[1-9][0-9]{0,4}$/u.test(value) || Number(value) > 65_535) {
    at.error(value, 'must be a port, from 1 to 65535');
  }
}

function checkCondition({ key, values, notValues }: Condition, at: At): void {
  const isKnown =
    connectionAttributes.has(key) ||
    requestAttributes.has(key) ||
    requestPrefixes.some((prefix) => key.startsWith(prefix));
  if (key === '') at.field('key').error(key, 'is required');
  else if (!isKnown) at.field('key').error(key, 'is no attribute');
  if (values.length + notValues.length === 0) {
    at.field('values').error(undefined, 'or notValues is required');
  }
  for (const [name, all] of Object.entries({ values, notValues })) {
    for (const [index, value] of all.entries()) {
      const here = at.field(name).item(index);
      if (value === '') here.error(value, 'must not be empty');
      else if (key === 'destination.port') checkPortText(value, here);
      else if (key.endsWith('.ip')) checkSubnet(here, value);
    }
  }
}
